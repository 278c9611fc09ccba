package idempotency

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/store"
)

const (
	// firstRecheck and maxRecheck are how long a crowd relies on notifications:
	// one that was lost costs no more than this.
	firstRecheck = 500 * time.Millisecond
	maxRecheck   = 2 * time.Second
	// afterLapse spreads the claims of several processes after a lease has lapsed.
	afterLapse = 50 * time.Millisecond
)

// run asks for all who wait, until nobody does.
func (c *crowd) run() {
	defer c.workers.leave()
	signals, stop := c.guard.watchRecord(c.key.id)
	defer stop()
	recheck := firstRecheck
	timer := time.NewTimer(c.pause(recheck))
	defer timer.Stop()
	for {
		select {
		case <-signals:
		case <-timer.C:
			recheck = min(2*recheck, maxRecheck)
		case <-c.emptied:
			if c.closeIfEmpty() {
				return
			}
			continue
		}
		if !c.ask() {
			return
		}
		timer.Reset(c.pause(recheck))
	}
}

// watchRecord listens for changes of a record. On a store that does not notify
// there is nothing to hear.
func (g *Guard) watchRecord(id store.ID) (signals <-chan struct{}, stop func()) {
	notifier, ok := g.store.(store.Notifier)
	if !ok {
		return nil, func() {}
	}
	watch := notifier.Watch(id)
	return watch.Signals(), watch.Close
}

// pause is how long to listen before asking without having heard anything:
// until the lease of the attempt lapses, if that is soon.
func (c *crowd) pause(recheck time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	reply := c.last.reply
	if c.last.err != nil || reply.LeaseEnd == 0 {
		return recheck
	}
	left := reply.LeaseEnd.Sub(reply.Now) - time.Since(c.last.sent)
	return min(recheck, max(left, 0)+rand.N(afterLapse)+time.Millisecond)
}

// ask claims once for all, and again as long as it wins for one and others are
// left: their notification has to be ordered. False if nobody waits any more.
func (c *crowd) ask() (more bool) {
	for !c.closeIfEmpty() {
		t := c.send()
		switch {
		case undecided(t):
			c.note(t)
			return true
		case t.err != nil || t.reply.Verdict != store.Claimed:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.releaseUnclear()
			c.tellAll(t)
			return false
		case !c.hand(t):
			c.guard.releaseUnused(c.key.id, c.claim, t.reply)
		}
		c.renewOwner(t)
	}
	return false
}

// undecided reports that the crowd goes on waiting: an attempt is running, the
// store could not say, or a claim of an earlier owner came late.
func undecided(t told) bool {
	if t.err != nil {
		return !errors.Is(t.err, store.ErrUnreadable) && !errors.Is(t.err, store.ErrInvalid)
	}
	return t.reply.Verdict == store.InProgress || t.reply.Verdict == store.Ended
}

func (c *crowd) send() told {
	t := told{owner: c.claim.Owner, sent: time.Now()}
	t.reply, t.err = c.guard.apply(context.Background(), c.key.id, c.claim)
	return t
}

func (c *crowd) note(t told) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = t
	switch {
	case t.err != nil && !errors.Is(t.err, store.ErrNotExecuted):
		c.unclear = true
	case t.err == nil && t.reply.Verdict == store.Ended:
		c.last.reply = store.Reply{}
		c.claim.Owner, c.unclear = store.NewOwner(), false
	}
}

// renewOwner draws the owner of the next claim: the last one's belongs to the
// execution that has it now. That one runs, as far as the others are concerned.
func (c *crowd) renewOwner(t told) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = told{sent: t.sent, reply: t.reply}
	c.claim.Owner, c.unclear = store.NewOwner(), false
}

func (c *crowd) closeIfEmpty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiters.Len() > 0 {
		return false
	}
	c.releaseUnclear()
	c.close()
	return true
}

// releaseUnclear sees to a claim that may have been executed unheard.
func (c *crowd) releaseUnclear() {
	if c.unclear {
		c.guard.releaseUnanswered(c.key.id, c.claim)
		c.unclear = false
	}
}
