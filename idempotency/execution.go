package idempotency

import (
	"context"
	"errors"
	"time"

	"github.com/reprise-go/reprise/store"
)

// execution is one call of Execute.
type execution struct {
	op      *Operation
	guard   *Guard
	policy  *Policy // as it was when the execution began
	call    Call
	handler Handler

	id       store.ID
	scope    store.ScopeDigest
	owner    store.Owner
	shadowed bool // whatever is decided, the handler runs
	unclear  bool // another claim of the owner may still be on its way
	bound    store.Fingerprint
	began    time.Time
	inStore  time.Duration
	waited   time.Duration
	ending   string
	omitted  store.Omission
}

func (x *execution) protect(ctx context.Context) (Result, error) {
	if err := x.guard.check.refuses(); err != nil {
		return Result{}, x.refuse(ErrStoreUnavailable, time.Second, err)
	}
	t := x.claim(ctx)
	if t.err != nil {
		return x.unclaimed(ctx, t)
	}
	return x.decide(ctx, t.sent, t.reply)
}

// decide is the protocol as a caller sees it: one case for each answer that a
// claim can get.
func (x *execution) decide(ctx context.Context, sent time.Time, reply store.Reply) (Result, error) {
	switch reply.Verdict {
	case store.Claimed:
		return x.start(ctx, sent, reply)
	case store.Recorded:
		return x.replay(reply)
	case store.InProgress: // also after waiting for it
		err := x.refuse(ErrInProgress, retryAfter(reply), nil)
		err.Conflict = x.policy.Conflict
		return Result{}, err
	case store.OutcomeUnknown:
		return Result{}, x.refuse(ErrOutcomeUnknown, 0, nil)
	case store.Mismatch:
		return Result{}, x.refuse(ErrKeyReused, 0, nil)
	case store.OtherAlgorithm:
		return Result{}, x.refuse(ErrRecordUnreadable, 0,
			errors.New("the record's fingerprint is by unknown algorithm "+reply.Algorithm))
	default:
		return Result{}, x.refuse(ErrStoreUnavailable, time.Second,
			errors.New("unexpected verdict "+reply.Verdict.String()))
	}
}

func (x *execution) replay(reply store.Reply) (Result, error) {
	if err := x.mayReplay(reply); err != nil {
		return Result{}, x.refuse(ErrReplayDenied, 0, err)
	}
	if reply.Answer.Omitted != store.BodyKept {
		answer := reply.Answer // a copy, so that replies of replays need not be on the heap
		err := x.refuse(ErrResultUnavailable, 0, nil)
		err.Answer = &answer
		return Result{}, err
	}
	return Result{
		Outcome:    Replayed,
		Recorded:   true,
		Answer:     Answer{Class: ClassRecord, Answer: reply.Answer},
		Attempt:    reply.Attempt,
		Token:      reply.Token,
		RecordedAt: reply.Finished.Time(),
	}, nil
}

func (x *execution) refuse(code Code, retryAfter time.Duration, cause error) *Error {
	err := &Error{Code: code, Operation: x.op.name, RetryAfter: retryAfter, Err: cause}
	if x.id != (store.ID{}) {
		err.ID = x.id.Short()
	}
	return err
}

// mayReplay asks the transport's guard, if there is one.
func (x *execution) mayReplay(reply store.Reply) error {
	if x.call.MayReplay == nil || x.shadowed {
		return nil
	}
	return x.call.MayReplay(Recorded{
		Operation: x.op.name,
		ID:        x.id.String(),
		Attempt:   reply.Attempt,
		Token:     reply.Token,
		Started:   timeOf(reply.Started),
		Finished:  timeOf(reply.Finished),
		Omitted:   reply.Answer.Omitted,
	})
}

func (x *execution) attempt(reply store.Reply) store.Attempt {
	return attemptOf(x.claimEvent(false), reply)
}

// report tells the trace hooks how it ended.
func (x *execution) report(ctx context.Context, result Result, err error) {
	f := Finished{
		Operation: x.op.name,
		Outcome:   result.Outcome,
		Ending:    x.ending,
		Recorded:  result.Recorded,
		Omitted:   x.omitted,
		Attempt:   result.Attempt,
		Retry:     x.call.Retry,
		Duration:  time.Since(x.began),
		Store:     x.inStore,
		Waited:    x.waited,
		Err:       err,
		Shadow:    x.shadowed,
	}
	if x.id != (store.ID{}) && x.guard.opts.trace.Finished != nil { // nobody else reads it
		f.ID = x.id.Short()
	}
	if refused, ok := errors.AsType[*Error](err); ok {
		f.Code, f.Err = refused.Code, refused.Err
	}
	x.op.finished(ctx, f)
}

// retryAfter guesses when a running attempt will have ended: it takes as long
// again as it took so far, within a second and the rest of its lease.
func retryAfter(reply store.Reply) time.Duration {
	age := reply.Now.Sub(reply.Started)
	return max(time.Second, min(age, reply.LeaseEnd.Sub(reply.Now)))
}
