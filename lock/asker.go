package lock

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// afterLapse spreads the claims of several processes after a lease has lapsed.
	afterLapse = 20 * time.Millisecond
	// leastPause lies between an answer "held" and the next claim of a crowd,
	// however many signals come.
	leastPause = 5 * time.Millisecond
	// firstRetry follows a claim without an answer, which may hold the lock for one
	// who waits. It doubles up to the time between two re-checks.
	firstRetry = 20 * time.Millisecond
	// recheckGrowth bounds the time between two re-checks as a multiple of the
	// first.
	recheckGrowth = 4
)

var errExited = errors.New("it ended the goroutine")

// asker is the goroutine of a crowd.
type asker struct {
	*crowd
	owner   Owner     // of the next claim
	unclear bool      // a claim of that owner was sent and not answered
	heard   bool      // the backend has answered the crowd before
	refused time.Time // when it answered "held" last
	latest  answer
	fails   int // in a row
}

// run asks for all who wait, until nobody does.
func (a *asker) run() {
	defer a.workers.Leave()
	ended := false
	defer func() {
		if !ended { // runtime.Goexit in the backend
			a.end(answer{err: errExited})
		}
	}()
	if a.heard || a.ask() {
		a.listen()
	}
	ended = true
}

func (a *asker) listen() {
	var signals <-chan struct{}
	if a.notifier != nil {
		watch := a.notifier.Watch(a.id)
		defer watch.Close()
		signals = watch.Signals()
	}
	recheck := a.locker.opts.recheck
	timer := time.NewTimer(a.pause(recheck))
	defer timer.Stop()
	for {
		select {
		case <-signals:
		case <-a.freed:
		case <-timer.C:
			recheck = min(2*recheck, recheckGrowth*a.locker.opts.recheck)
		case <-a.emptied:
			if a.over() {
				return
			}
			continue
		}
		if !a.rest() || !a.ask() {
			return
		}
		timer.Reset(a.pause(recheck))
	}
}

// rest keeps a distance to the latest refusal. False if everybody leaves
// meanwhile.
func (a *asker) rest() bool {
	left := leastPause - time.Since(a.refused)
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

// pause is how long to listen before asking without having heard anything: until
// the holder's lease lapses, if that is soon.
func (a *asker) pause(recheck time.Duration) time.Duration {
	if a.fails > 0 {
		recheck = min(recheck, firstRetry<<min(a.fails-1, 10))
	}
	recheck += rand.N(recheck*2/5+1) - recheck/5
	if a.latest.err != nil || a.latest.reply.Left <= 0 {
		return recheck
	}
	return min(recheck, max(a.latest.left(), leastPause)+rand.N(afterLapse))
}

// ask claims once for all. False if nobody waits any more.
func (a *asker) ask() (more bool) {
	if a.over() {
		return false
	}
	t := a.send()
	if t.err == nil && t.reply.Verdict == Ended { // a claim came late, after its release
		a.draw()
		t = a.send()
	}
	switch {
	case t.acquired():
		if !a.hand(t) {
			a.locker.leftovers.unused(a.id, t)
		}
		a.draw()
		a.note(t.toOthers(a.locker.opts.lease))
	case t.held():
		a.refused = time.Now()
		// A backend of several servers may just be taking back what it had of it.
		a.draw()
		a.note(t)
	case t.err == nil: // ended once more, which makes no sense
		a.draw()
	case a.heard && !errors.Is(t.err, ErrInvalid):
		a.note(t)
	default:
		a.end(t)
		return false
	}
	return true
}

func (a *asker) send() answer {
	t := a.locker.ask(context.Background(), a.id, a.owner, true)
	a.heard = a.heard || t.err == nil
	a.unclear = a.unclear || t.unclear
	a.latest = t
	a.fails++
	if t.err == nil {
		a.fails = 0
	}
	return t
}

// draw takes a new owner, since this one's hold is somebody's, or over.
func (a *asker) draw() { a.owner, a.unclear = NewOwner(), false }

// note keeps what waiters are told that leave.
func (a *asker) note(t answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failing, a.latest = t.err, t
	if t.err == nil {
		a.seen = t
	}
}

// over ends the crowd if nobody waits.
func (a *asker) over() bool {
	if !a.closeIfEmpty() {
		return false
	}
	a.clear()
	return true
}

// end tells all who wait.
func (a *asker) end(t answer) {
	a.clear()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tellAll(t)
}

// clear sees to a claim that may have been executed unheard.
func (a *asker) clear() {
	if a.unclear {
		a.locker.leftovers.unclear(a.id, answer{owner: a.owner, sent: time.Now(), unclear: true})
		a.unclear = false
	}
}
