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
	shape := signature{in: reflect.TypeOf(request.Input), out: reflect.TypeFor[Out](), request: &request}
	f, err := newFunction(g, shape, opts, func(rest []OperationOption) (*Operation, error) {
		if op, registered := g.Registered(request.Operation); registered && len(rest) == 0 {
			return op, nil
		}
		return g.Operation(request.Operation, rest...)
	})
	if err != nil {
		return out, result, fmt.Errorf("idempotency: Do: %w", err)
	}
	call := &typed[struct{}, Out]{
		invocation: invocation{function: f, said: request, input: held(reflect.ValueOf(request.Input))},
		fn:         func(ctx context.Context, _ struct{}) (Out, error) { return fn(ctx) },
	}
	return call.do(ctx)
}

// typed is a call of a function with its input and its result, in one piece.
type typed[In, Out any] struct {
	invocation

	fn     func(context.Context, In) (Out, error)
	in     In
	result Out
}

func (c *typed[In, Out]) do(ctx context.Context) (Out, Result, error) {
	c.body, c.out = c, &c.result
	result, err := c.invocation.do(ctx)
	if err != nil && !result.own() {
		return *new(Out), result, err // what a deposed attempt returned is nobody's answer
	}
	return c.result, result, err
}

func (c *typed[In, Out]) call(ctx context.Context) (err error) {
	c.result, err = c.fn(ctx, c.in)
	return err
}

// own reports whether the answer is that of a handler which ran in this call.
func (r Result) own() bool { return r.Outcome == Executed || r.Outcome == Unprotected }
