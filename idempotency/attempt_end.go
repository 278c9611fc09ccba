package idempotency

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/reprise-go/reprise/store"
)

// end tells the store how the attempt ended, and then gives the answer: it is
// recorded first and sent afterwards. If the store does not take the ending
// within its timeout, the true answer is given all the same, marked as not
// recorded, and the ending goes on in the background under the lease.
func (a *attempt) end(ctx context.Context, answer Answer, contextEnded bool) (Result, error) {
	event := a.endingEvent(&answer, contextEnded)
	_, completes := event.(store.Complete)
	reply, err := a.finish(ctx, event)
	answered := completes && err == nil
	if answered && reply.Verdict != store.Done {
		return a.deposed(ctx)
	}
	if answered {
		a.noteMark()
	}
	return Result{
		Outcome:  Executed,
		Recorded: answered,
		Answer:   answer,
		Attempt:  a.reply.Attempt,
		Token:    a.reply.Token,
	}, nil
}

// endingEvent decides between complete, fail and release.
func (a *attempt) endingEvent(answer *Answer, contextEnded bool) store.Event {
	a.mu.Lock()
	a.ended = true // in one step with reading what it ends on: no mark may come between
	wishes := a.wishes
	unsure := a.marked || contextEnded || a.policy.Failure == FailureUnknown
	a.mu.Unlock()
	class := answer.Class
	if a.shadowed && contextEnded {
		// Here the policy does not keep it from ending: the handler may have stopped
		// in the middle, and half an answer must not be replayed some day.
		class = ClassUnknown
	}
	if class == ClassRecord && wishes.doNotRecord {
		class = ClassRelease
	}
	switch {
	case wishes.release, class == ClassRelease && !unsure:
		return store.Release{Attempt: a.attempt(a.reply)}
	case class == ClassRecord:
		return a.completion(answer.Answer, wishes)
	}
	return a.failure() // an answer without a class, too
}

func (a *attempt) completion(answer store.Answer, wishes wishes) store.Complete {
	if wishes.omitBody && answer.Omitted == store.BodyKept {
		answer.Omitted = store.BodySecret
	}
	if answer.Omitted != store.BodyKept {
		answer.Body = nil
	}
	a.omitted = answer.Omitted
	attempt := a.attempt(a.reply)
	if wishes.retention != 0 {
		attempt.Retention = wishes.retention
	}
	return store.Complete{Attempt: attempt, Adoption: a.adoption(), Answer: answer}
}

func (a *attempt) failure() store.Fail {
	a.mu.Lock()
	defer a.mu.Unlock()
	return store.Fail{Attempt: a.attempt(a.reply), Adoption: a.adoption(), Marked: a.marked, Backoff: a.backoff}
}

// adoption is allowed for as long as any other run of the operation since would
// still have left a record, whatever policy that one ran under, here or in another
// process: overrides do not go below the declared retention.
func (a *attempt) adoption() store.Adoption {
	return store.Adoption{
		Confirmed: store.Instant(a.lease.Confirmed()),
		Within:    a.op.declared.shortestRetention(),
	}
}

// finish sends the ending and stops the renewals once the store has answered.
// Without an answer both go on in the background, for one lease.
func (a *attempt) finish(ctx context.Context, event store.Event) (store.Reply, error) {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.over.Store(true)
	a.ending = event.Name()
	if _, released := event.(store.Release); released && a.unclear {
		// Unlike any other ending it lets later attempts take its owner's place in
		// the record, and then a late claim would not be recognised.
		defer a.guard.releaseUnanswered(a.id, a.claimEvent(false))
	}
	reply, err := a.offer(ctx, event)
	if errors.Is(err, store.ErrInvalid) {
		return a.failInvalid(ctx, event, err)
	}
	if err == nil {
		a.lease.End()
		a.unlock(ctx)
		return reply, nil
	}
	report := a.guard.endedLate(a.op.name, a.id, slog.LevelError)
	a.handler, a.call = nil, Call{} // what the transport holds need not wait, too
	a.guard.endings.add(&pending{
		id:    a.id,
		event: event,
		until: time.Now().Add(a.policy.Lease),
		done: func(event store.Event, err error) {
			a.lease.End()
			a.unlockAside()
			report(event, err)
		},
	}, time.Now().Add(firstRetry))
	return reply, err
}

// failInvalid ends an attempt whose ending no store would take, such as an
// answer without a codec, as one of unknown outcome.
func (a *attempt) failInvalid(ctx context.Context, event store.Event, cause error) (store.Reply, error) {
	a.guard.endedLate(a.op.name, a.id, slog.LevelError)(event, cause)
	if _, fails := event.(store.Fail); fails {
		a.lease.End()
		a.unlock(ctx)
		return store.Reply{}, cause
	}
	_, _ = a.finish(ctx, a.failure())
	return store.Reply{}, cause
}

// deposed gives what is recorded instead of an answer that was refused: this
// attempt is not the operation's owner any more.
func (a *attempt) deposed(ctx context.Context) (Result, error) {
	if a.shadowed { // nobody gets it
		return Result{}, a.refuse(ErrLeaseLost, time.Second, nil)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.guard.opts.storeTimeout)
	defer cancel()
	began := time.Now()
	rec, err := a.guard.store.Lookup(ctx, a.id)
	a.inStore += time.Since(began)
	if err != nil || rec.State != store.Completed || !rec.Fingerprint.Equal(a.bound) {
		return Result{}, a.refuse(ErrLeaseLost, time.Second, err)
	}
	return a.replay(store.Reply{
		Token:    rec.Token,
		Attempt:  rec.Attempt,
		Started:  rec.Started,
		Answer:   rec.Answer,
		Finished: rec.Finished,
	})
}

// unmarkedLimit is how many recorded executions without any mark are taken as
// a sign that the operation's handler never marks.
const unmarkedLimit = 20

// noteMark warns once about a handler that never marks although its policy
// relies on it.
func (a *attempt) noteMark() {
	o := a.op
	if a.policy.Orphan != OrphanRerunUnmarked || o.marks.Load() {
		return
	}
	a.mu.Lock()
	marked := a.marked
	a.mu.Unlock()
	if marked {
		o.marks.Store(true)
		return
	}
	if o.unmarked.Add(1) == unmarkedLimit {
		a.guard.opts.logger.Warn("idempotency: orphan=rerun-unmarked, but the handler never calls MarkEffect: "+
			"an attempt that dies after its effect will be run again", "operation", o.name)
	}
}
