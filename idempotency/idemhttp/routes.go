package idemhttp

import (
	"slices"
	"sync"

	"github.com/reprise-go/reprise/idempotency"
)

// Route is a route that a [Middleware] has mounted.
type Route struct {
	// Pattern is what the mux was given, prefixes of a table included.
	Pattern string
	// Operation is the operation's name, "" for a route that nothing was said
	// about and that was mounted as it is.
	Operation string
	// Policy is the operation's effective policy at the moment. Zero without an
	// operation.
	Policy idempotency.Policy
	// Protected says whether keys count there: not without an operation, nor under
	// [idempotency.KeyOff], nor under [idempotency.KeyShadow], where they are only
	// watched.
	Protected bool
}

// Routes returns what [Middleware.Handle] and [Middleware.Mount] have mounted, in
// that order: for a start-up log, a page for operators, or a test that holds a
// service to what it should protect. Routes of [Middleware.Protect] are mounted
// by somebody else, and not among them. Safe for concurrent use.
func (m *Middleware) Routes() []Route {
	mounted := m.mounted.list()
	routes := make([]Route, len(mounted))
	for i, r := range mounted {
		routes[i] = r.route()
	}
	return routes
}

// mountedRoute is a pattern and what protects it, nil if nothing does.
type mountedRoute struct {
	pattern string
	op      *idempotency.Operation
}

func (r mountedRoute) route() Route {
	if r.op == nil {
		return Route{Pattern: r.pattern}
	}
	policy := r.op.Policy()
	return Route{
		Pattern: r.pattern, Operation: r.op.Name(), Policy: policy,
		Protected: policy.Key == idempotency.KeyRequired || policy.Key == idempotency.KeyOptional,
	}
}

// mountedRoutes is the list behind [Middleware.Routes]. Safe for concurrent use.
type mountedRoutes struct {
	mu  sync.Mutex
	all []mountedRoute
}

func (l *mountedRoutes) add(route mountedRoute) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, route)
}

func (l *mountedRoutes) list() []mountedRoute {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}
