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
// context has. Several scope fields are one scope together. A retry is the same
// request if its input is the same, as JSON in canonical form (RFC 8785): all fields,
// or those with the word "fingerprint", or those without "-"; never the key. The
// policy's Fingerprint may switch that off; MaxRequestBody plays no part.
//
// Two processes that disagree about what counts, since one has a newer struct, take
// a retry for the same request as long as that one has at most two fields more;
// beyond that the answer is [ErrRecordUnreadable], never [ErrKeyReused].
//
// Errors name the option, the policy's field, or the struct's field and the word that
// is wrong. fn is not called. Safe for concurrent use, like what it returns.
func Wrap[In, Out any](
	g *Guard, operation string, fn func(context.Context, In) (Out, error), opts ...OperationOption,
) (func(context.Context, In) (Out, error), error) {
	if g == nil || fn == nil {
		return nil, errors.New("idempotency: Wrap: the guard or the function is nil")
	}
	f, err := newFunction(g, reflect.TypeFor[In](), opts, func(rest []OperationOption) (*Operation, error) {
		return g.Operation(operation, rest...)
	})
	if err != nil {
		return nil, fmt.Errorf("idempotency: Wrap: operation %q: %w", operation, err)
	}
	return func(ctx context.Context, in In) (Out, error) {
		call := &typed[In, Out]{invocation: invocation{function: f}, fn: fn, in: in}
		call.input = reflect.ValueOf(&call.in).Elem()
		out, _, err := call.do(ctx)
		return out, err
	}, nil
}
