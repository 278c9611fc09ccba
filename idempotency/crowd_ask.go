package idempotency

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/store"
)

const (
	// firstRecheck and maxRecheck are how long a crowd relies on notifications,
	// a fifth more or less: one that was lost costs no more than this.
	firstRecheck = 500 * time.Millisecond
	maxRecheck   = 1650 * time.Millisecond
	// afterLapse spreads the claims of several processes after a lease has lapsed.
	afterLapse = 50 * time.Millisecond
	// leastPause lies between two claims of a crowd, however many signals come.
	leastPause = 25 * time.Millisecond
)

// asker is the goroutine of a crowd.
type asker struct {
	*crowd
	claim   store.Claim // its owner is the crowd's own
	unclear bool        // a claim of that owner was sent and not answered
	heard   bool        // the store has answered the crowd before
	asked   time.Time   // the latest
	jitter  *rand.Rand
}

func newAsker(c *crowd, claim store.Claim, heard bool) *asker {
	claim.Owner = store.NewOwner()
	// By the time and the record rather than at random, so that what happens can be
	// repeated where the time can be.
	seed := rand.NewPCG(uint64(time.Now().UnixNano()), binary.BigEndian.Uint64(c.key.id[:]))
	return &asker{crowd: c, claim: claim, heard: heard, jitter: rand.New(seed)}
}

// run asks for all who wait, until nobody does.
func (a *asker) run() {
	defer a.workers.Leave()
	ended := false
	defer func() {
		if !ended { // runtime.Goexit in the store
			a.mu.Lock()
			defer a.mu.Unlock()
			a.tellAll(told{err: fmt.Errorf("%w: it ended the goroutine", store.ErrUnavailable)})
		}
	}()
	if a.heard || a.ask() {
		signals, stop := a.guard.watchRecord(a.key.id)
		defer stop()
		a.listen(signals)
	}
	ended = true
}

func (a *asker) listen(signals <-chan struct{}) {
	recheck := firstRecheck
	timer := time.NewTimer(a.pause(recheck))
	defer timer.Stop()
	for {
		select {
		case <-signals:
			if !a.rest() {
				return
			}
		case <-timer.C:
			recheck = min(2*recheck, maxRecheck)
		case <-a.emptied:
			if a.over() {
				return
			}
			continue
		}
		if !a.ask() {
			return
		}
		timer.Reset(a.pause(recheck))
	}
}

// rest keeps a distance to the latest claim. False if everybody leaves meanwhile.
func (a *asker) rest() bool {
	left := leastPause - time.Since(a.asked)
	if left <= 0 {
		return true
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-a.emptied:
			if a.over() {
				return false
			}
		}
	}
}

// pause is how long to listen before asking without having heard anything:
// until the lease of the attempt lapses, if that is soon.
func (a *asker) pause(recheck time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	recheck += a.upTo(recheck*2/5) - recheck/5
	reply := a.seen.reply
	if a.failing != nil || reply.LeaseEnd == 0 {
		return recheck
	}
	left := reply.LeaseEnd.Sub(reply.Now) - time.Since(a.seen.sent)
	return min(recheck, max(left, leastPause)+a.upTo(afterLapse))
}

func (a *asker) upTo(d time.Duration) time.Duration { return time.Duration(a.jitter.Int64N(int64(d))) }

// ask claims once for all, and again as long as it wins for one and others are
// left: their notification has to be ordered. False if nobody waits any more.
func (a *asker) ask() (more bool) {
	for !a.over() {
		t := a.send()
		switch {
		case t.claimed():
			a.heard = true
			if !a.hand(t) {
				a.guard.releaseUnused(a.key.id, a.claim, t)
			}
			a.note(told{sent: t.sent, reply: t.reply})
			a.claim.Owner, a.unclear = store.NewOwner(), false
		case t.err == nil && t.reply.Verdict == store.Ended: // a late one of that owner
			a.claim.Owner, a.unclear = store.NewOwner(), false
			return true // what is known is known still
		case t.err == nil && t.reply.Verdict == store.InProgress, mayPass(t.err) && a.heard:
			a.heard = true
			a.note(t)
			return true
		default:
			a.releaseUnclear()
			a.mu.Lock()
			defer a.mu.Unlock()
			a.tellAll(t)
			return false
		}
	}
	return false
}

// mayPass reports an outage that is worth waiting for: not one of which the store
// says how long it will last, which every waiter may as well know now.
func mayPass(err error) bool {
	_, known := store.RetryAfter(err)
	return isOutage(err) && !known
}

// isOutage reports that the store has not answered.
func isOutage(err error) bool {
	return err != nil && !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrInvalid)
}

func (a *asker) send() told {
	a.asked = time.Now()
	t := told{owner: a.claim.Owner, unclear: a.unclear, sent: a.asked}
	t.reply, t.err = a.guard.apply(context.Background(), a.key.id, a.claim)
	a.unclear = a.unclear || isOutage(t.err) && !errors.Is(t.err, store.ErrNotExecuted)
	return t
}

// note keeps what waiters are told that leave.
func (a *asker) note(t told) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failing = t.err
	if t.err == nil {
		a.seen = t
	}
}

// over ends the crowd if nobody waits.
func (a *asker) over() bool {
	if !a.closeIfEmpty() {
		return false
	}
	a.releaseUnclear()
	return true
}

// releaseUnclear sees to a claim that may have been executed unheard.
func (a *asker) releaseUnclear() {
	if a.unclear {
		a.guard.releaseUnanswered(a.key.id, a.claim)
		a.unclear = false
	}
}
