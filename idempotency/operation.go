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
	*registered

	// fixed is set where the policy does not change any more, as
	// [Operation.Current] returns it. Shared, and never written to.
	fixed *Policy
}

// registered is what all views of an operation share.
type registered struct {
	guard     *Guard
	name      string
	declared  Policy        // without overrides
	reconcile ReconcileFunc // may be nil
	counts    *counts
	replays   atomic.Pointer[[]replayable] // nil: any

	inForce atomic.Pointer[Operation] // with the policy as it is now
	over    overriding                // guarded by the guard's mutex

	unprotected atomic.Int64 // when the last unprotected run was logged

	unmarked atomic.Int64 // recorded executions before the first mark
	marks    atomic.Bool  // a handler of this operation has marked an effect
}

// Name returns the operation's name.
func (o *Operation) Name() string { return o.name }

// Policy returns the operation's effective policy: what was declared, under what
// [Guard.Override] says at the moment.
func (o *Operation) Policy() Policy {
	return o.Current().fixed.clone()
}

// Current returns the operation with the policy that it has now, which an
// override does not change any more: for a transport, all of whose decisions
// about one request must follow one policy. It is the same pointer until the
// policy changes. No allocation, no lock.
func (o *Operation) Current() *Operation {
	if o.fixed != nil {
		return o
	}
	return o.inForce.Load()
}

func newOperation(g *Guard, name string, set operationSettings) *Operation {
	shared := &registered{
		guard: g, name: name, declared: set.policy, reconcile: set.reconcile, counts: newCounts(),
	}
	shared.enforce(set.policy)
	return &Operation{registered: shared}
}

// enforce makes a policy that of all executions to come.
func (r *registered) enforce(policy Policy) {
	r.inForce.Store(&Operation{registered: r, fixed: &policy})
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
	// [Operation.ExecuteHandler] asks its handler instead.
	FingerprintBy func(algorithm string) (store.Fingerprint, bool)
	// MayReplay is asked before a recorded answer is given to this caller. An
	// error keeps it from them with [ErrReplayDenied]; the record stays as it is.
	// May be nil.
	MayReplay func(Recorded) error
	// CallerDeadline says that the context's deadline is how the caller goes away,
	// as that of a gRPC client is, and no limit that the server set. Under
	// [CallerDetached] it then does not reach the handler, whose limit is the
	// policy's MaxHold; waiting heeds it, and once it has passed no handler is
	// started. A handler that runs unprotected ([StoreDownOpen]) has it all the same,
	// since no lease bounds that one. Otherwise a deadline is the handler's, too.
	CallerDeadline bool
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
// that wraps [ErrLeaseLost], when the lease is lost. The caller's deadline is the
// handler's, unless [Call].CallerDeadline says otherwise. If the handler panics or
// ends its goroutine, the attempt is recorded as one of unknown outcome, and
// the panic goes on.
//
// While another attempt is running, a duplicate waits as the policy's Wait says;
// those of one process ask the store together, and share the bytes of the answer
// that they get: do not change them.
//
// Under [KeyOff] the handler runs, and nothing else happens. Under [KeyShadow] it
// runs, too, whatever would have been: the error is always nil, the answer the
// handler's own, the outcome [Unprotected]; [Trace] and [Stats] tell the rest. The
// store is waited for as long as [WithShadowTimeout] says.
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
) (Result, error) {
	if run == nil || ctx == nil {
		return Result{}, errors.New("idempotency: Execute: the handler or the context is nil")
	}
	return o.ExecuteHandler(ctx, call, functions{run, call.FingerprintBy})
}

// ExecuteHandler is [Operation.Execute] for transports that keep what belongs to
// one request in one value: it saves them the closures. The handler must not be nil.
func (o *Operation) ExecuteHandler(ctx context.Context, call Call, handler Handler) (Result, error) {
	if handler == nil || ctx == nil {
		return Result{}, errors.New("idempotency: ExecuteHandler: the handler or the context is nil")
	}
	o = o.Current()
	x := &execution{op: o, guard: o.guard, policy: o.fixed, call: call, handler: handler, began: time.Now()}
	switch x.policy.Key {
	case KeyOff:
		return x.off(ctx), nil
	case KeyShadow:
		return x.shadow(ctx), nil
	default:
		return x.execute(ctx)
	}
}

// execute counts the execution in and reports how it ended.
func (x *execution) execute(ctx context.Context) (result Result, err error) {
	defer func() { x.report(ctx, result, err) }() // deferred for handlers that panic
	return x.enter(ctx)
}

func (x *execution) enter(ctx context.Context) (Result, error) {
	if !x.guard.gate.Enter() {
		return Result{}, x.refuse(ErrDraining, time.Second, nil)
	}
	defer x.guard.gate.Leave()
	if err := x.identify(); err != nil {
		return Result{}, err
	}
	if refused := x.guard.inFlight.enter(x.scope); refused != "" {
		return Result{}, x.refuse(refused, time.Second, nil)
	}
	defer x.guard.inFlight.leave(x.scope)
	x.op.counts.inFlight.Add(1)
	defer x.op.counts.inFlight.Add(-1)
	return x.protect(ctx)
}

// Reject returns the error of a request that a transport refused before it
// could be executed, and reports it to the trace hooks. Under [KeyShadow] it is
// the error that the request would have got, and the transport runs the handler.
func (o *Operation) Reject(ctx context.Context, code Code, cause error) *Error {
	if code == ErrScopeMissing { // the only one that is the server's fault
		o.guard.opts.logger.Error("idempotency: a request without a scope was refused",
			"operation", o.name, "error", cause)
	}
	o.finished(ctx, Finished{
		Operation: o.name, Code: code, Err: cause, Shadow: o.Current().fixed.Key == KeyShadow,
	})
	return &Error{Code: code, Operation: o.name, Err: cause}
}
