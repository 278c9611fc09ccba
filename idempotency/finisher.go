package idempotency

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
)

// finisher sends endings that the store did not take at once, again and again
// until it answers or their time is over. While there are any, one goroutine
// keeps their order and a few send.
type finisher struct {
	apply func(context.Context, store.ID, store.Event) (store.Reply, error)

	mu      sync.Mutex
	queue   pendingQueue
	sending int
	unheard int // how many the store has not answered at all
	running bool
	stopped bool
	wake    chan struct{}
	idle    chan struct{} // closed and replaced whenever unheard falls to 0
	wg      sync.WaitGroup
}

// pending is an ending under way.
type pending struct {
	id    store.ID
	event store.Event
	// until is when it is given up.
	until time.Time
	// done is called once, with nil when the store has answered.
	done func(event store.Event, err error)

	next    time.Time
	backoff time.Duration
	// refused: the store answered that the record is another's. For the release
	// of an unclear claim that is no end: the claim may still be on its way.
	refused bool
	// last: its time is over, and the try at the end of it was made.
	last bool
}

const (
	firstRetry = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
	// maxSending bounds the calls side by side: while a store is down, each
	// takes its whole timeout and a connection.
	maxSending = 4
	// maxPending bounds the memory of a long outage, at some 500 bytes each.
	maxPending = 65_536
)

var (
	errGivenUp  = errors.New("given up: the store did not answer in time")
	errRefused  = errors.New("refused: the attempt is not the operation's owner any more")
	errTooMany  = errors.New("given up: too many endings are pending")
	errShutDown = errors.New("given up: the guard was shut down")
)

func newFinisher(apply func(context.Context, store.ID, store.Event) (store.Reply, error)) *finisher {
	return &finisher{apply: apply, wake: make(chan struct{}, 1), idle: make(chan struct{})}
}

// add takes an ending over, to be sent at a time.
func (f *finisher) add(p *pending, at time.Time) {
	if err := f.enqueue(p, at); err != nil {
		p.done(p.event, err)
	}
}

func (f *finisher) enqueue(p *pending, at time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.stopped:
		return errShutDown
	case len(f.queue)+f.sending >= maxPending:
		return errTooMany
	}
	p.next, p.backoff = at, firstRetry
	heap.Push(&f.queue, p)
	f.unheard++
	if !f.running {
		f.running = true
		f.wg.Go(f.loop)
	}
	f.signal()
	return nil
}

func (f *finisher) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// loop starts what is due until nothing is pending.
func (f *finisher) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		delay, more := f.dispatch()
		if !more {
			return
		}
		timer.Reset(delay)
		select {
		case <-timer.C:
		case <-f.wake:
		}
	}
}

// dispatch starts what is due and says how long nothing will be.
func (f *finisher) dispatch() (delay time.Duration, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) > 0 && f.sending < maxSending {
		if delay := time.Until(f.queue[0].next); delay > 0 && !f.stopped {
			return delay, true
		}
		p, _ := heap.Pop(&f.queue).(*pending)
		f.sending++
		f.wg.Go(func() { f.send(p) })
	}
	if len(f.queue) == 0 && f.sending == 0 {
		f.running = false
		return 0, false
	}
	return time.Hour, true // until a call returns
}

func (f *finisher) send(p *pending) {
	again, heard, err := f.try(p)
	if !again {
		p.done(p.event, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sending--
	if (heard || !again) && !p.refused {
		f.hear()
	}
	p.refused = p.refused || heard
	if again {
		p.next = time.Now().Add(p.backoff)
		if !p.last && p.next.After(p.until) {
			p.next = p.until // a store that is back by then is asked once more
		}
		p.backoff = min(2*p.backoff, maxBackoff)
		heap.Push(&f.queue, p)
	}
	f.signal()
}

// hear notes that one more ending has been answered or given up.
func (f *finisher) hear() {
	f.unheard--
	if f.unheard == 0 {
		close(f.idle)
		f.idle = make(chan struct{})
	}
}

// try sends an ending once and says whether to send it again, whether the store
// answered, and if it is over, how it ended.
func (f *finisher) try(p *pending) (again, heard bool, err error) {
	if over, err := f.over(p); over {
		return false, false, err
	}
	reply, err := f.apply(context.Background(), p.id, p.event)
	if errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrInvalid) {
		return false, true, err
	}
	if heard = err == nil; !heard {
		return true, heard, nil
	}
	if reply.Verdict != store.Refused {
		return false, heard, nil
	}
	if release, ok := p.event.(store.Release); ok && release.Void {
		return true, heard, nil
	}
	return false, heard, errRefused
}

// over says whether an ending is not sent any more, and if that loses
// something, why.
func (f *finisher) over(p *pending) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	late := p.last
	p.last = !time.Now().Before(p.until)
	switch {
	case p.refused:
		return f.stopped || late, nil
	case f.stopped:
		return true, errShutDown
	case late:
		return true, errGivenUp
	}
	return false, nil
}

// wait returns when the store has answered all that is pending, or with ctx's
// error.
func (f *finisher) wait(ctx context.Context) error {
	f.mu.Lock()
	idle, unheard := f.idle, f.unheard
	f.mu.Unlock()
	if unheard == 0 {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stop gives up what is pending and waits for the calls under way.
func (f *finisher) stop() {
	f.mu.Lock()
	f.stopped = true
	f.signal()
	f.mu.Unlock()
	f.wg.Wait()
}

// pendingQueue is a heap by next.
type pendingQueue []*pending

func (q pendingQueue) Len() int           { return len(q) }
func (q pendingQueue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q pendingQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *pendingQueue) Push(x any) {
	p, _ := x.(*pending)
	*q = append(*q, p)
}

func (q *pendingQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
