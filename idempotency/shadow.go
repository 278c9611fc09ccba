package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/store"
)

var errImpatient = fmt.Errorf("%w: no answer in the time that a request in shadow waits", store.ErrUnavailable)

// off runs the handler of an operation that is switched off.
func (x *execution) off(ctx context.Context) (result Result) {
	defer func() { x.report(ctx, result, nil) }()
	return Result{Outcome: Unprotected, Answer: x.handler.Handle(withoutAttempt(ctx))}
}

// shadow does all that is done for a protected request, with three differences:
// it waits for the store only so long, the handler's context is the caller's own,
// and where a caller would be refused or get a recorded answer, the handler runs
// after all. What would have been is reported.
func (x *execution) shadow(ctx context.Context) Result {
	var (
		would Result
		err   error
	)
	x.shadowed = true
	defer func() { x.report(ctx, would, err) }()
	handler := &watched{Handler: x.handler}
	x.handler = handler
	would, err = x.enter(ctx)
	if !handler.ran {
		_ = handler.Handle(withoutAttempt(ctx))
	}
	return Result{Outcome: Unprotected, Answer: handler.answer}
}

// watched is a handler that knows what it answered.
type watched struct {
	Handler
	ran    bool
	answer Answer
}

// Handle implements [Handler].
func (w *watched) Handle(ctx context.Context) Answer {
	w.ran = true
	w.answer = w.Handler.Handle(ctx)
	return w.answer
}

// applyInShadow asks the store on another goroutine, because not every client
// heeds a context, and for no longer than [WithShadowTimeout] says. An answer that
// comes too late is not heard: a claim is given back like any other that was not
// answered, and an ending sent once more.
func (x *execution) applyInShadow(ctx context.Context, event store.Event) (store.Reply, error) {
	left := min(x.guard.opts.shadowTimeout-x.inStore, x.guard.opts.storeTimeout)
	if left <= 0 {
		return store.Reply{}, errors.Join(errImpatient, store.ErrNotExecuted)
	}
	workers := x.guard.crowds.workers
	if !workers.Enter() { // nobody would wait for the goroutine any more
		return x.guard.applyWithin(ctx, left, x.id, event)
	}
	heard := make(chan told, 1)
	go func() {
		defer workers.Leave()
		reply, err := x.guard.applyWithin(ctx, left, x.id, event)
		heard <- told{reply: reply, err: err}
	}()
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case t := <-heard:
		return t.reply, t.err
	case <-timer.C:
		return store.Reply{}, errImpatient
	}
}
