package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

const (
	// drainLimit is how long running requests may take to finish.
	drainLimit = 10 * time.Second
	// lastWords is for those that are still running then: their contexts have
	// been cancelled, and whoever heeds that can still answer.
	lastWords = 250 * time.Millisecond
)

// gate turns every new request away once it is closed. The guard does that for
// protected routes by itself; the gate is for all the others, and for requests
// that would fail before they get to the guard. Clients of any route then see
// one and the same answer, and try another instance.
type gate struct{ closed atomic.Bool }

func (g *gate) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.closed.Load() {
			w.Header().Set("Idempotency-Status", "rejected")
			writeProblem(w, errDraining)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// drain lets running requests finish, then closes the server. Listeners and
// kept-alive connections stay open for as long, so that a client gets an answer
// by which it can retry, and not a refused or a dropped connection.
// It goes on although ctx has ended: that is what started it.
func drain(ctx context.Context, g *gate, guard *idempotency.Guard, server *http.Server) error {
	g.closed.Store(true)
	ctx = context.WithoutCancel(ctx)
	limit, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	running := guard.Shutdown(limit)
	if running != nil {
		limit, cancel = context.WithTimeout(ctx, lastWords)
		defer cancel()
	}
	err := server.Shutdown(limit)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	if err = errors.Join(running, err); err != nil {
		return fmt.Errorf("drain: not finished within %v: %w", drainLimit, err)
	}
	return nil
}
