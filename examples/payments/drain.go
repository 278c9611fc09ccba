package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

const (
	// drainLimit is how long running requests may take to finish.
	drainLimit = 10 * time.Second
	// lastWords is for those that are still running then: their contexts have
	// been cancelled, and whoever heeds that can still answer.
	lastWords = 250 * time.Millisecond
)

// gate counts the requests that are under way, over HTTP and gRPC, and turns
// every new one away once it is closed. The guard does that for protected routes
// by itself; the gate is for all the others, and for requests that would fail
// before they get to the guard. Clients of any route then see one and the same
// answer, and try another instance.
type gate struct {
	mu       sync.Mutex
	underWay int
	shut     chan struct{} // closed with the gate
	empty    chan struct{} // closed once the gate is, and nothing is under way
}

func newGate() *gate { return &gate{shut: make(chan struct{}), empty: make(chan struct{})} }

func (g *gate) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.enter() {
			idemhttp.WriteError(w, &idempotency.Error{Code: idempotency.ErrDraining})
			return
		}
		defer g.leave()
		next.ServeHTTP(w, r)
	})
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isShut() {
		return false
	}
	g.underWay++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.underWay--
	if g.isShut() && g.underWay == 0 {
		close(g.empty)
	}
}

func (g *gate) isShut() bool {
	select {
	case <-g.shut:
		return true
	default:
		return false
	}
}

// close turns new requests away. It is called once.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shut)
	if g.underWay == 0 {
		close(g.empty)
	}
}

// drain lets running requests finish, then closes the servers. Listeners and
// connections stay open for as long, so that a client gets an answer by which it
// can retry, and not a refused or a dropped connection.
// It goes on although ctx has ended: that is what started it.
func (s *server) drain(ctx context.Context) error {
	s.gate.close()
	ctx = context.WithoutCancel(ctx)
	limit, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	// At once, for duplicates that wait for another's answer: they are told to
	// ask elsewhere. Running attempts finish, and what the store has not taken
	// yet is sent. At the limit this ends the contexts of what still runs.
	shut := make(chan error, 1)
	go func() { shut <- s.guard.Shutdown(limit) }()
	var late error
	select {
	case <-s.gate.empty:
	case <-limit.Done():
		late = fmt.Errorf("drain: requests were still running after %v", drainLimit)
	}
	if err := <-shut; err != nil {
		s.log.Warn("not everything could be recorded", "error", err)
	}
	last, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	select {
	case <-s.gate.empty:
	case <-last.Done():
	}
	s.close(last)
	return late
}

// close closes both servers, and what has not ended with ctx by force.
func (s *server) close(ctx context.Context) {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.grpc.GracefulStop()
	}()
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("connections were cut", "error", err)
		_ = s.http.Close() // what Shutdown could not do
	}
	select {
	case <-stopped:
	case <-ctx.Done():
		s.log.Warn("gRPC connections were cut", "error", ctx.Err())
		s.grpc.Stop() // and no waiting for GracefulStop: it waits for handlers, which may be deaf
	}
}
