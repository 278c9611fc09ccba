package lock

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// A release is repeated after firstRepeat, and then after twice the time of
	// the last try, up to lastRepeat, half more or less.
	firstRepeat = 50 * time.Millisecond
	lastRepeat  = 2 * time.Second
	// maxLeftovers bounds what is kept while a backend is down. What does not fit
	// ends with its lease.
	maxLeftovers = 10_000
	// maxReleases is how many are sent side by side.
	maxReleases = 16
)

var errGivenUp = errors.New("it was given up: the lock ends with its lease")

// leftover is a hold, or what may be one, that nobody wants and the backend has
// not confirmed to be over.
type leftover struct {
	id    ID
	owner Owner
	// until is when its lease is over.
	until time.Time
	// unclear says that the claim may still be on its way. Then a release that
	// was executed is sent once more in the end: the trace by which a backend
	// recognises the late claim may be gone by the time it comes.
	unclear bool

	done    bool // executed once
	next    time.Time
	backoff time.Duration
}

// leftovers releases in the background, by one goroutine, there while there is
// something to do.
type leftovers struct {
	locker *Locker
	wake   chan struct{}
	work   sync.WaitGroup

	mu     sync.Mutex
	queue  leftoverQueue
	owed   int // not executed yet
	idle   chan struct{}
	cancel context.CancelFunc // nil while there is no goroutine
	closed bool
}

func newLeftovers(l *Locker) *leftovers {
	return &leftovers{locker: l, wake: make(chan struct{}, 1), idle: make(chan struct{}, 1)}
}

// unclear takes a claim without an answer, if it is one.
func (ls *leftovers) unclear(id ID, a answer) {
	if a.unclear {
		ls.add(leftover{id: id, owner: a.owner, until: a.sent.Add(ls.locker.opts.lease), unclear: true})
	}
}

// unused takes a lock that was acquired for somebody who has gone.
func (ls *leftovers) unused(id ID, a answer) {
	ls.add(leftover{id: id, owner: a.owner, until: a.sent.Add(ls.locker.opts.lease), backoff: -1})
}

// add keeps a leftover. A backoff of -1 releases at once.
func (ls *leftovers) add(o leftover) {
	if o.backoff == 0 {
		o.backoff = firstRepeat
	}
	o.next = time.Now().Add(max(o.backoff, 0))
	o.backoff = max(o.backoff, firstRepeat)
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed || len(ls.queue) >= maxLeftovers {
		return
	}
	ls.owed++
	heap.Push(&ls.queue, &o)
	if ls.cancel == nil {
		ctx, cancel := context.WithCancel(context.Background())
		ls.cancel = cancel
		ls.work.Go(func() { ls.run(ctx) })
	}
	poke(ls.wake)
}

func (ls *leftovers) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due, pause, idle := ls.take()
		if idle {
			return
		}
		if len(due) > 0 {
			ls.sendAll(ctx, due)
			continue
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-ls.wake:
		case <-ctx.Done():
			ls.drop()
		}
	}
}

// take takes out what is due, or says how long to wait.
func (ls *leftovers) take() (due []*leftover, pause time.Duration, idle bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if len(ls.queue) == 0 {
		ls.cancel()
		ls.cancel = nil
		return nil, 0, true
	}
	now := time.Now()
	for len(ls.queue) > 0 && len(due) < maxReleases && !ls.queue[0].next.After(now) {
		o, _ := heap.Pop(&ls.queue).(*leftover)
		due = append(due, o)
	}
	if len(due) == 0 {
		pause = ls.queue[0].next.Sub(now)
	}
	return due, pause, false
}

func (ls *leftovers) sendAll(ctx context.Context, due []*leftover) {
	var calls sync.WaitGroup
	for _, o := range due {
		calls.Go(func() { ls.send(ctx, o) })
	}
	calls.Wait()
}

func (ls *leftovers) send(ctx context.Context, o *leftover) {
	_, err := ls.locker.release(ctx, o.id, o.owner)
	first := err == nil && !o.done
	again := ls.judge(o, err)
	switch {
	case first:
		ls.settle()
		ls.locker.released(Handback{ID: o.id.Short(), Late: true})
		ls.locker.crowds.released(o.id)
	case !again && !o.done:
		ls.settle()
		ls.locker.opts.logger.Warn("lock: a release was given up",
			slog.String("id", o.id.Short()), slog.Any("error", err))
		ls.locker.released(Handback{ID: o.id.Short(), Late: true, Err: unavailable("release", o.id, errors.Join(errGivenUp, err))})
	}
}

// judge puts the leftover back if it has to be sent again.
func (ls *leftovers) judge(o *leftover, err error) (again bool) {
	now := time.Now()
	if !now.Before(o.until) {
		o.done = o.done || err == nil
		return false
	}
	switch {
	case err != nil:
		o.next = now.Add(o.backoff/2 + rand.N(o.backoff))
		o.backoff = min(2*o.backoff, lastRepeat)
	case o.unclear:
		o.done, o.next = true, o.until
	default:
		o.done = true
		return false
	}
	if o.next.After(o.until) {
		o.next = o.until // the last try
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	heap.Push(&ls.queue, o)
	return true
}

// settle notes that one is not owed any more.
func (ls *leftovers) settle() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.owed--
	if ls.owed == 0 {
		poke(ls.idle)
	}
}

// drop forgets what is left, when nobody wants to wait for it.
func (ls *leftovers) drop() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.queue, ls.owed = nil, 0
}

// stop waits until everything was executed once, or ctx ends, then forgets the
// rest and waits for the goroutine.
func (ls *leftovers) stop(ctx context.Context) error {
	err := ls.drain(ctx)
	ls.mu.Lock()
	ls.closed = true
	if ls.cancel != nil {
		ls.cancel()
	}
	ls.mu.Unlock()
	ls.work.Wait()
	return err
}

func (ls *leftovers) drain(ctx context.Context) error {
	for {
		ls.mu.Lock()
		owed := ls.owed
		ls.mu.Unlock()
		if owed == 0 {
			return nil
		}
		select {
		case <-ls.idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// leftoverQueue is a heap by next.
type leftoverQueue []*leftover

func (q leftoverQueue) Len() int           { return len(q) }
func (q leftoverQueue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q leftoverQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

func (q *leftoverQueue) Push(x any) {
	o, _ := x.(*leftover)
	*q = append(*q, o)
}

func (q *leftoverQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
