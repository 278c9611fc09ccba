package idempotency

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/reprise-go/reprise/internal/gate"
	"github.com/reprise-go/reprise/store"
)

// crowds gathers those executions of this process that ask about one operation
// with the same request and may wait. However many they are, they cost the
// store little more than one: the first asks, the others join it.
type crowds struct {
	guard   *Guard
	limit   int // of waiters in all
	workers *gate.Gate

	mu      sync.Mutex
	open    map[crowdKey]*crowd
	waiting int
}

// crowdKey is what makes executions alike: whatever the store says to one of
// them, it would have said to each, and a claim that was won for one is what
// each would have asked for. After an override the lease may differ: whoever got a
// claim of a shorter one than it asked for would take it as held when it is not.
type crowdKey struct {
	id               store.ID
	bound            store.Fingerprint
	takeOver         store.TakeOver
	lease, retention time.Duration
}

// crowd is there from when its leader asks until nobody waits.
//
//	enter ──first──▶ leader asks ──claimed──▶ runs; the others wait for it
//	  │                  ├─no answer──▶ is told; for the others it is asked once more
//	  │                  ├─in progress──▶ waits like the others
//	  └─others──▶ wait ◀─┘                 │ the store's notification, or a re-check
//	               ▲                       ▼
//	               └──in progress── one claim for all ──claimed──▶ the first one runs
//	                                       └─anything else──▶ told to all
type crowd struct {
	*crowds
	key     crowdKey
	most    int // waiters
	emptied chan struct{}

	// The rest is guarded by crowds.mu.
	waiters list.List // of *waiter, in the order of their arrival
	watched bool      // a goroutine listens and asks for all
	seen    told      // the latest answer: that an attempt is running
	failing error     // why the latest question had no answer
}

// waiter is an execution in a crowd.
type waiter struct {
	crowd *crowd
	place *list.Element // nil once it is told or has left
	told  chan told     // holds one
}

// told is what an execution learned from a claim.
type told struct {
	// owner is whose claim it was; zero if it was asked for others, too.
	owner store.Owner
	// unclear says that another claim of that owner may still be on its way.
	unclear bool
	sent    time.Time
	reply   store.Reply
	err     error
	// busy says, with an error, that an attempt is known to be running.
	busy bool
}

// claimed reports that the execution has the claim.
func (t told) claimed() bool { return t.err == nil && t.reply.Verdict == store.Claimed }

var errNotAsked = fmt.Errorf("%w: it has not answered yet", store.ErrUnavailable)

func newCrowds(g *Guard, limit int) *crowds {
	return &crowds{guard: g, limit: limit, workers: gate.New(), open: make(map[crowdKey]*crowd)}
}

// stop waits for the calls that are under way for those who waited: what they
// win has to be given back, also when ctx has ended, for the time that the
// store's timeout should let it take.
func (cs *crowds) stop(ctx context.Context, limit time.Duration) error {
	cs.workers.Close()
	err := cs.workers.Wait(ctx)
	if err == nil {
		return nil
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return errors.Join(err, cs.workers.Wait(late))
}

// enter lets an execution ask. It leads if w is nil and full is false: then it
// asks the store itself and says so by [crowd.led].
func (cs *crowds) enter(claim store.Claim, id store.ID, most int) (c *crowd, w *waiter, full bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	key := crowdKey{id, claim.Fingerprint, claim.TakeOver, claim.Lease, claim.Retention}
	if c = cs.open[key]; c != nil {
		w = c.join()
		return c, w, w == nil
	}
	c = &crowd{crowds: cs, key: key, most: most, emptied: make(chan struct{}, 1), failing: errNotAsked}
	cs.open[key] = c
	return c, nil, false
}

// join adds a waiter; nil if there are too many.
func (c *crowd) join() *waiter {
	if c.waiters.Len() >= c.most || c.waiting >= c.limit {
		return nil
	}
	c.waiting++
	w := &waiter{crowd: c, told: make(chan told, 1)}
	w.place = c.waiters.PushBack(w)
	return w
}

// led hands on what the leader was told. The leader waits, too, if a waiter is
// returned.
func (c *crowd) led(t told, claim store.Claim) (w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case t.claimed():
	case t.err == nil && t.reply.Verdict == store.InProgress:
		w = c.join()
	case mayPass(t.err) && c.waiters.Len() > 0:
		// One call that took too long must not fail them all.
		c.watch(claim, false)
		return nil
	default:
		c.tellAll(t)
		return nil
	}
	c.seen, c.failing = t, nil
	if c.waiters.Len() == 0 {
		c.close()
		return nil
	}
	c.watch(claim, true)
	return w
}

// watch starts the goroutine that asks for all. Once the guard is shut down
// there is none: then the waiters leave by themselves.
func (c *crowd) watch(claim store.Claim, heard bool) {
	if !c.watched && c.workers.Enter() {
		c.watched = true
		go newAsker(c, claim, heard).run()
	}
}

// tellAll ends the crowd.
func (c *crowd) tellAll(t told) {
	t.owner, t.unclear = store.Owner{}, false
	for c.waiters.Len() > 0 {
		c.first().tell(t)
	}
	c.close()
}

func (c *crowd) first() *waiter {
	if c.waiters.Len() == 0 {
		return nil
	}
	w, _ := c.waiters.Front().Value.(*waiter)
	return w
}

// tell gives a waiter its answer and takes it out.
func (w *waiter) tell(t told) {
	w.out()
	w.told <- t
}

func (w *waiter) out() {
	w.crowd.waiters.Remove(w.place)
	w.crowd.waiting--
	w.place = nil
}

func (c *crowd) close() {
	if c.open[c.key] == c {
		delete(c.open, c.key)
	}
}

func (c *crowd) closeIfEmpty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiters.Len() > 0 {
		return false
	}
	c.close()
	return true
}

// leave takes a waiter out that does not want to wait any longer. If it was told
// something in the same moment, it gets that.
func (w *waiter) leave() told {
	c := w.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.place == nil {
		return <-w.told
	}
	w.out()
	if c.waiters.Len() == 0 {
		select {
		case c.emptied <- struct{}{}:
		default:
		}
	}
	return c.known()
}

// known is what can be said without asking. While the store does not answer that
// is an error, even of an attempt that was running a moment ago.
func (c *crowd) known() told {
	t := told{sent: c.seen.sent, reply: c.seen.reply}
	t.reply.Verdict = store.InProgress
	t.reply.Now = t.reply.Now.Add(time.Since(t.sent)) // it has been running on since
	if c.failing != nil {
		t.err = c.failing
		t.busy = errors.Is(t.err, errNotAsked) || t.reply.Now < t.reply.LeaseEnd
	}
	return t
}

// whenFull is what is known to one who cannot join; false if it must ask for
// itself.
func (c *crowd) whenFull() (t told, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known(), c.failing == nil
}

// hand gives a claim that was won to the waiter that came first. False if nobody
// is there to take it.
func (c *crowd) hand(t told) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.first()
	if w == nil {
		return false
	}
	w.tell(t)
	return true
}
