package idemhttp

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/reprise-go/reprise/idempotency"
)

// mountedRoute is a pattern on a mux and what protects it, nil if nothing is said about it.
type mountedRoute struct {
	mux     Mux
	pattern string
	by      *route
}

func (r mountedRoute) route() Route {
	if r.by == nil {
		return Route{Pattern: r.pattern}
	}
	policy := r.by.effective()
	return Route{
		Pattern: r.pattern, Operation: r.by.live.Name(), Policy: policy,
		Protected: policy.Key == idempotency.KeyRequired || policy.Key == idempotency.KeyOptional,
	}
}

// mountedRoutes is the list behind [Middleware.Routes]. Safe for concurrent use.
type mountedRoutes struct {
	mu    sync.Mutex
	all   []mountedRoute
	spare []*slot // on a mux, and without a handler
}

// slot is what a mux is given for a pattern. No mux gives a handler back: where one of
// several routes is refused, those before it are left without handlers, are answered
// with 404, and are filled by the next try.
type slot struct {
	mux     Mux
	pattern string
	handler atomic.Pointer[http.Handler]
}

// ServeHTTP implements [http.Handler].
func (s *slot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if handler := s.handler.Load(); handler != nil {
		(*handler).ServeHTTP(w, r)
		return
	}
	http.NotFound(w, r)
}

// slotFor returns the spare slot of a pattern, or mounts one. The mux is called under
// no lock.
func (l *mountedRoutes) slotFor(mux Mux, pattern string) (*slot, error) {
	if s := l.spareFor(mux, pattern); s != nil {
		return s, nil
	}
	s := &slot{mux: mux, pattern: pattern}
	if err := tryHandle(mux, pattern, s); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = append(l.spare, s)
	return s, nil
}

// spareFor returns the spare slot of a pattern, or nil.
func (l *mountedRoutes) spareFor(mux Mux, pattern string) *slot {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.spare {
		if s.pattern == pattern && sameMux(s.mux, mux) {
			return s
		}
	}
	return nil
}

// fill puts a handler into a slot, which is mounted from then on.
func (l *mountedRoutes) fill(s *slot, handler http.Handler, by *route) {
	s.handler.Store(&handler)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = slices.DeleteFunc(l.spare, func(other *slot) bool { return other == s })
	l.all = append(l.all, mountedRoute{mux: s.mux, pattern: s.pattern, by: by})
}

func (l *mountedRoutes) list() []mountedRoute {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// on returns the patterns that are on a mux.
func (l *mountedRoutes) on(mux Mux) []string {
	var patterns []string
	for _, r := range l.list() {
		if sameMux(r.mux, mux) {
			patterns = append(patterns, r.pattern)
		}
	}
	return patterns
}

// patternOf returns a pattern that an operation has been mounted under.
func (l *mountedRoutes) patternOf(operation string) (string, bool) {
	for _, r := range l.list() {
		if r.by != nil && r.by.live.Name() == operation {
			return r.pattern, true
		}
	}
	return "", false
}

// sameMux compares muxes of any type. Two maps are one if they share their contents;
// what cannot be told is taken for two.
func sameMux(a, b Mux) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if x.Type() != y.Type() {
		return false
	}
	switch x.Kind() {
	case reflect.Map, reflect.Func:
		return x.UnsafePointer() == y.UnsafePointer()
	default:
		return x.Comparable() && y.Comparable() && a == b
	}
}

// checkMux finds the muxes that cannot be called.
func checkMux(mux Mux) error {
	v := reflect.ValueOf(mux)
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return errors.New("the mux is nil")
	}
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

// mounting is a route that has been checked, and what names it in errors.
type mounting struct {
	pattern   string
	operation string // "" if nothing is said about the route
	handler   http.Handler
	opts      []idempotency.OperationOption
	wrong     func(error) error
}

// mountAll mounts routes, all or none. What can be asked beforehand has been; a mux
// that refuses a pattern all the same is asked before any operation is registered.
func (m *Middleware) mountAll(mux Mux, routes []mounting) error {
	slots := make([]*slot, len(routes))
	for i, r := range routes {
		var err error
		if slots[i], err = m.mounted.slotFor(mux, r.pattern); err != nil {
			return r.wrong(err)
		}
	}
	handlers, by := make([]http.Handler, len(routes)), make([]*route, len(routes))
	for i, r := range routes {
		var err error
		if handlers[i], by[i], err = m.built(r); err != nil {
			return r.wrong(err)
		}
	}
	for i, s := range slots {
		m.mounted.fill(s, handlers[i], by[i])
	}
	return nil
}

// built is what is served for a route, and what protects it: nil if nothing is said
// about it.
func (m *Middleware) built(r mounting) (http.Handler, *route, error) {
	if r.operation == "" {
		return m.bare(r.handler), nil, nil
	}
	rt, err := m.newRoute(r.operation, noParts, r.opts)
	if err != nil {
		return nil, nil, err
	}
	by, err := rt.with(r.handler)
	return by, by, err
}
