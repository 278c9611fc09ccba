package lock

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/reprise-go/reprise/internal/gate"
)

// crowds gathers those who wait in this process, by lock. However many wait for
// one, they cost the backend little more than one: the first asks, the others
// join it.
type crowds struct {
	locker   *Locker
	notifier Notifier // nil if the backend is none
	workers  *gate.Gate

	mu      sync.Mutex
	open    map[ID]*crowd
	waiting int
}

// crowd is there from when its leader asks until nobody waits.
//
//	enter ──first──▶ leader asks ──acquired──▶ has it; the others wait for it
//	  │                  ├─no answer──▶ is told; for the others it is asked once more
//	  │                  └─held──▶ waits as the first of them
//	  └─others──▶ wait ◀───────┘         │ a notification, a release here, or a re-check
//	               ▲                     ▼
//	               └──held── one claim for all ──acquired──▶ the first one has it
//	                                    └─anything else, if it was never answered──▶ told to all
type crowd struct {
	*crowds
	id      ID
	emptied chan struct{}
	freed   chan struct{} // released here, for backends that do not notify

	// The rest is guarded by crowds.mu.
	waiters list.List // of *waiter, in the order of their arrival
	asked   bool      // a goroutine asks for all
	seen    answer    // the latest from the backend
	failing error     // why the latest question had no answer
}

// waiter is a call of Lock in a crowd.
type waiter struct {
	crowd *crowd
	place *list.Element // nil once it is told or has left
	told  chan answer   // holds one
}

func newCrowds(l *Locker, n Notifier) *crowds {
	return &crowds{locker: l, notifier: n, workers: gate.New(), open: make(map[ID]*crowd)}
}

// await returns an answer that is not "held", or an error.
func (cs *crowds) await(ctx context.Context, id ID) (answer, error) {
	c, w, leads := cs.enter(id)
	if leads {
		var a answer
		if a, w = c.lead(ctx); w == nil {
			return a, nil
		}
	}
	if w == nil {
		return answer{}, c.known()
	}
	return w.await(ctx)
}

// enter joins a crowd. Without a waiter the caller leads it, and asks by
// [crowd.lead], or else it is full.
func (cs *crowds) enter(id ID) (c *crowd, w *waiter, leads bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c = cs.open[id]; c != nil {
		return c, c.join(false), false
	}
	c = &crowd{
		crowds: cs, id: id, failing: errNotAsked,
		emptied: make(chan struct{}, 1), freed: make(chan struct{}, 1),
	}
	cs.open[id] = c
	return c, nil, true
}

// join adds a waiter; nil if there are too many.
func (c *crowd) join(first bool) *waiter {
	if c.waiting >= c.locker.opts.maxWaiters {
		return nil
	}
	c.waiting++
	w := &waiter{crowd: c, told: make(chan answer, 1)}
	if first {
		w.place = c.waiters.PushFront(w)
	} else {
		w.place = c.waiters.PushBack(w)
	}
	return w
}

// lead asks the backend. With a waiter the leader waits like the others.
func (c *crowd) lead(ctx context.Context) (a answer, w *waiter) {
	a = answer{err: errExited}
	defer func() { w = c.led(a) }() // also after runtime.Goexit: the crowd must not wait for nobody
	a = c.locker.ask(ctx, c.id, NewOwner(), false)
	return a, nil
}

// led hands on what the leader was told.
func (c *crowd) led(a answer) (w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.held() {
		w = c.join(true)
	}
	if a.err == nil {
		c.seen, c.failing = a.toOthers(c.locker.opts.lease), nil
	}
	if c.waiters.Len() == 0 {
		c.close()
		return nil
	}
	if !c.asked && c.workers.Enter() {
		c.asked = true
		go (&asker{crowd: c, owner: NewOwner(), heard: a.err == nil}).run()
	}
	return w
}

// await waits to be told, up to the limits of the locker and of ctx.
func (w *waiter) await(ctx context.Context) (answer, error) {
	l := w.crowd.locker
	var patience <-chan time.Time
	if l.opts.maxWait != Unlimited {
		timer := time.NewTimer(l.opts.maxWait)
		defer timer.Stop()
		patience = timer.C
	}
	var err error
	select {
	case a := <-w.told:
		return a, nil
	case <-patience:
	case <-ctx.Done():
		err = fmt.Errorf("lock: gave up waiting: %w", context.Cause(ctx))
	case <-l.calls.Shut():
		err = closed(w.crowd.id)
	}
	a, told := w.leave()
	switch {
	case !told && errors.Is(err, ErrClosed):
		return answer{}, err
	case !told && err != nil:
		return answer{}, fmt.Errorf("%w: %w", err, w.crowd.known())
	case !told:
		return answer{}, w.crowd.known()
	case err != nil && a.acquired(): // nobody is there for its answer
		w.crowd.passOn(a)
		return answer{}, err
	}
	return a, nil
}

// leave takes a waiter out that does not want to wait any longer. If it was told
// something in the same moment, it gets that.
func (w *waiter) leave() (a answer, told bool) {
	c := w.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.place == nil {
		return <-w.told, true
	}
	w.out()
	return answer{}, false
}

// tell gives a waiter its answer and takes it out.
func (w *waiter) tell(a answer) {
	w.out()
	w.told <- a
}

func (w *waiter) out() {
	c := w.crowd
	c.waiters.Remove(w.place)
	c.waiting--
	w.place = nil
	if c.waiters.Len() == 0 {
		poke(c.emptied)
	}
}

// known is what can be said without asking.
func (c *crowd) known() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing != nil {
		return unavailable("acquire", c.id, c.failing)
	}
	return &HeldError{ID: c.id.Short(), Left: c.seen.left()}
}

// passOn gives a lock that came too late to the next one who waits.
func (c *crowd) passOn(a answer) {
	if !c.hand(a) {
		c.locker.leftovers.unused(c.id, a)
	}
}

// hand gives a lock that was won to the waiter that came first. False if nobody
// is there to take it.
func (c *crowd) hand(a answer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiters.Len() == 0 {
		return false
	}
	c.first().tell(a)
	return true
}

func (c *crowd) first() *waiter {
	w, _ := c.waiters.Front().Value.(*waiter)
	return w
}

// tellAll ends the crowd.
func (c *crowd) tellAll(a answer) {
	a.unclear = false // the asker has seen to it
	for c.waiters.Len() > 0 {
		c.first().tell(a)
	}
	c.close()
}

func (c *crowd) close() {
	if c.open[c.id] == c {
		delete(c.open, c.id)
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

// released tells those who wait here that the lock may be free, if nobody else
// does.
func (cs *crowds) released(id ID) {
	if cs.notifier != nil {
		return
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.open[id]; c != nil {
		poke(c.freed)
	}
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
