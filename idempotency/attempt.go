package idempotency

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/internal/lease"
	"github.com/reprise-go/reprise/store"
)

// attempt is one claimed run of a handler.
type attempt struct {
	*execution
	reply store.Reply
	lease *lease.Lease[store.Renewal]
	lock  *holding // nil without a locker, and before it is taken
	// cancel ends the handler's context with a cause.
	cancel context.CancelCauseFunc
	// outer is the attempt that this one is nested in, if any.
	outer *attempt
	// over is set before the ending is sent. The watchdog reads it without the
	// mutex, which is held over a mark's round trip.
	over atomic.Bool

	mu     sync.Mutex
	marked bool
	ended  bool
	wishes wishes
	// backoff holds back take-overs if the attempt fails.
	backoff time.Duration
}

// wishes are what the handler said about its answer.
type wishes struct {
	release, doNotRecord, omitBody bool
	retention                      time.Duration
}

// start runs the handler under the claim, if the claim still holds by now: the
// process may have been paused since it was sent, or a shutdown begun.
func (x *execution) start(ctx context.Context, sent time.Time, reply store.Reply) (Result, error) {
	hctx, cancel, stop := x.attemptContext(ctx)
	defer stop()
	a := &attempt{execution: x, reply: reply, cancel: cancel, outer: attemptFrom(ctx)}
	a.lease = x.guard.watchdog.Watch(store.Renewal{ID: x.id, Renew: store.Renew{
		Owner:     x.owner,
		Lease:     x.policy.Lease,
		Retention: x.policy.Retention,
	}}, lease.Spec{
		Lease:     x.policy.Lease,
		MaxHold:   x.policy.MaxHold,
		Since:     sent,
		Confirmed: int64(reply.Now),
		Lost:      a.lost,
	})
	if refused := a.admit(ctx, hctx); refused != nil {
		return Result{}, a.abandon(ctx, refused)
	}
	hctx = context.WithValue(hctx, attemptKey{}, a)
	if reply.TookOver && x.op.reconcile != nil {
		if result, done, err := a.reconcile(hctx); done {
			return result, err
		}
		if refused := a.mayStart(ctx, hctx); refused != nil {
			return Result{}, a.abandon(ctx, refused)
		}
	}
	answer := a.runHandler(hctx)
	return a.end(ctx, answer, hctx.Err() != nil)
}

// mayStart says why a handler must not be started although it has the claim:
// since that was asked for, a shutdown or a fault of the store may have come, the
// process may have been paused, or the caller gone.
func (a *attempt) mayStart(ctx, hctx context.Context) *Error {
	if a.guard.gate.Closed() {
		return a.refuse(ErrDraining, time.Second, nil)
	}
	if err := a.guard.check.refuses(); err != nil {
		return a.refuse(ErrStoreUnavailable, time.Second, err)
	}
	if !a.holds() {
		return a.refuse(ErrStoreUnavailable, time.Second, errPaused)
	}
	if hctx.Err() != nil {
		return a.refuse(ErrNotStarted, time.Second, context.Cause(hctx))
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return a.refuse(ErrNotStarted, time.Second, context.DeadlineExceeded)
	}
	return nil
}

var errPaused = errors.New("the claim could not be confirmed in time, so the handler was not started")

// attemptContext is a handler's context that can be ended with a cause. In shadow
// nothing ends it but what would end it on an unprotected route.
func (x *execution) attemptContext(ctx context.Context) (hctx context.Context, cancel context.CancelCauseFunc, stop func()) {
	if x.shadowed {
		return ctx, func(error) {}, func() {}
	}
	if x.call.CallerDeadline && x.policy.Caller != CallerAttached {
		ctx = context.WithoutCancel(ctx) // of which nothing is left but its values: the lease bounds the handler
	}
	detached, stopped := x.handlerContext(ctx)
	hctx, cancel = context.WithCancelCause(detached)
	return hctx, cancel, func() {
		cancel(nil)
		stopped()
	}
}

// handlerContext detaches the handler from its caller, unless the policy says
// otherwise. Values and a deadline stay.
func (x *execution) handlerContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if x.policy.Caller == CallerAttached || x.shadowed {
		return ctx, func() {}
	}
	detached := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(detached, deadline)
	}
	return detached, func() {}
}

// runHandler calls the handler. A panic or a runtime.Goexit is not recovered,
// so that its stack stays whole; the flag tells that it did not return.
func (a *attempt) runHandler(ctx context.Context) Answer {
	returned := false
	defer func() {
		if !returned {
			_, _ = a.finish(ctx, a.failure()) // what the store does not take goes on in the background
		}
	}()
	answer := a.handler.Handle(ctx)
	returned = true
	return answer
}

// lost is called by the watchdog.
func (a *attempt) lost(reason lease.Reason) {
	cause := fmt.Errorf("%w: %v", ErrLeaseLost, reason)
	if reason == lease.ReasonClosed {
		cause = fmt.Errorf("%w: shutdown did not wait any longer", ErrDraining)
	}
	a.lose(cause, reason.String())
}

// lose ends the handler's context.
func (a *attempt) lose(cause error, reason string) {
	over := a.over.Load() // before the handler can hear of it, and return
	a.cancel(cause)
	if over {
		return // a renewal met the ending under way: that is no loss
	}
	a.guard.leaseLost(LeaseLost{Operation: a.op.name, ID: a.id.Short(), Reason: reason})
}

// abandon gives back a claim whose handler is not going to start, after the lock:
// the next one to claim would find that held.
func (a *attempt) abandon(ctx context.Context, refusal *Error) error {
	a.unlock(ctx)
	// What the store does not take goes on in the background.
	_, _ = a.finish(ctx, store.Release{Attempt: a.attempt(a.reply), Void: true})
	return refusal
}

// mark is MarkEffect. In shadow it never fails; the store is told if it listens.
func (a *attempt) mark(ctx context.Context) error {
	err := a.tryMark(ctx)
	if a.shadowed {
		a.noteMarked()
		return nil
	}
	return err
}

// tryMark holds the mutex over the round trip, so that the
// attempt cannot end between the store's answer and its noting.
func (a *attempt) tryMark(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.ended:
		return a.refuse(ErrLeaseLost, 0, errEnded)
	case ctx.Err() != nil:
		return fmt.Errorf("idempotency: MarkEffect: %w", context.Cause(ctx))
	case !a.holds(): // also when marked: the mark is the gate of a paused handler
		return a.refuse(ErrLeaseLost, 0, nil)
	case a.marked:
		return nil
	}
	reply, err := a.apply(ctx, store.Mark{Owner: a.owner})
	if err != nil {
		return a.refuse(ErrStoreUnavailable, time.Second, err)
	}
	if reply.Verdict != store.Done {
		a.cancel(fmt.Errorf("%w: the mark was refused", ErrLeaseLost))
		return a.refuse(ErrLeaseLost, 0, nil)
	}
	a.marked = true
	if !a.holds() { // paused while the reply was under way
		return a.refuse(ErrLeaseLost, 0, nil)
	}
	return nil
}

func (a *attempt) noteMarked() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.marked = a.marked || !a.ended
}

func (a *attempt) info() Info {
	return Info{
		Operation:   a.op.name,
		OperationID: a.id.String(),
		Attempt:     a.reply.Attempt,
		Token:       int64(a.reply.Token),
		TookOver:    a.reply.TookOver,
	}
}

func (a *attempt) wish(set func(*wishes)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		set(&a.wishes)
	}
}
