package idempotency

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// Request is one call of a function by [Do].
type Request struct {
	// Operation is the operation's name. It is registered by the first call, with
	// the guard's policy, unless it is already or the options say otherwise.
	Operation string
	// Scope is the tenant or caller that the key belongs to; Key is the idempotency
	// key, 1 to 255 characters of printable ASCII. Either may come from Input's tags
	// or from the context instead; see [Wrap]. Without any scope the call is
	// [ErrScopeMissing], unless [GlobalScope] is among the options.
	Scope, Key string
	// Input is what the key is bound to: the same key with another input is
	// [ErrKeyReused]. What of it counts, tags say as for [Wrap]. Nil: the key alone
	// counts.
	Input any
}

// Do runs a function at most once per scope, operation and key, or returns what it
// returned then. It is [Operation.Execute] for functions: what is said there about
// goroutine, context, panics and round trips holds. Unless the policy's Caller says
// otherwise, the function goes on when ctx is cancelled; its deadline stays.
//
// The result is recorded by a [Codec]; a type that the codec does not record is an
// error before anything runs. An error is recorded if it is [Final]. Any
// other one says that nothing final happened: a retry runs, unless [MarkEffect] was
// called or the context had ended; then the outcome is unknown. The policy's Record
// and Failure say otherwise.
//
// The first caller gets the function's own values, with [Executed]; duplicates get
// decoded copies, with [Replayed]. A result whose value cannot be encoded, such as a
// float that is no number, is the caller's all the same, and its outcome is unknown.
//
// Errors are the function's, or *[Error] as by Execute, also with [ErrKeyInvalid]
// (two keys, or two scopes, that differ) and [ErrBodyUnreadable] (an input that
// cannot be compared, such as text that is not UTF-8). What is wrong with the
// request's declaration is any other error; then nothing ran.
//
// For a function that is called in several places, and to have mistakes found when
// the program starts, use [Wrap]. With a [Policy] among the options each call
// compares it with the registered one.
func Do[Out any](
	ctx context.Context, g *Guard, request Request, fn func(context.Context) (Out, error), opts ...OperationOption,
) (out Out, result Result, err error) {
	if fn == nil || g == nil {
		return out, result, errors.New("idempotency: Do: the guard or the function is nil")
	}
	call := &doCall[Out]{fn: fn}
	if call.own, err = g.functionOf(request, reflect.TypeFor[Out](), opts); err != nil {
		return out, result, fmt.Errorf("idempotency: Do: %w", err)
	}
	call.invocation = invocation{
		function: &call.own, body: call, out: &call.result,
		said: request, input: held(reflect.ValueOf(request.Input)),
	}
	result, err = call.do(ctx)
	out, err = handedOut(call.result, result, err)
	return out, result, err
}

// functionOf makes the function of one call. An operation that is registered is taken
// as it is, unless options say something of it.
func (g *Guard) functionOf(request Request, out reflect.Type, opts []OperationOption) (function, error) {
	f, rest, err := g.newFunction(signature{
		in: reflect.TypeOf(request.Input), out: out, everyCall: true, scoped: request.Scope != "",
	}, opts)
	if err != nil {
		return f, err
	}
	op, registered := g.Registered(request.Operation)
	if !registered || len(rest) > 0 {
		return g.registeredFor(request.Operation, f, rest)
	}
	f.op = op
	return f, errors.Join(f.checkInput(&op.declared), g.addAnswers(op, f.answers()))
}

// registeredFor is apart from functionOf, where f stays on the stack.
func (g *Guard) registeredFor(operation string, f function, opts []OperationOption) (function, error) {
	d, err := g.declare(operation, &f, opts)
	if err != nil {
		return f, err
	}
	return f, g.register(d)
}

// doCall is a call of [Do] with its function and its result, in one piece.
type doCall[Out any] struct {
	invocation

	own    function
	fn     func(context.Context) (Out, error)
	result Out
}

func (c *doCall[Out]) call(ctx context.Context) (err error) {
	c.result, err = c.fn(ctx)
	return err
}

// handedOut is what a caller gets: what a deposed attempt returned is nobody's answer.
func handedOut[Out any](out Out, result Result, err error) (Out, error) {
	if err != nil && !result.own() {
		return *new(Out), err
	}
	return out, err
}

// own reports whether the answer is that of a handler which ran in this call.
func (r Result) own() bool { return r.Outcome == Executed || r.Outcome == Unprotected }
