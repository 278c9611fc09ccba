package idempotency

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// Wrap returns a function that runs fn at most once per scope, operation and key,
// as [Do] does, and registers the operation under a stable name.
//
// Key and scope come from the input where its struct says so:
//
//	type CreatePayment struct {
//		RequestID string `json:"request_id" idempotency:"key"`
//		Merchant  string `json:"merchant"   idempotency:"scope"`
//		Amount    int64  `json:"amount"`
//		Comment   string `json:"comment"    idempotency:"-"`
//	}
//
// else from the context ([WithKey], [WithScope]). Both given and different is
// [ErrKeyInvalid]; a scope field that is empty is [ErrScopeMissing], whatever the
// context has. Several scope fields are one scope together. An input without such a
// field needs [ContextScope] or [GlobalScope] among the options, under [KeyOff], too.
//
// A retry is the same request if its input is the same, as JSON in canonical form
// (RFC 8785): all exported fields that JSON writes, and those with a tag path or query;
// or those with the word "fingerprint", or those without "-"; never the key. Unexported
// fields beside exported ones do not count. A type whose own JSON may say less than it
// holds is an error, unless its field has "-": one with MarshalJSON or MarshalText and
// not the method that reads it again, or with such a method of a struct that it embeds
// beside other fields. What is behind an interface counts as JSON writes it. The policy's
// Fingerprint may switch that off, which is an error beside tags that say what counts.
//
// The input is compared as it is when the call begins. A function that changes it behind
// a pointer makes another request of a retry with the same pointer.
//
// Two processes that disagree about what counts, since one has a newer struct, take
// a retry for the same request as long as that one has at most two fields more and the
// retry does not set them; beyond that the answer is [ErrRecordUnreadable], never [ErrKeyReused].
// A field that counts and is renamed or removed, or a tag that is moved, always does that
// to retries over the change, until their records have expired: unlike HTTP routes, where
// former fingerprints can be named, functions have no remedy.
//
// An operation is one function's on a guard: its name a second time, in Wrap or
// [Weave], is an error. So is a KeyFormat of UUIDs where the key's field is an integer.
// What the guard's own policy says for HTTP alone, such as Stream, Conflict and
// MaxRequestBody, has no effect on functions; among opts, and in [Guard.Override], it
// is an error.
//
// Errors name the option, the policy's field, or the struct's field and the word that
// is wrong, and what of the result's type the codec cannot record ([JSONCodec] says
// what that is for JSON). fn is not called. Safe for concurrent use, like what it returns.
func Wrap[In, Out any](
	g *Guard, operation string, fn func(context.Context, In) (Out, error), opts ...OperationOption,
) (func(context.Context, In) (Out, error), error) {
	if g == nil || fn == nil {
		return nil, errors.New("idempotency: Wrap: the guard or the function is nil")
	}
	f, err := g.registerOwn(operation, signature{in: reflect.TypeFor[In](), out: reflect.TypeFor[Out]()}, opts)
	if err != nil {
		return nil, fmt.Errorf("idempotency: Wrap: operation %q: %w", operation, err)
	}
	return func(ctx context.Context, in In) (Out, error) {
		call := &typed[In, Out]{invocation: invocation{function: f}, fn: fn, in: in}
		call.body, call.out, call.input = call, &call.result, reflect.ValueOf(&call.in).Elem()
		result, err := call.do(ctx)
		return handedOut(call.result, result, err)
	}, nil
}

// typed is a call of a wrapped function with its input and its result, in one piece.
type typed[In, Out any] struct {
	invocation

	fn     func(context.Context, In) (Out, error)
	in     In
	result Out
}

func (c *typed[In, Out]) call(ctx context.Context) (err error) {
	c.result, err = c.fn(ctx, c.in)
	return err
}
