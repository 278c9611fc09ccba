package idempotency

import (
	"context"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/store"
)

// ask claims. Where duplicates wait, it does so together with the others that
// ask for the same, and waits while another attempt is running.
func (x *execution) ask(ctx context.Context) told {
	if x.policy.Wait == NoWait || x.shadowed || x.inside(ctx) {
		return x.sendClaim(ctx, x.claimEvent(false))
	}
	patience := x.patience(ctx)
	if patience <= 0 {
		return x.sendClaim(ctx, x.claimEvent(false))
	}
	claim := x.claimEvent(true)
	crowd, waiter, full := x.guard.crowds.enter(claim, x.id, x.policy.MaxWaiters)
	switch {
	case full:
		known, sure := crowd.whenFull()
		if sure {
			return known
		}
		t := x.sendClaim(ctx, x.claimEvent(false))
		t.busy = known.busy
		return t
	case waiter == nil:
		var t told
		if t, waiter = x.lead(ctx, crowd, claim); waiter == nil {
			return t
		}
	}
	return x.await(ctx, waiter, patience)
}

// inside reports that the execution is part of an attempt of the same operation,
// which would wait for itself.
func (x *execution) inside(ctx context.Context) bool {
	for a := attemptFrom(ctx); a != nil; a = a.outer {
		if a.guard == x.guard && a.id == x.id {
			return true
		}
	}
	return false
}

// lead asks the store for the crowd.
func (x *execution) lead(ctx context.Context, c *crowd, claim store.Claim) (t told, w *waiter) {
	t = told{err: fmt.Errorf("%w: it ended the goroutine", store.ErrUnavailable)}
	defer func() { w = c.led(t, claim) }() // also after runtime.Goexit: the crowd must not wait for nobody
	t = x.sendClaim(ctx, claim)
	return t, nil
}

// await waits to be told.
func (x *execution) await(ctx context.Context, w *waiter, patience time.Duration) told {
	began := time.Now()
	x.op.counts.waiting.Add(1)
	defer func() {
		x.op.counts.waiting.Add(-1)
		x.waited += time.Since(began)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case t := <-w.told:
		return t
	case <-timer.C:
		return w.leave()
	case <-ctx.Done():
		t := w.leave()
		if !t.claimed() {
			return t
		}
		return x.passOn(w.crowd, t) // nobody is there for its answer
	case <-x.guard.gate.Shut():
		t := w.leave()
		if !t.claimed() {
			t.err = ErrDraining
		}
		return t
	}
}

// passOn gives a claim that came too late to the next one who waits.
func (x *execution) passOn(c *crowd, t told) told {
	if !c.hand(t) {
		x.guard.releaseUnused(x.id, x.claimEvent(true), t)
	}
	return told{err: errGone, busy: true}
}

var errGone = fmt.Errorf("%w: the caller has gone", store.ErrUnavailable)

// patience is how long to wait: as the policy says, and less if the caller's
// own deadline comes first, with some time left to tell it.
func (x *execution) patience(ctx context.Context) time.Duration {
	left := x.policy.Wait - time.Since(x.began)
	deadline, ok := ctx.Deadline()
	if !ok {
		return left
	}
	own := time.Until(deadline)
	return min(left, own-min(own/10, 100*time.Millisecond))
}
