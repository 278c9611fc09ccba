package idempotency

import (
	"context"
	"log/slog"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Trace is a set of hooks that observe a guard, for metrics and tracing. Nil
// hooks are skipped. Hooks are called on the request's goroutine unless their
// comment says otherwise, may run concurrently, and should not block; a hook
// that panics is logged and otherwise ignored. [Guard.Shutdown] waits for them,
// so they must not call it. No hook sees a key, a scope, or
// anything of a request or an answer.
type Trace struct {
	// Finished is called once for every execution and every rejection, when
	// its outcome is known.
	Finished func(ctx context.Context, f Finished)
	// LeaseLost is called when a running attempt loses its lease, on a
	// goroutine of its own.
	LeaseLost func(l LeaseLost)
	// LateEnding is called when an ending that the store did not take at once was
	// taken later, or given up; on a goroutine of its own.
	LateEnding func(l LateEnding)
	// Settled is called when somebody settled or purged an operation, for the
	// audit trail; on the goroutine of the call.
	Settled func(ctx context.Context, s Settled)
}

// Finished describes an execution that ended.
type Finished struct {
	Operation string
	// ID is the first digits of the record's digest; empty if the request was
	// rejected before it had one. Not for metric labels.
	ID string
	// Outcome is set for executions that gave an answer.
	Outcome Outcome
	// Code is set for those that were refused one. A handler that panicked or
	// ended its goroutine has neither, and Ending "fail".
	Code Code
	// Ending is the event that ended a claimed attempt: "complete", "release",
	// "fail". A claim that was given back before its handler started ends with
	// "release", too.
	Ending string
	// Recorded says that the answer given is the recorded one.
	Recorded bool
	// Omitted is why the recorded answer has no body.
	Omitted store.Omission
	Attempt int
	// Retry is [Call].Retry: how many earlier attempts at this request the
	// transport spoke of.
	Retry int
	// Duration is the whole execution's, Store the part spent waiting for the
	// store, Waited the part spent waiting for another attempt to end.
	Duration, Store, Waited time.Duration
	// Err is the cause of a refusal.
	Err error
	// Shadow says that the handler ran in any case, unprotected ([KeyShadow]): all
	// else is what would have been. Ending and Recorded are what the record says.
	Shadow bool
}

// LeaseLost describes a lease that was lost while its handler ran.
type LeaseLost struct {
	Operation, ID string
	// Reason is "lost" (the store says so), "unconfirmed" (it could not be
	// confirmed in time), "maximum hold", "closed", or "lock lost" ([WithLocker]).
	Reason string
}

// LateEnding describes an ending that was sent in the background.
type LateEnding struct {
	Operation, ID string
	// Event is "complete", "release" or "fail".
	Event string
	// Err is nil when the store took it.
	Err error
}

func (o *Operation) finished(ctx context.Context, f Finished) {
	o.counts.finish(f)
	if hook := o.guard.opts.trace.Finished; hook != nil {
		o.guard.contain("Finished", func() { hook(ctx, f) })
	}
}

// countsOf returns the counts of an operation; of one that is not registered,
// none that anybody reads.
func (g *Guard) countsOf(operation string) *counts {
	if op, ok := g.Registered(operation); ok {
		return op.counts
	}
	return newCounts()
}

// leaseLost and reportLate report on goroutines of their own: their callers watch
// over leases and pending endings, which a logger or a hook that blocks must
// not hold up.

func (g *Guard) leaseLost(l LeaseLost) {
	g.countsOf(l.Operation).leasesLost.Add(1)
	g.aside(func() {
		g.opts.logger.Warn("idempotency: lease lost while the handler runs",
			"operation", l.Operation, "id", l.ID, "reason", l.Reason)
		if hook := g.opts.trace.LeaseLost; hook != nil {
			g.contain("LeaseLost", func() { hook(l) })
		}
	})
}

// endedLate returns a report that holds on to nothing of its execution, since it
// may be kept for long.
func (g *Guard) endedLate(operation string, id store.ID, level slog.Level) func(store.Event, error) {
	return func(event store.Event, err error) {
		g.reportLate(LateEnding{Operation: operation, ID: id.Short(), Event: event.Name(), Err: err}, level)
	}
}

func (g *Guard) reportLate(l LateEnding, level slog.Level) {
	g.countsOf(l.Operation).late(l.Err)
	g.aside(func() {
		if l.Err != nil {
			g.opts.logger.Log(context.Background(), level, "idempotency: an ending could not be recorded",
				"operation", l.Operation, "id", l.ID, "event", l.Event, "error", l.Err)
		}
		if hook := g.opts.trace.LateEnding; hook != nil {
			g.contain("LateEnding", func() { hook(l) })
		}
	})
}

// aside runs a report on a goroutine that Shutdown waits for. After that there
// is nothing left to hold up.
func (g *Guard) aside(report func()) {
	if !g.hooks.Enter() {
		report()
		return
	}
	go func() {
		defer g.hooks.Leave()
		report()
	}()
}

// contain keeps a hook's panic from ending the process or the execution.
func (g *Guard) contain(hook string, call func()) {
	defer func() {
		if p := recover(); p != nil {
			g.opts.logger.Error("idempotency: a trace hook panicked", "hook", hook, "panic", p)
		}
	}()
	call()
}
