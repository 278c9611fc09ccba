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

	mounted  mountedRoutes
	mistakes mistakes
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
// or an [http.TimeoutHandler], which belongs outside; or one by [JSON] that asks for a
// part of the path which the pattern does not have. A pattern that [http.ServeMux] takes,
// and that no request would come to, such as "POST /a/:id" or "PSOT /a", is one as well.
// Policies are applied over the
// guard's, left to right. Errors name the route and what is wrong, the mux's own
// refusal of a pattern included; then nothing is mounted and no operation registered.
// A mux that would take a pattern twice, and forget the first handler, is not asked.
//
// Understood in the patterns of other routers are {id}, {id:[0-9]+}, and segments such
// as :id, *rest and *.
func (m *Middleware) Handle(mux Mux, pattern string, handler http.Handler, opts ...idempotency.OperationOption) error {
	wrong := func(err error) error { return fmt.Errorf("idemhttp: %s: %w", pattern, err) }
	if err := checkMux(mux); err != nil {
		return wrong(err)
	}
	if err := m.checkRoute(mux, pattern, handler, m.guard.Policy().Override(saidIn(opts))); err != nil {
		return wrong(err)
	}
	if method, _, ok := strings.Cut(pattern, " "); ok && isSafe(method) && !keyOff(opts) {
		return wrong(fmt.Errorf("%s is never protected: mount it on the mux itself", method))
	}
	if err := m.checkOperation(pattern, pattern, handler, opts); err != nil {
		return wrong(err)
	}
	if err := m.checkFree(mux, []string{pattern})[0]; err != nil {
		return wrong(err)
	}
	return m.mountAll(mux, []mounting{{pattern, pattern, handler, opts, wrong}})
}

// checkOperation finds out, without registering it, what is wrong with an operation
// for a handler. The pattern is "" where nobody knows it.
func (m *Middleware) checkOperation(
	operation, pattern string, handler http.Handler, opts []idempotency.OperationOption,
) error {
	if _, err := m.checkPolicy(saidIn(opts)); err != nil {
		return err
	}
	if err := m.guard.CheckOperation(operation, withReplays(opts)...); err != nil {
		return err
	}
	if taken, ok := m.mounted.patternOf(operation); ok && pattern != "" && taken != pattern {
		return fmt.Errorf("its operation %q is that of the route %q already", operation, taken)
	}
	if typed, ok := handler.(typedHandler); ok && hasScopeField(typed) {
		return m.uses.check(operation, usedByScopeField)
	}
	return nil
}

// Wrap protects one handler, for any router, and finds at once what is wrong with the
// two together: where a handler is at hand, prefer it to [Middleware.Protect], whose
// function has nobody to return that error to.
//
//	create, err := mw.Wrap("payments.create", idemhttp.JSON(createPayment), policy)
//	router.Post("/payments", create.ServeHTTP)
//
// Errors are those of [Middleware.Handle] but for the pattern's, which Wrap does not
// know: whether the path has what a request of [JSON] asks of it is seen when the first
// one comes ([PathValue]). Where there is an error, no operation has been registered.
// What else holds is said at Protect.
func (m *Middleware) Wrap(
	operation string, handler http.Handler, opts ...idempotency.OperationOption,
) (http.Handler, error) {
	wrong := func(err error) (http.Handler, error) { return nil, fmt.Errorf("idemhttp: %s: %w", operation, err) }
	if err := checkChain(handler, m.guard.Policy().Override(saidIn(opts))); err != nil {
		return wrong(err)
	}
	if err := m.checkOperation(operation, "", handler, opts); err != nil {
		return wrong(err)
	}
	rt, err := m.newRoute(operation, noParts, opts)
	if err != nil {
		return wrong(err)
	}
	wrapped, err := rt.with(handler)
	if err != nil {
		return wrong(err)
	}
	return wrapped, nil
}

// Protect returns a middleware for an operation of that name, for any router.
// Only requests that may change something are protected: GET, HEAD, OPTIONS,
// TRACE and CONNECT pass through, and so does gRPC. The path is part of the
// fingerprint as the middleware sees it, so mount it inside whatever rewrites
// paths only if different paths may not collide by that.
//
// It is for chains that a router puts together, and whose last handler nobody has at
// hand. The returned function cannot return an error. Around a handler that
// [Middleware.Wrap] would refuse, that is logged once, when the chain is
// made, and every request is answered with 500 and the reason, under the mark
// rejected. Wrap and [Middleware.Handle] have it as an error.
func (m *Middleware) Protect(
	operation string, opts ...idempotency.OperationOption,
) (func(http.Handler) http.Handler, error) {
	return m.protect(operation, noParts, opts)
}

func (m *Middleware) protect(
	operation string, part partFunc, opts []idempotency.OperationOption,
) (func(http.Handler) http.Handler, error) {
	rt, err := m.newRoute(operation, part, opts)
	if err != nil {
		return nil, fmt.Errorf("idemhttp: %s: %w", operation, err)
	}
	return rt.around, nil
}

// newRoute registers an operation. The route has no handler yet.
func (m *Middleware) newRoute(
	operation string, part partFunc, opts []idempotency.OperationOption,
) (*route, error) {
	// Before the operation is registered: a mistake can be put right then.
	fingerprinter, err := m.checkPolicy(saidIn(opts))
	if err != nil {
		return nil, err
	}
	op, err := m.guard.Operation(operation, withReplays(opts)...)
	if err != nil {
		return nil, err
	}
	rt := (&route{m: m, live: op, fingerprinter: fingerprinter, part: part}).now()
	rt.recorded = recordedHeaders(append(slices.Clone(m.opts.headers), rt.policy.Headers...))
	return rt, nil
}

// withReplays adds what this transport can replay.
func withReplays(opts []idempotency.OperationOption) []idempotency.OperationOption {
	return append(slices.Clone(opts), idempotency.Replays(answerCodec, checkAnswer))
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
