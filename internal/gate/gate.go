// Package gate counts what is under way, and lets nothing in once it is closed: how
// guards and lockers drain.
package gate

import (
	"context"
	"sync"
)

// Gate is open from [New] on, and closes once. Safe for concurrent use.
type Gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	shut   chan struct{} // closed with the gate
	empty  chan struct{} // closed once the gate is closed and nobody is inside
}

// New returns an open gate.
func New() *Gate {
	return &Gate{shut: make(chan struct{}), empty: make(chan struct{})}
}

// Enter reports whether the gate is open; then Leave must follow.
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

// Leave undoes one Enter.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
}

// Closed reports whether the gate is closed.
func (g *Gate) Closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// Shut returns what is closed with the gate.
func (g *Gate) Shut() <-chan struct{} { return g.shut }

// Close lets nobody in any more. Closing again does nothing.
func (g *Gate) Close() {
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

// Wait waits until the gate is closed and empty. Its error is the cause of ctx's end.
func (g *Gate) Wait(ctx context.Context) error {
	select {
	case <-g.empty: // also when ctx has ended
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
