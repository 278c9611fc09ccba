package idempotency

import (
	"container/list"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
)

// crowds gathers those executions of this process that ask about one operation
// with the same request and may wait. However many they are, they cost the
// store little more than one: the first asks, the others join it.
type crowds struct {
	guard   *Guard
	limit   int // of waiters in all
	workers *gate

	mu      sync.Mutex
	open    map[crowdKey]*crowd
	waiting int
}

// crowdKey is what makes executions alike: whatever the store says to one of
// them, it would have said to each.
type crowdKey struct {
	id       store.ID
	bound    store.Fingerprint
	takeOver store.TakeOver
}

// crowd is there from when its leader asks until nobody waits.
//
//	enter ──first──▶ leader asks ──claimed──▶ runs; the others wait for it
//	  │                  ├─in progress──▶ waits like the others
//	  └─others──▶ wait ◀─┘                 │ the store's notification, or a re-check
//	               ▲                       ▼
//	               └──in progress── one claim for all ──claimed──▶ the first one runs
//	                                       └─anything else──▶ told to all
type crowd struct {
	*crowds
	key     crowdKey
	claim   store.Claim // what is asked; the owner is the crowd's own
	most    int         // waiters
	emptied chan struct{}

	waiters list.List // of *waiter, in the order of their arrival
	watched bool      // a goroutine listens and asks for all
	last    told      // the latest answer, if that was no end
	unclear bool      // a claim of the present owner was sent and not answered
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
	sent  time.Time
	reply store.Reply
	err   error
}

func newCrowds(g *Guard, limit int) *crowds {
	return &crowds{guard: g, limit: limit, workers: newGate(), open: make(map[crowdKey]*crowd)}
}

// enter lets an execution ask. It leads if w is nil and full is false: then it
// asks the store itself and says so by [crowd.led]. When the crowd is full it
// gets what is known.
func (cs *crowds) enter(claim store.Claim, id store.ID, most int) (c *crowd, w *waiter, full bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	key := crowdKey{id, claim.Fingerprint, claim.TakeOver}
	if c = cs.open[key]; c != nil {
		w = c.join()
		return c, w, w == nil
	}
	claim.Owner = store.NewOwner()
	c = &crowd{crowds: cs, key: key, claim: claim, most: most, emptied: make(chan struct{}, 1)}
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
func (c *crowd) led(t told) *waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case t.err == nil && t.reply.Verdict == store.Claimed:
		c.last = told{sent: t.sent, reply: t.reply}
		if c.waiters.Len() == 0 {
			c.close()
			return nil
		}
	case t.err == nil && t.reply.Verdict == store.InProgress:
		c.last = t
		w := c.join()
		if c.waiters.Len() == 0 { // too many wait elsewhere
			c.close()
			return nil
		}
		c.watch()
		return w
	default:
		c.tellAll(t)
		return nil
	}
	c.watch()
	return nil
}

// watch starts the goroutine that asks for all. Once the guard is shut down
// there is none: then the waiters leave by themselves.
func (c *crowd) watch() {
	if !c.watched && c.workers.enter() {
		c.watched = true
		go c.run()
	}
}

// tellAll ends the crowd.
func (c *crowd) tellAll(t told) {
	t.owner = store.Owner{}
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

// known is what can be said without asking.
func (c *crowd) known() told {
	t := c.last
	if t.err == nil {
		t.reply.Verdict = store.InProgress
	}
	if t.err == nil && !t.sent.IsZero() {
		t.reply.Now = t.reply.Now.Add(time.Since(t.sent)) // it has been running on since
	}
	t.owner = store.Owner{}
	return t
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
