package lock

import (
	"context"
	"sync"
)

// gate counts what is under way and lets nothing in once it is closed.
type gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	shut   chan struct{} // closed by close
	empty  chan struct{} // closed when it is closed and nobody is inside
}

func newGate() *gate { return &gate{shut: make(chan struct{}), empty: make(chan struct{})} }

// enter reports whether the gate is open; then leave must follow.
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

// close lets nobody in any more. Closing again does nothing.
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

// wait waits until the gate is closed and empty.
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
