package idempotency

import (
	"context"
	"sync"
)

// gate counts who is inside and lets nobody in once it is closed.
type gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	shut   chan struct{} // closed with the gate
	empty  chan struct{} // closed once the gate is closed and nobody is inside
}

func newGate() *gate { return &gate{shut: make(chan struct{}), empty: make(chan struct{})} }

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
}

func (g *gate) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	close(g.shut)
	if g.inside == 0 {
		close(g.empty)
	}
}

func (g *gate) wait(ctx context.Context) error {
	select {
	case <-g.empty:
		return nil
	default:
	}
	select {
	case <-g.empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
