package idempotency

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/reprise-go/reprise/internal/keysyntax"
	"github.com/reprise-go/reprise/internal/tagged"
	"github.com/reprise-go/reprise/store"
)

// invocation is one call of a protected function. It holds no types: the result is
// behind a pointer, and the body sets it.
type invocation struct {
	*function

	// Request is what the caller said itself; the rest is in the input.
	said  Request
	input reflect.Value
	out   any // a pointer to the result
	body  body

	policy *Policy
	err    error // of the function
}

// held returns an input that has an address, so that it is copied once, and not for each
// thing that is read of it.
func held(v reflect.Value) reflect.Value {
	if !v.IsValid() || v.CanAddr() || v.Kind() == reflect.Pointer {
		return v
	}
	again := reflect.New(v.Type()).Elem()
	again.Set(v)
	return again
}

// body is the function itself: it sets the result.
type body interface {
	call(ctx context.Context) error
}

// do runs the function, or sets the recorded result, or refuses.
func (c *invocation) do(ctx context.Context) (Result, error) {
	if ctx == nil {
		return Result{}, errors.New("idempotency: the context is nil")
	}
	op := c.op.Current() // all decisions about this call follow one policy
	c.policy = op.fixed
	if c.policy.Key == KeyOff {
		return c.execute(ctx, op, Call{})
	}
	call, err := c.request(ctx)
	if err == nil {
		if outer := c.nestedIn(ctx, call); outer != nil {
			return c.nested(ctx, outer)
		}
		return c.execute(ctx, op, call)
	}
	var wrong callError
	if !errors.As(err, &wrong) {
		return Result{}, err
	}
	if wrong.code == ErrKeyMissing && c.policy.Key == KeyOptional {
		return c.unprotected(ctx)
	}
	refusal := op.Reject(ctx, wrong.code, wrong.cause)
	if c.policy.Key == KeyShadow {
		return c.unprotected(ctx)
	}
	return Result{}, refusal
}

func (c *invocation) unprotected(ctx context.Context) (Result, error) {
	return Result{Outcome: Unprotected}, c.body.call(withoutKey(withoutAttempt(ctx)))
}

// nested answers a function that would wait for itself. In shadow nothing is refused,
// and the function is the outer attempt's: what it says of its effects, it says to that.
func (c *invocation) nested(ctx context.Context, outer *attempt) (Result, error) {
	err := fmt.Errorf("idempotency: operation %q is called from within itself, for the same key: is the function wrapped twice?", c.op.name)
	if c.policy.Key != KeyShadow {
		return Result{}, err
	}
	c.op.warnInShadow(err)
	ctx = context.WithValue(ctx, attemptKey{}, outer)
	return Result{Outcome: Unprotected}, c.body.call(withoutKey(ctx))
}

func (c *invocation) execute(ctx context.Context, op *Operation, call Call) (Result, error) {
	result, err := op.ExecuteHandler(ctx, call, c)
	switch {
	case err != nil:
		return result, err
	case result.Outcome == Replayed:
		return result, c.replay(ctx, result)
	}
	return result, c.err
}

// Handle implements [Handler]: it calls the function and says what its answer means.
func (c *invocation) Handle(ctx context.Context) Answer {
	c.err = c.body.call(withoutKey(ctx))
	switch {
	case c.policy.Key == KeyOff: // nobody asks what it means
		return Answer{Class: ClassRelease}
	case c.err != nil:
		return c.failed()
	}
	body, err := c.codec.Encode(c.out)
	if err != nil {
		// It was done, and nobody can be told what came of it.
		c.op.guard.opts.logger.Error("idempotency: a function's result cannot be encoded; its outcome counts as unknown",
			"operation", c.op.name, "codec", c.codec.Name(), "error", tagged.Unquoted(err))
		return Answer{Class: ClassUnknown}
	}
	return c.answer(ClassRecord, valueMeta(), body)
}

func (c *invocation) failed() Answer {
	class := classOfError(c.err, c.policy.Record)
	if class != ClassRecord {
		return Answer{Class: class}
	}
	return c.answer(class, errorMeta(c.names.of(c.err)), []byte(c.err.Error()))
}

func (c *invocation) answer(class Class, meta, body []byte) Answer {
	a := Answer{Class: class, Answer: store.Answer{Codec: c.codec.Name(), Meta: meta, Body: body}}
	if int64(len(body)) > c.policy.MaxResponseBody {
		a.Body, a.Omitted = nil, store.BodyTooLarge
	}
	return a
}

// request finds scope, key and fingerprint, or a callError.
func (c *invocation) request(ctx context.Context) (Call, error) {
	key, err := c.key(ctx)
	if err != nil {
		return Call{}, err
	}
	scope, err := c.scope(ctx)
	if err != nil {
		return Call{}, err
	}
	call := Call{Scope: scope, Key: key}
	if c.plan == nil {
		return call, nil
	}
	if c.policy.Fingerprint == FingerprintOff {
		return call, nil
	}
	call.Fingerprint, _, err = c.plan.Bound(c.input)
	if err != nil {
		return Call{}, callError{ErrBodyUnreadable, err}
	}
	return call, nil
}

// FingerprintBy implements [Handler].
func (c *invocation) FingerprintBy(algorithm string) (store.Fingerprint, bool) {
	if c.plan == nil || c.policy.Fingerprint == FingerprintOff {
		return store.Fingerprint{}, false
	}
	return c.plan.BoundBy(c.input, algorithm)
}

// callError is what is wrong with a call before it is executed.
type callError struct {
	code  Code
	cause error
}

func (e callError) Error() string { return string(e.code) }

var (
	errNoKey       = fmt.Errorf("%w in the request, its input or the context", keysyntax.ErrNone)
	errKeysDiffer  = fmt.Errorf("%w: the request, its input and the context do not say the same", keysyntax.ErrInvalid)
	errScopeDiffer = errors.New("the request, its input and the context say different scopes")
)

func (c *invocation) key(ctx context.Context) (string, error) {
	tagged := ""
	if c.plan != nil {
		tagged, _ = c.plan.Key(c.input)
	}
	found := ""
	for _, given := range [...]string{c.said.Key, tagged, textFrom(ctx, keyKey{})} {
		if given == "" {
			continue
		}
		key, err := keysyntax.Check(given)
		if err == nil {
			key, err = keysyntax.Format(key, string(c.policy.KeyFormat))
		}
		switch {
		case err != nil:
			return "", callError{ErrKeyInvalid, err}
		case found != "" && found != key:
			return "", callError{ErrKeyInvalid, errKeysDiffer}
		}
		found = key
	}
	if found == "" {
		return "", callError{ErrKeyMissing, errNoKey}
	}
	return found, nil
}

func (c *invocation) scope(ctx context.Context) (string, error) {
	if c.from == scopeGlobal { // no field says one then
		return GlobalScopeName, nil
	}
	tagged := ""
	if c.plan != nil {
		var err error
		if tagged, _, err = c.plan.Scope(c.input); err != nil {
			return "", callError{ErrScopeMissing, err}
		}
		if c.plan.HasScope() && tagged == "" {
			return "", callError{ErrScopeMissing, errors.New("the input's scope is empty")}
		}
	}
	found := ""
	for _, given := range [...]string{c.said.Scope, tagged, textFrom(ctx, scopeKey{})} {
		switch {
		case given == "":
		case found != "" && found != given:
			return "", callError{ErrKeyInvalid, errScopeDiffer}
		default:
			found = given
		}
	}
	switch {
	case found != "":
		return found, nil
	case c.from == scopeOfContext:
		return "", callError{ErrScopeMissing, errNoContextScope}
	default:
		return "", callError{ErrScopeMissing, errNoScope}
	}
}

// nestedIn returns the attempt that a function is called in for the attempt's very own
// operation; nil if there is none. Under [StrictKeys] another operation may have the
// same record; the store has an answer to that.
func (c *invocation) nestedIn(ctx context.Context, call Call) *attempt {
	a := attemptFrom(ctx)
	if a == nil {
		return nil
	}
	id := c.op.guard.id(call.Scope, c.op.name, call.Part, call.Key)
	for ; a != nil; a = a.outer {
		if a.id == id && a.guard == c.op.guard && a.op.name == c.op.name {
			return a
		}
	}
	return nil
}
