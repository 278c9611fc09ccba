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
//
// A guard has two: one for what attempts ended with, and one for the release of
// claims that were never answered, of which an outage makes far more.
type finisher struct {
	apply func(context.Context, store.ID, store.Event) (store.Reply, error)

	mu      sync.Mutex
	queue   pendingQueue
	bytes   int // of the bodies in queue and under way
	sending int
	unheard int // how many the store has not answered
	stopped bool
	wake    chan struct{}
	heard   chan struct{} // closed and replaced whenever unheard falls to 0
	quiet   chan struct{} // closed when the loop ends; nil while there is none
}

const (
	firstRetry = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
	// maxSending bounds the calls side by side: while a store is down, each
	// takes its whole timeout and a connection.
	maxSending = 4
	// maxPending and maxPendingBytes bound the memory of a long outage: some
	// 500 bytes for each ending, and its body. Over the second, a body is left
	// behind: that the operation is done matters more than its answer.
	maxPending      = 65_536
	maxPendingBytes = 64 << 20
	// releaseFor is how long the release of an unanswered claim is tried while
	// the store does not answer: the claim may lie in a frozen server's buffers
	// and be executed when it thaws. Once the store answers that the record is
	// another's, the claim is waited for until its lease would be over.
	releaseFor = 10 * time.Minute
	// overdue is how late an ending is still sent once its time is over.
	overdue = 250 * time.Millisecond
)

var (
	errGivenUp  = errors.New("given up: the store did not answer in time")
	errRefused  = errors.New("refused: the attempt is not the operation's owner any more")
	errTooMany  = errors.New("given up: too many endings are pending")
	errShutDown = errors.New("given up: the guard was shut down")
)

func newFinisher(apply func(context.Context, store.ID, store.Event) (store.Reply, error)) *finisher {
	return &finisher{apply: apply, wake: make(chan struct{}, 1), heard: make(chan struct{})}
}

// add takes an ending over, to be sent first at a time.
func (f *finisher) add(p *pending, at time.Time) {
	if err := f.enqueue(p, at); err != nil {
		p.tell(err)
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
	case f.bytes+p.size() > maxPendingBytes:
		p.dropBody()
	}
	f.bytes += p.size()
	f.unheard++
	p.next, p.backoff, p.awaited = at, firstRetry, true
	heap.Push(&f.queue, p)
	if f.quiet == nil {
		f.quiet = make(chan struct{})
		go f.loop(f.quiet)
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
func (f *finisher) loop(quiet chan struct{}) {
	defer close(quiet)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		delay, over, more := f.dispatch()
		for _, p := range over {
			p.tell(p.giveUp())
		}
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

// dispatch starts what is due, takes out what is over, and says how long
// nothing will be due. An ending whose time is over takes no sender: in a long
// outage those would keep the others from being sent at all.
func (f *finisher) dispatch() (delay time.Duration, over []*pending, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) > 0 {
		first := f.queue[0]
		late := time.Since(first.end()) > overdue
		if delay := time.Until(first.next); delay > 0 && !f.stopped && !late {
			return delay, over, true
		}
		if !f.stopped && !late && f.sending == maxSending {
			break
		}
		heap.Pop(&f.queue)
		if f.stopped || late {
			first.cut = f.stopped
			f.forget(first)
			over = append(over, first)
			continue
		}
		f.sending++
		go f.send(first)
	}
	if len(f.queue) == 0 && f.sending == 0 {
		f.quiet = nil
		return 0, over, false
	}
	return time.Hour, over, true // until a call returns
}

func (f *finisher) send(p *pending) {
	reply, err := f.apply(context.Background(), p.id, p.event)
	over, err := p.judge(reply, err)
	if over || p.taken {
		p.tell(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.signal()
	f.sending--
	if over {
		f.forget(p)
		return
	}
	if p.settled() {
		f.hear(p)
	}
	p.next = time.Now().Add(p.backoff)
	if p.next.After(p.end()) {
		p.next = p.end() // a store that is back by then is asked once more
	}
	p.backoff = min(2*p.backoff, maxBackoff)
	heap.Push(&f.queue, p)
}

func (f *finisher) forget(p *pending) {
	f.bytes -= p.size()
	f.hear(p)
}

// hear notes that nobody needs to wait for this one any more.
func (f *finisher) hear(p *pending) {
	if !p.awaited {
		return
	}
	p.awaited = false
	f.unheard--
	if f.unheard == 0 {
		close(f.heard)
		f.heard = make(chan struct{})
	}
}

// wait returns when the store has answered all that is pending, or with ctx's
// error.
func (f *finisher) wait(ctx context.Context) error {
	f.mu.Lock()
	heard, unheard := f.heard, f.unheard
	f.mu.Unlock()
	if unheard == 0 {
		return nil
	}
	return waitFor(ctx, heard)
}

// stop gives up what is pending. It waits for the calls under way, as long as
// the store's timeout should let them take.
func (f *finisher) stop(limit time.Duration) error {
	f.mu.Lock()
	f.stopped = true
	quiet := f.quiet
	f.signal()
	f.mu.Unlock()
	if quiet == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return waitFor(ctx, quiet)
}

// waitFor waits for a channel to be closed. One that is closed already counts,
// whatever the context says.
func waitFor(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
