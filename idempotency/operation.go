package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Operation is a protected operation: a stable name and its policy. Made by
// [Guard.Operation]. Safe for concurrent use.
type Operation struct {
	guard     *Guard
	name      string
	policy    Policy
	reconcile ReconcileFunc // may be nil

	unprotected atomic.Int64 // when the last unprotected run was logged

	unmarked atomic.Int64 // recorded executions before the first mark
	marks    atomic.Bool  // a handler of this operation has marked an effect
}

// Name returns the operation's name.
func (o *Operation) Name() string { return o.name }

// Policy returns the operation's effective policy.
func (o *Operation) Policy() Policy {
	return o.policy.clone()
}

// Call is one request for an operation.
type Call struct {
	// Scope is the tenant or caller that the key belongs to; not empty.
	Scope string
	// Key is the idempotency key; not empty.
	Key string
	// Part tells apart what is several operations to callers but has one name
	// and one policy here, such as the paths below a router. The same key in
	// another part is independent. May be empty.
	Part string
	// Fingerprint binds the key to this request. The zero value binds nothing.
	Fingerprint store.Fingerprint
	// FingerprintBy computes the fingerprint by another algorithm, for a record
	// that was made by a process with another configuration. False if it does
	// not know the algorithm. May be nil.
	FingerprintBy func(algorithm string) (store.Fingerprint, bool)
	// MayReplay is asked before a recorded answer is given to this caller. An
	// error keeps it from them with [ErrReplayDenied]; the record stays as it is.
	// May be nil.
	MayReplay func(Recorded) error
}

// Recorded describes a recorded answer that a caller is about to get.
type Recorded struct {
	Operation string
	// ID is the record's digest, as [Info].OperationID has it.
	ID      string
	Attempt int
	Token   store.Token
	// Started and Finished are the attempt's, by the store's clock.
	Started, Finished time.Time
	// Omitted is why there is no body.
	Omitted store.Omission
}

// Execute runs the handler, or gives the recorded answer, or refuses.
//
// The handler runs on the caller's goroutine, at most once per operation within
// the retention unless an attempt said that nothing final happened or the
// policy's orphan mode allows another. Its context is cancelled, with a cause
// that wraps [ErrLeaseLost], when the lease is lost. If the handler panics or
// ends its goroutine, the attempt is recorded as one of unknown outcome, and
// the panic goes on.
//
// Round trips: 1 for a replay or a refusal, 2 for an execution, 1 more for
// [MarkEffect].
//
// Errors are *[Error], found by their code: [ErrScopeMissing], [ErrKeyMissing],
// [ErrKeyReused], [ErrInProgress], [ErrOutcomeUnknown], [ErrResultUnavailable],
// [ErrStoreUnavailable], [ErrDraining], [ErrLeaseLost], [ErrRecordUnreadable].
// With all but [ErrLeaseLost] the handler did not run in this call; only
// [ErrResultUnavailable] may also speak of the recorded answer of an attempt
// that took over from this one.
func (o *Operation) Execute(
	ctx context.Context, call Call, run func(context.Context) Answer,
) (result Result, err error) {
	x := &execution{op: o, guard: o.guard, call: call, run: run, began: time.Now()}
	if run == nil {
		return Result{}, errors.New("idempotency: Execute: the handler is nil")
	}
	entered := o.guard.gate.enter()
	if entered {
		defer o.guard.gate.leave()
	}
	defer func() { x.report(ctx, result, err) }() // deferred for handlers that panic
	if !entered {
		return Result{}, x.refuse(ErrDraining, time.Second, nil)
	}
	return x.execute(ctx)
}

// Reject returns the error of a request that a transport refused before it
// could be executed, and reports it to the trace hooks.
func (o *Operation) Reject(ctx context.Context, code Code, cause error) *Error {
	if code == ErrScopeMissing { // the only one that is the server's fault
		o.guard.opts.logger.Error("idempotency: a request without a scope was refused",
			"operation", o.name, "error", cause)
	}
	o.guard.finished(ctx, Finished{Operation: o.name, Code: code, Err: cause})
	return &Error{Code: code, Operation: o.name, Err: cause}
}

// execution is one call of Execute.
type execution struct {
	op    *Operation
	guard *Guard
	call  Call
	run   func(context.Context) Answer

	id      store.ID
	owner   store.Owner
	bound   store.Fingerprint
	began   time.Time
	inStore time.Duration
	ending  string
	omitted store.Omission
}

func (x *execution) execute(ctx context.Context) (Result, error) {
	if err := x.identify(); err != nil {
		return Result{}, err
	}
	if err := x.guard.check.refuses(); err != nil {
		return Result{}, x.refuse(ErrStoreUnavailable, time.Second, err)
	}
	sent, reply, err := x.claim(ctx)
	if err != nil {
		return x.unclaimed(ctx, err)
	}
	return x.decide(ctx, sent, reply)
}

// decide is the protocol as a caller sees it: one case for each answer that a
// claim can get.
func (x *execution) decide(ctx context.Context, sent time.Time, reply store.Reply) (Result, error) {
	switch reply.Verdict {
	case store.Claimed:
		return x.start(ctx, sent, reply)
	case store.Recorded:
		return x.replay(reply)
	case store.InProgress: // the place for waiting
		return Result{}, x.refuse(ErrInProgress, retryAfter(reply), nil)
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

// identify fixes the record's name, the owner and the fingerprint, before the
// first try: the store recognises a repeated claim by its owner.
func (x *execution) identify() error {
	switch {
	case x.call.Scope == "":
		return x.refuse(ErrScopeMissing, 0, nil)
	case x.call.Key == "":
		return x.refuse(ErrKeyMissing, 0, nil)
	}
	x.owner = store.NewOwner()
	x.id = x.guard.id(x.call.Scope, x.op.name, x.call.Part, x.call.Key)
	x.bound = x.bind(x.call.Fingerprint)
	return nil
}

// bind adds the operation's name to a fingerprint where the record's identity
// does not hold it.
func (x *execution) bind(bound store.Fingerprint) store.Fingerprint {
	if bound.Algorithm == "" {
		bound.Algorithm = store.NoFingerprint
	}
	if x.guard.opts.strictKeys {
		name := partName(x.op.name, x.call.Part)
		buf := binary.BigEndian.AppendUint64(nil, uint64(len(name)))
		buf = append(buf, name...)
		bound.Sum = sha256.Sum256(append(buf, bound.Sum[:]...))
	}
	return bound
}

// claim asks the store, a second time if the record's fingerprint was made by
// another algorithm that is known here. It returns when the claim was sent,
// from which the lease is counted.
func (x *execution) claim(ctx context.Context) (time.Time, store.Reply, error) {
	sent := time.Now()
	reply, err := x.sendClaim(ctx)
	if err != nil || reply.Verdict != store.OtherAlgorithm || x.call.FingerprintBy == nil {
		return sent, reply, err
	}
	bound, known := x.call.FingerprintBy(reply.Algorithm)
	if !known {
		return sent, reply, nil
	}
	x.bound = x.bind(bound)
	sent = time.Now()
	reply, err = x.sendClaim(ctx)
	return sent, reply, err
}

func (x *execution) sendClaim(ctx context.Context) (store.Reply, error) {
	return x.apply(ctx, store.Claim{
		Owner:       x.owner,
		Fingerprint: x.bound,
		Scope:       store.NewScopeDigest(x.call.Scope),
		Operation:   x.op.name,
		Lease:       x.op.policy.Lease,
		Retention:   x.op.policy.Retention,
		TakeOver:    x.op.policy.takeOver(),
	})
}

func (x *execution) apply(ctx context.Context, event store.Event) (store.Reply, error) {
	began := time.Now()
	reply, err := x.guard.apply(ctx, x.id, event)
	x.inStore += time.Since(began)
	return reply, err
}

// unclaimed handles a claim without an answer.
func (x *execution) unclaimed(ctx context.Context, cause error) (Result, error) {
	switch {
	case errors.Is(cause, store.ErrUnreadable):
		return Result{}, x.refuse(ErrRecordUnreadable, 0, cause)
	case errors.Is(cause, store.ErrInvalid): // nothing was sent, and the store is not down
		return Result{}, x.refuse(ErrStoreUnavailable, 0, cause)
	case !errors.Is(cause, store.ErrNotExecuted):
		x.releaseUnanswered()
	}
	if x.op.policy.StoreDown != StoreDownOpen {
		return Result{}, x.refuse(ErrStoreUnavailable, time.Second, cause)
	}
	hctx, stop := x.handlerContext(ctx)
	defer stop()
	// It is no attempt, nor is it the one that it may be nested in.
	hctx = context.WithValue(hctx, attemptKey{}, (*attempt)(nil))
	x.op.warnUnprotected(cause)
	return Result{Outcome: Unprotected, Answer: x.run(hctx)}, nil
}

// warnUnprotected says, once a minute, that handlers run unprotected.
func (o *Operation) warnUnprotected(cause error) {
	now := time.Now().Unix()
	last := o.unprotected.Load()
	if now-last < 60 || !o.unprotected.CompareAndSwap(last, now) {
		return
	}
	o.guard.opts.logger.Warn("idempotency: the store is down and handlers run unprotected, as the policy says",
		"operation", o.name, "error", cause)
}

// releaseUnanswered releases, in the background, a claim that may have been
// executed or may be executed later, so that nothing is left behind as running
// that never started.
func (x *execution) releaseUnanswered() {
	now := time.Now()
	x.guard.releases.add(&pending{
		id:       x.id,
		event:    store.Release{Attempt: x.attempt(store.Reply{}), Void: true},
		until:    now.Add(max(releaseFor, x.op.policy.Lease)),
		patience: now.Add(x.op.policy.Lease),
		done:     x.guard.endedLate(x.op.name, x.id, slog.LevelDebug),
	}, now.Add(firstRetry))
}

func (x *execution) replay(reply store.Reply) (Result, error) {
	if reply.Answer.Omitted != store.BodyKept {
		err := x.refuse(ErrResultUnavailable, 0, nil)
		err.Answer = &reply.Answer
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

func (x *execution) attempt(reply store.Reply) store.Attempt {
	return store.Attempt{
		Owner:       x.owner,
		Token:       reply.Token,
		Number:      reply.Attempt,
		Lease:       x.op.policy.Lease,
		Fingerprint: x.bound,
		Scope:       store.NewScopeDigest(x.call.Scope),
		Operation:   x.op.name,
		Started:     reply.Started,
		Retention:   x.op.policy.Retention,
	}
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
		Duration:  time.Since(x.began),
		Store:     x.inStore,
		Err:       err,
	}
	if x.id != (store.ID{}) {
		f.ID = x.id.Short()
	}
	if refused, ok := errors.AsType[*Error](err); ok {
		f.Code, f.Err = refused.Code, refused.Err
	}
	x.guard.finished(ctx, f)
}

// retryAfter guesses when a running attempt will have ended: it takes as long
// again as it took so far, within a second and the rest of its lease.
func retryAfter(reply store.Reply) time.Duration {
	age := reply.Now.Sub(reply.Started)
	return max(time.Second, min(age, reply.LeaseEnd.Sub(reply.Now)))
}
