package idemhttp

import "github.com/reprise-go/reprise/idempotency"

// Route is a route that a [Middleware] has mounted.
type Route struct {
	// Pattern is what the mux was given, prefixes of a table included.
	Pattern string
	// Operation is the operation's name, "" for a route that nothing was said
	// about and that was mounted as it is.
	Operation string
	// Policy is the operation's effective policy at the moment. Zero without an
	// operation. Where the handler is one by [JSON], the fingerprint is what the tags of
	// its request say, in the words of a policy: [idempotency.FingerprintJSON], and the
	// members that count, or do not, as FingerprintOnly and FingerprintExclude.
	Policy idempotency.Policy
	// Protected says whether keys count there: not without an operation, nor under
	// [idempotency.KeyOff], nor under [idempotency.KeyShadow], where they are only
	// watched.
	Protected bool
}

// Routes returns what [Middleware.Handle] and [Middleware.Mount] have mounted, in
// that order: for a start-up log, a page for operators, or a test that holds a
// service to what it should protect. What [Middleware.Protect] and [Middleware.Wrap]
// make is mounted by somebody else, and not among them. Safe for concurrent use.
func (m *Middleware) Routes() []Route {
	mounted := m.mounted.list()
	routes := make([]Route, len(mounted))
	for i, r := range mounted {
		routes[i] = r.route()
	}
	return routes
}
