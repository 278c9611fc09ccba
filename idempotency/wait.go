package idempotency

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/store"
)

// ask claims. Where duplicates wait, it does so together with the others that
// ask for the same, and waits while another attempt is running.
func (x *execution) ask(ctx context.Context) told {
	if x.op.policy.Wait == NoWait {
		return x.sendClaim(ctx, x.claimEvent(false))
	}
	claim := x.claimEvent(true)
	crowd, waiter, full := x.guard.crowds.enter(claim, x.id, x.op.policy.MaxWaiters)
	switch {
	case full:
		return crowd.whenFull()
	case waiter == nil:
		t := x.sendClaim(ctx, claim)
		if waiter = crowd.led(t); waiter == nil {
			return t
		}
	}
	return x.await(ctx, waiter)
}

// await waits to be told.
func (x *execution) await(ctx context.Context, w *waiter) told {
	began := time.Now()
	x.op.counts.waiting.Add(1)
	defer func() {
		x.op.counts.waiting.Add(-1)
		x.waited += time.Since(began)
	}()
	timer := time.NewTimer(x.patience(ctx))
	defer timer.Stop()
	select {
	case t := <-w.told:
		return t
	case <-timer.C:
		return w.leave()
	case <-ctx.Done():
		t := w.leave()
		if t.reply.Verdict != store.Claimed || t.err != nil {
			return t
		}
		return x.passOn(w.crowd, t) // nobody is there for its answer
	case <-x.guard.gate.shut:
		t := w.leave()
		if t.reply.Verdict != store.Claimed || t.err != nil {
			t.err = ErrDraining
		}
		return t
	}
}

// passOn gives a claim that came too late to the next one who waits.
func (x *execution) passOn(c *crowd, t told) told {
	if !c.hand(t) {
		claim := x.claimEvent(true)
		claim.Owner = t.owner
		x.guard.releaseUnused(x.id, claim, t.reply)
	}
	return c.whenFull()
}

// patience is how long to wait: as the policy says, and less if the caller's
// own deadline comes first, with some time left to tell it.
func (x *execution) patience(ctx context.Context) time.Duration {
	left := x.op.policy.Wait - time.Since(x.began)
	deadline, ok := ctx.Deadline()
	if !ok {
		return left
	}
	own := time.Until(deadline)
	return min(left, own-min(own/10, 100*time.Millisecond))
}

// whenFull is what is known to those who cannot wait.
func (c *crowd) whenFull() told {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known()
}
