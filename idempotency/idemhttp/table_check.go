package idemhttp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
)

// checkField finds what is wrong with one route.
func (m *Middleware) checkField(mux Mux, r *tableRoute, o mountOptions) error {
	said := r.said()
	switch {
	case r.safe() && r.mustProtect():
		return r.wrong(`%s is never protected: say "off", or nothing`, r.method())
	case !r.safe() && saidNothing(said) && !o.undeclared:
		return r.wrong(`no policy: it may change something, so say how it is protected, or idempotency:"off"`)
	}
	if err := m.checkOff(r, said); err != nil {
		return r.wrong("%w", err)
	}
	policy := m.guard.Policy().Override(said)
	if err := policy.Validate(); err != nil {
		return r.wrong("%w", err)
	}
	if !r.declared() {
		policy.Key = idempotency.KeyOff
	}
	if err := errors.Join(r.checkEffect(policy), m.checkRoute(mux, r.pattern, r.handler, policy)); err != nil {
		return r.wrong("%w", err)
	}
	if !r.declared() {
		return nil
	}
	if err := m.checkOperation(r.operation, r.pattern, r.handler, r.allOptions()); err != nil {
		return r.wrong("%w", err)
	}
	return nil
}

// checkOff finds words about a route that is off.
func (m *Middleware) checkOff(r *tableRoute, said idempotency.Policy) error {
	switch {
	case offAndMore(r.inherited, r.own.Override(saidIn(r.options))):
		return errOffAndMore
	case said.Key == "" && m.guard.Policy().Key == idempotency.KeyOff && !saidNothing(said):
		return errOffByGuard
	}
	return nil
}

// checkEffect finds what is said and would have no effect: about waiting where nobody
// waits, and about the operation of a route that has none, since nothing protects it.
func (r *tableRoute) checkEffect(policy idempotency.Policy) error {
	if r.own.MaxWaiters != 0 && policy.Wait == idempotency.NoWait {
		return errNobodyWaits
	}
	if policy.Key != idempotency.KeyOff {
		return nil
	}
	more := slices.ContainsFunc(r.options, func(opt idempotency.OperationOption) bool {
		_, isPolicy := opt.(idempotency.Policy)
		return !isPolicy
	})
	switch {
	case r.named:
		return fmt.Errorf("operation: %q would have no effect: nothing protects the route", r.operation)
	case more:
		return errors.New("ForRoute: its options would have no effect: nothing protects the route")
	}
	return nil
}

// checkGroups finds what is wrong with the policy of a struct, or of the table, that no
// route follows, because those below it change nothing. With others it is found there:
// what they say beside it may put it right.
func (m *Middleware) checkGroups(read *tableReader) error {
	var errs []error
	for _, g := range read.groups {
		if g.path == "" {
			g.name = "Mount: TablePolicy"
		}
		if offAndMore(idempotency.Policy{}, g.own) {
			errs = append(errs, fmt.Errorf("idemhttp: %s: %w", g.name, errOffAndMore))
			continue
		}
		followed := slices.ContainsFunc(read.routes, func(r *tableRoute) bool {
			return strings.HasPrefix(r.path, g.path) && !r.safe()
		})
		if followed || saidNothing(g.own) {
			continue
		}
		_, err := m.checkPolicy(g.policy)
		if err := errors.Join(m.guard.Policy().Override(g.policy).Validate(), err); err != nil {
			errs = append(errs, fmt.Errorf("idemhttp: %s: %w", g.name, err))
		}
	}
	return errors.Join(errs...)
}
