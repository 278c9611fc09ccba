package idempotency

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Operation is a protected operation: a stable name and its policy. Made by
// [Guard.Operation]. Safe for concurrent use.
type Operation struct {
	guard     *Guard
	name      string
	policy    Policy
	reconcile ReconcileFunc // may be nil
	counts    *counts
	codecs    atomic.Pointer[[]string] // nil: any

	unprotected atomic.Int64 // when the last unprotected run was logged

	unmarked atomic.Int64 // recorded executions before the first mark
	marks    atomic.Bool  // a handler of this operation has marked an effect
}

// Name returns the operation's name.
func (o *Operation) Name() string { return o.name }

// takeOver is what a claim may do with an unknown outcome. With a callback that
// finds it out, whatever the mark: the callback comes before the handler.
func (o *Operation) takeOver() store.TakeOver {
	if o.reconcile != nil {
		return store.TakeOverAlways
	}
	return o.policy.takeOver()
}

// Policy returns the operation's effective policy.
func (o *Operation) Policy() Policy {
	return o.policy.clone()
}

// Call is one request for an operation.
type Call struct {
	// Scope is the tenant or caller that the key belongs to; not empty.
	Scope string
	// Key is the idempotency key; not empty.
	Key string
	// Part tells apart what is several operations to callers but has one name
	// and one policy here, such as the paths below a router. The same key in
	// another part is independent. May be empty.
	Part string
	// Fingerprint binds the key to this request. The zero value binds nothing.
	Fingerprint store.Fingerprint
	// FingerprintBy computes the fingerprint by another algorithm, for a record
	// that was made by a process with another configuration. False if it does
	// not know the algorithm. May be nil.
	FingerprintBy func(algorithm string) (store.Fingerprint, bool)
	// MayReplay is asked before a recorded answer is given to this caller. An
	// error keeps it from them with [ErrReplayDenied]; the record stays as it is.
	// May be nil.
	MayReplay func(Recorded) error
	// Retry is how many earlier attempts at this request the transport says that
	// the client has made by itself; 0 if it says nothing. It is reported, and
	// decides nothing: what a duplicate is, the record knows.
	Retry int
}

// Recorded describes a recorded answer that a caller is about to get.
type Recorded struct {
	Operation string
	// ID is the record's digest, as [Info].OperationID has it.
	ID      string
	Attempt int
	Token   store.Token
	// Started and Finished are the attempt's, by the store's clock.
	Started, Finished time.Time
	// Omitted is why there is no body.
	Omitted store.Omission
}

// Execute runs the handler, or gives the recorded answer, or refuses.
//
// The handler runs on the caller's goroutine, at most once per operation within
// the retention unless an attempt said that nothing final happened or the
// policy's orphan mode allows another. Its context is cancelled, with a cause
// that wraps [ErrLeaseLost], when the lease is lost. If the handler panics or
// ends its goroutine, the attempt is recorded as one of unknown outcome, and
// the panic goes on.
//
// While another attempt is running, a duplicate waits as the policy's Wait says;
// those of one process ask the store together, and share the bytes of the answer
// that they get: do not change them.
//
// Round trips: 1 for a replay or a refusal, 2 for an execution, 1 more for
// [MarkEffect].
//
// Errors are *[Error], found by their code: [ErrScopeMissing], [ErrKeyMissing],
// [ErrKeyReused], [ErrInProgress], [ErrOutcomeUnknown], [ErrResultUnavailable],
// [ErrReplayDenied], [ErrScopeBusy], [ErrOverloaded], [ErrNotStarted],
// [ErrStoreUnavailable], [ErrDraining], [ErrLeaseLost], [ErrRecordUnreadable].
// With all but [ErrLeaseLost] the handler did not run in this call; only
// [ErrResultUnavailable] may also speak of the recorded answer of an attempt
// that took over from this one.
func (o *Operation) Execute(
	ctx context.Context, call Call, run func(context.Context) Answer,
) (result Result, err error) {
	x := &execution{op: o, guard: o.guard, call: call, run: run, began: time.Now()}
	if run == nil || ctx == nil {
		return Result{}, errors.New("idempotency: Execute: the handler or the context is nil")
	}
	entered := o.guard.gate.enter()
	if entered {
		defer o.guard.gate.leave()
	}
	defer func() { x.report(ctx, result, err) }() // deferred for handlers that panic
	if !entered {
		return Result{}, x.refuse(ErrDraining, time.Second, nil)
	}
	if err := x.identify(); err != nil {
		return Result{}, err
	}
	if refused := o.guard.inFlight.enter(x.scope); refused != "" {
		return Result{}, x.refuse(refused, time.Second, nil)
	}
	defer o.guard.inFlight.leave(x.scope)
	o.counts.inFlight.Add(1)
	defer o.counts.inFlight.Add(-1)
	return x.execute(ctx)
}

// Reject returns the error of a request that a transport refused before it
// could be executed, and reports it to the trace hooks.
func (o *Operation) Reject(ctx context.Context, code Code, cause error) *Error {
	if code == ErrScopeMissing { // the only one that is the server's fault
		o.guard.opts.logger.Error("idempotency: a request without a scope was refused",
			"operation", o.name, "error", cause)
	}
	o.finished(ctx, Finished{Operation: o.name, Code: code, Err: cause})
	return &Error{Code: code, Operation: o.name, Err: cause}
}
