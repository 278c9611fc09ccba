package idemhttp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/nearest"
)

// Mount mounts a table of routes: a struct, or a pointer to one, whose fields are
// handlers and whose tags say where they go and how they are protected.
//
//	type Routes struct {
//		Create http.HandlerFunc `route:"POST /v1/payments" idempotency:"required,retention=24h"`
//		Read   http.HandlerFunc `route:"GET /v1/payments/{id}"`
//		Admin  struct {
//			Refund http.Handler `route:"POST /refunds"`
//			Notify http.Handler `route:"POST /notices" idempotency:"off"`
//		} `route:"/admin" idempotency:"required,orphan=refuse"`
//	}
//	err := mw.Mount(mux, &Routes{Create: create, …})
//
// A field is an [http.Handler], a func(http.ResponseWriter, *http.Request), or a
// struct with routes of its own, embedded or not. The tags:
//
//   - route: a handler's pattern, as [http.ServeMux] has it; a struct's path, which
//     stands before those in it;
//   - idempotency: the policy, in the words of [idempotency.ParsePolicy]. That of
//     a struct is inherited. Precedence: defaults, guard, [TablePolicy], struct,
//     handler. "off" stands alone, and no other words under a struct that is
//     off, unless they begin with a key rule, nor "max-waiters" at a handler without a
//     wait: they would have no effect;
//   - operation: a protected handler's operation name, so that its keys outlive a
//     change of the pattern. Default the whole pattern, as with [Middleware.Handle].
//
// A route that may change something (any method but GET, HEAD, OPTIONS, TRACE and
// CONNECT, or none) needs a policy from somewhere, if only "off":
// who forgets it is told so, and finds no unprotected route in production
// ([AllowUndeclared] waives that). What is inherited does not count for methods
// that change nothing, and a tag there can only say "off". Fields without tags
// that are neither handlers nor have routes in them are left alone. Handlers and structs
// with routes that nobody would find are an error, with tags or without: those in a
// slice, an array, a map, a channel or an interface, or behind two pointers.
//
// Everything is checked before anything is mounted: with an error, nothing is mounted
// and no operation registered, so that the table can be put right and mounted again.
// The errors of all fields are joined; each names Type.Field, and the word that is
// wrong with the nearest valid one. What is wrong between this table and what has been
// mounted before is found as well: an operation's name under another pattern, a pattern
// that is on the mux. Only what the mux itself must refuse is not told before it is
// asked (on a [http.ServeMux], a pattern that overlaps in part with one that is there);
// the routes before that one then answer 404 until the table is mounted. Mount is for
// the start of a program, before requests are served.
//
// On other routers, patterns are understood as [Middleware.Handle] says.
func (m *Middleware) Mount(mux Mux, table any, opts ...MountOption) error {
	if err := checkMux(mux); err != nil {
		return fmt.Errorf("idemhttp: Mount: %w", err)
	}
	o, err := newMountOptions(opts)
	if err != nil {
		return err
	}
	read, err := readTable(table, o.policy)
	if err != nil {
		return err
	}
	routes := read.routes
	if err := errors.Join(o.apply(routes), m.checkTable(mux, read, o)); err != nil {
		return err
	}
	all := make([]mounting, len(routes))
	for i, r := range routes {
		all[i] = r.mounting()
	}
	return m.mountAll(mux, all)
}

// MountOption configures [Middleware.Mount].
type MountOption func(*mountOptions) error

type mountOptions struct {
	policy     idempotency.Policy
	undeclared bool
	byField    map[string][]idempotency.OperationOption
}

// TablePolicy sets a policy that all routes of the table inherit, under those of
// its structs and handlers.
func TablePolicy(p idempotency.Policy) MountOption {
	return func(o *mountOptions) error { o.policy = o.policy.Override(p); return nil }
}

// AllowUndeclared lets routes be mounted, unprotected, that may change something
// and that no policy is declared for: for a service that moves to idempotency
// keys route by route.
func AllowUndeclared() MountOption {
	return func(o *mountOptions) error { o.undeclared = true; return nil }
}

// ForRoute gives a route of the table what a tag cannot say, such as
// [idempotency.Reconcile], which only a protected route can have; or its policy, where
// there is no idempotency tag. The
// field is named by its path in the table: "Create", "Admin.Refund". The names of
// embedded structs are part of it.
func ForRoute(field string, opts ...idempotency.OperationOption) MountOption {
	return func(o *mountOptions) error {
		if _, twice := o.byField[field]; twice {
			return fmt.Errorf("ForRoute: %q is given twice", field)
		}
		if o.byField == nil {
			o.byField = make(map[string][]idempotency.OperationOption)
		}
		o.byField[field] = opts
		return nil
	}
}

func newMountOptions(opts []MountOption) (mountOptions, error) {
	var o mountOptions
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("idemhttp: Mount: a nil option")
		}
		if err := opt(&o); err != nil {
			return o, fmt.Errorf("idemhttp: Mount: %w", err)
		}
	}
	return o, nil
}

// apply gives the routes of a table what the options say.
func (o mountOptions) apply(routes []*tableRoute) error {
	var errs []error
	names := make([]string, len(routes))
	for i, r := range routes {
		names[i] = r.path
		r.options = o.byField[r.path]
		if !saidNothing(saidIn(r.options)) && r.tagged {
			errs = append(errs, r.wrong(`a policy by ForRoute and by its tag idempotency:"%s": say it in one place`, r.own))
		}
	}
	for field := range o.byField {
		if !slices.Contains(names, field) {
			errs = append(errs, fmt.Errorf("idemhttp: Mount: ForRoute: the table has no route %q; the nearest is %q",
				field, nearest.Word(field, names)))
		}
	}
	return errors.Join(errs...)
}

// checkTable finds what is wrong with the routes, each by itself and together.
func (m *Middleware) checkTable(mux Mux, read *tableReader, o mountOptions) error {
	routes := read.routes
	errs, patterns := []error{m.checkGroups(read), checkNames(routes)}, make([]string, len(routes))
	for i, r := range routes {
		errs = append(errs, m.checkField(mux, r, o))
		patterns[i] = r.pattern
	}
	for i, err := range m.checkFree(mux, patterns) {
		if err != nil {
			errs = append(errs, routes[i].wrong("%w", err))
		}
	}
	return errors.Join(errs...)
}

// checkNames finds two routes of one operation: the same key on both would be
// one request to the guard, and a client could tell neither why it is refused.
func checkNames(routes []*tableRoute) error {
	var errs []error
	first := make(map[string]*tableRoute)
	for _, r := range routes {
		before, taken := first[r.operation]
		if taken && before.pattern != r.pattern {
			errs = append(errs, r.wrong("its operation %q is that of %s already", r.operation, before.name))
		}
		first[r.operation] = r
	}
	return errors.Join(errs...)
}
