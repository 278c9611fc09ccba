package main

import (
	"context"
	"fmt"
	"log/slog"
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

// gate counts the requests that are under way, and turns every new one away
// once it is closed. The guard does that for protected routes by itself; the
// gate is for all the others, and for requests that would fail before they get
// to the guard. Clients of any route then see one and the same answer, and try
// another instance.
type gate struct {
	mu       sync.Mutex
	underWay int
	empty    chan struct{} // nil while the gate is open
}

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
	if g.empty != nil {
		return false
	}
	g.underWay++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.underWay--
	if g.empty != nil && g.underWay == 0 {
		close(g.empty)
	}
}

// close turns new requests away and returns what is closed once all that were
// under way have been answered.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.empty = make(chan struct{})
	if g.underWay == 0 {
		close(g.empty)
	}
	return g.empty
}

// drain lets running requests finish, then closes the server. Listeners and
// kept-alive connections stay open for as long, so that a client gets an answer
// by which it can retry, and not a refused or a dropped connection.
// It goes on although ctx has ended: that is what started it.
func drain(ctx context.Context, g *gate, guard *idempotency.Guard, server *http.Server, log *slog.Logger) error {
	empty := g.close()
	ctx = context.WithoutCancel(ctx)
	limit, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	// At once, for duplicates that wait for another's answer: they are told to
	// ask elsewhere. Running attempts finish, and what the store has not taken
	// yet is sent. At the limit this ends the contexts of what still runs.
	shut := make(chan error, 1)
	go func() { shut <- guard.Shutdown(limit) }()
	var late error
	select {
	case <-empty:
	case <-limit.Done():
		late = fmt.Errorf("drain: requests were still running after %v", drainLimit)
	}
	if err := <-shut; err != nil {
		log.Warn("not everything could be recorded", "error", err)
	}
	last, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	select {
	case <-empty:
	case <-last.Done():
	}
	if err := server.Shutdown(last); err != nil {
		log.Warn("connections were cut", "error", err)
		_ = server.Close() // what Shutdown could not do
	}
	return late
}
