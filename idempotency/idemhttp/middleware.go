package idemhttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
)

// Middleware protects HTTP routes on one guard. Safe for concurrent use.
type Middleware struct {
	guard  *idempotency.Guard
	opts   options
	former []fingerprinter
	uses   operationUses

	mounted mountedRoutes
}

// New returns a middleware. A scope must be chosen: [Scope] or [GlobalScope].
// Errors name the option that is wrong.
func New(guard *idempotency.Guard, opts ...Option) (*Middleware, error) {
	if guard == nil {
		return nil, errors.New("idemhttp: the guard is nil")
	}
	o := options{keyHeaders: []string{"Idempotency-Key"}}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("idemhttp: a nil option")
		}
		if err := opt(&o); err != nil {
			return nil, fmt.Errorf("idemhttp: %w", err)
		}
	}
	if o.scope == nil {
		return nil, errors.New("idemhttp: no scope: choose Scope(func) or, openly, GlobalScope()")
	}
	if err := checkHeaderNames(guard.Policy().Headers); err != nil {
		return nil, fmt.Errorf("idemhttp: the guard's Policy.Headers: %w", err)
	}
	former, err := formerFingerprinters(guard.Policy(), o)
	if err != nil {
		return nil, err
	}
	return &Middleware{guard: guard, opts: o, former: former}, nil
}

// formerFingerprinters are the algorithms of [FormerFingerprints].
func formerFingerprinters(base idempotency.Policy, o options) ([]fingerprinter, error) {
	var all []fingerprinter
	for _, policy := range o.former {
		if policy.Fingerprint == "" {
			policy.Fingerprint = base.Fingerprint
		}
		if err := checkFormer(policy); err != nil {
			return nil, fmt.Errorf("idemhttp: FormerFingerprints: Policy.%w", err)
		}
		former, err := newFingerprinter(policy, o.keyHeaders)
		if err != nil {
			return nil, fmt.Errorf("idemhttp: FormerFingerprints: Policy.%w", err)
		}
		all = append(all, former)
	}
	return all, nil
}

// checkFormer finds a configuration that no guard has ever accepted, and so no
// record names. It leaves out the fields that do not count.
func checkFormer(policy idempotency.Policy) error {
	checked := idempotency.DefaultPolicy()
	checked.Fingerprint = policy.Fingerprint
	checked.FingerprintOnly = policy.FingerprintOnly
	checked.FingerprintExclude = policy.FingerprintExclude
	checked.FingerprintHeaders = policy.FingerprintHeaders
	return checked.Validate()
}

// Mux is anything that mounts a handler under a pattern, such as
// [http.ServeMux].
type Mux interface {
	Handle(pattern string, handler http.Handler)
}

// Handle mounts a protected handler. The pattern is the operation's name, so
// two patterns are two operations, and a renamed route forgets its keys. A
// pattern for a method that is never protected, such as GET, is an error unless
// the policy is [idempotency.KeyOff]; so is a handler that is protected already,
// or an [http.TimeoutHandler], which belongs outside. Policies are applied over
// the guard's, left to right. Errors name the route and what is wrong, the
// mux's own refusal of a pattern included.
func (m *Middleware) Handle(mux Mux, pattern string, handler http.Handler, opts ...idempotency.OperationOption) error {
	if mux == nil {
		return fmt.Errorf("idemhttp: %s: the mux is nil", pattern)
	}
	if err := m.checkRoute(pattern, handler, m.guard.Policy().Override(saidIn(opts))); err != nil {
		return fmt.Errorf("idemhttp: %s: %w", pattern, err)
	}
	if method, _, ok := strings.Cut(pattern, " "); ok && isSafe(method) && !keyOff(opts) {
		return fmt.Errorf("idemhttp: %s: %s is never protected: mount it on the mux itself", pattern, method)
	}
	if err := m.handle(mux, pattern, pattern, handler, opts); err != nil {
		return fmt.Errorf("idemhttp: %s: %w", pattern, err)
	}
	return nil
}

// handle mounts a handler that has been checked.
func (m *Middleware) handle(
	mux Mux, pattern, operation string, handler http.Handler, opts []idempotency.OperationOption,
) error {
	protect, err := m.protection(operation, noParts, opts)
	if err != nil {
		return err
	}
	if err := tryHandle(mux, pattern, protect(handler)); err != nil {
		return err
	}
	op, _ := m.guard.Registered(operation)
	m.mounted.add(mountedRoute{pattern: pattern, op: op})
	return nil
}

// tryHandle makes an error of a mux's panic about a pattern.
func tryHandle(mux Mux, pattern string, handler http.Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the mux refuses it: %v", p)
		}
	}()
	mux.Handle(pattern, handler)
	return nil
}

// Protect returns a middleware for an operation of that name, for any router.
// Only requests that may change something are protected: GET, HEAD, OPTIONS,
// TRACE and CONNECT pass through, and so does gRPC. The path is part of the
// fingerprint as the middleware sees it, so mount it inside whatever rewrites
// paths only if different paths may not collide by that.
//
// The returned function cannot return an error. Around a handler that
// [Middleware.Handle] would refuse, every request is answered with 500 and the
// reason.
func (m *Middleware) Protect(
	operation string, opts ...idempotency.OperationOption,
) (func(http.Handler) http.Handler, error) {
	return m.protect(operation, noParts, opts)
}

func (m *Middleware) protect(
	operation string, part partFunc, opts []idempotency.OperationOption,
) (func(http.Handler) http.Handler, error) {
	protect, err := m.protection(operation, part, opts)
	if err != nil {
		return nil, fmt.Errorf("idemhttp: %s: %w", operation, err)
	}
	return protect, nil
}

// protection is protect without the operation's name in its errors.
func (m *Middleware) protection(
	operation string, part partFunc, opts []idempotency.OperationOption,
) (func(http.Handler) http.Handler, error) {
	// Before the operation is registered: a mistake can be put right then.
	fingerprinter, err := m.checkPolicy(saidIn(opts))
	if err != nil {
		return nil, err
	}
	op, err := m.guard.Operation(operation, append(slices.Clone(opts), idempotency.Replays(answerCodec, checkAnswer))...)
	if err != nil {
		return nil, err
	}
	rt := (&route{m: m, live: op, fingerprinter: fingerprinter, part: part}).now()
	rt.recorded = recordedHeaders(append(slices.Clone(m.opts.headers), rt.policy.Headers...))
	return rt.around, nil
}

// checkPolicy finds what is wrong with an operation's policy for this transport,
// and returns how its requests are compared.
func (m *Middleware) checkPolicy(said idempotency.Policy) (fingerprinter, error) {
	if err := checkHeaderNames(said.Headers); err != nil {
		return fingerprinter{}, fmt.Errorf("Policy.Headers: %w", err)
	}
	f, err := newFingerprinter(m.guard.Policy().Override(said), m.opts.keyHeaders)
	if err != nil {
		return fingerprinter{}, fmt.Errorf("Policy.%w", err)
	}
	f.former = m.former
	return f, nil
}

func keyOff(opts []idempotency.OperationOption) bool { return saidIn(opts).Key == idempotency.KeyOff }

// saidIn is what the policies among the options say together.
func saidIn(opts []idempotency.OperationOption) idempotency.Policy {
	var said idempotency.Policy
	for _, opt := range opts {
		if policy, ok := opt.(idempotency.Policy); ok {
			said = said.Override(policy)
		}
	}
	return said
}
