package idemhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/keysyntax"
)

// typedHandler is a handler that decodes its requests into a struct, whose tags
// say where the key and the scope are, and what counts.
type typedHandler interface {
	http.Handler
	// plan says how; or what is wrong with the handler.
	plan() (*requestPlan, error)
	// fail answers with an error.
	fail(w http.ResponseWriter, r *http.Request, err error)
}

// checkTyped finds what is wrong with such a handler under a policy.
func checkTyped(next http.Handler, policy idempotency.Policy) error {
	typed, ok := next.(typedHandler)
	if !ok {
		return nil
	}
	plan, err := typed.plan()
	if err != nil || policy.Key == idempotency.KeyOff {
		return err
	}
	return plan.checkPolicy(policy)
}

// checkRoute finds what is wrong with a pattern, and with a handler for it under its
// whole policy.
func (m *Middleware) checkRoute(mux Mux, pattern string, handler http.Handler, policy idempotency.Policy) error {
	_, standard := mux.(*http.ServeMux)
	if standard {
		if err := checkPattern(pattern); err != nil {
			return err
		}
	}
	if err := checkChain(handler, policy); err != nil {
		return err
	}
	typed, ok := handler.(typedHandler)
	if !ok {
		return nil
	}
	plan, err := typed.plan()
	if err != nil {
		return err
	}
	return plan.checkPlaces(pattern, standard)
}

func hasScopeField(typed typedHandler) bool {
	plan, err := typed.plan()
	return err == nil && plan.tags.HasScope()
}

// around returns the route with a handler, or what tells why there is none.
func (rt *route) around(next http.Handler) http.Handler {
	handler, err := rt.with(next)
	if err != nil {
		return rt.misbuilt(err)
	}
	return handler
}

// with returns the route with a handler.
func (rt *route) with(next http.Handler) (*route, error) {
	if err := checkChain(next, rt.policy); err != nil {
		return nil, err
	}
	own := *rt
	own.next = next
	typed, ok := next.(typedHandler)
	if !ok {
		return &own, nil
	}
	plan, err := typed.plan()
	if err != nil {
		return nil, err
	}
	if plan.tags.HasScope() {
		if err := rt.m.uses.take(rt.op.Name(), usedByScopeField); err != nil {
			return nil, err
		}
	}
	own.typed, own.plan = typed, plan
	own.fingerprinter, err = rt.fingerprinter.forTyped(plan.parts)
	if err != nil { // never: membersOf makes pointers that are well-formed
		return nil, err
	}
	return &own, nil
}

// typedRequest is what a request was decoded into. The zero value is a request of
// a handler that does not say how.
type typedRequest struct {
	plan  *requestPlan
	value reflect.Value
	err   error // why there is no value; the handler answers with it
}

type typedKey struct{}

// mountedKey is where a handler that decodes its requests itself finds what holds
// where it is mounted.
type mountedKey struct{}

type mountedWith struct {
	maxBody   int64
	pathValue func(r *http.Request, name string) string
}

func mountedIn(ctx context.Context) mountedWith {
	with, _ := ctx.Value(mountedKey{}).(mountedWith)
	return with
}

// mayDecode reports whether the handler may be one that decodes its requests itself
// and has to know something for it: a typed one; or one behind a middleware, on a router
// of which only the middleware knows how to ask it.
func (rt *route) mayDecode() bool { return rt.typed != nil || rt.m.opts.pathValue != nil }

// allowing returns a context in which a typed handler takes a body of the size that
// it takes with a key: that a key is missing, or does not count for a while, must
// not make requests too large.
func (rt *route) allowing(ctx context.Context) context.Context {
	return context.WithValue(ctx, mountedKey{}, mountedWith{rt.policy.MaxRequestBody, rt.m.opts.pathValue})
}

// handing returns the context of a handler: with its decoded request, or with what it
// needs to decode it.
func (rt *route) handing(request typedRequest, ctx context.Context) context.Context {
	if request.plan == nil && rt.mayDecode() {
		return rt.allowing(ctx)
	}
	return request.enter(ctx)
}

// bare returns a handler that nothing protects, but which may have to be told how to
// ask the router.
func (m *Middleware) bare(handler http.Handler) http.Handler {
	if m.opts.pathValue == nil {
		return handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		with := mountedWith{pathValue: m.opts.pathValue}
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), mountedKey{}, with)))
	})
}

// enter hands the value to the handler, so that it is decoded once.
func (t typedRequest) enter(ctx context.Context) context.Context {
	if t.plan == nil {
		return ctx
	}
	return context.WithValue(ctx, typedKey{}, t)
}

// decode makes the struct of a request whose handler has one. If that fails, and
// key or scope are not known for that, the handler answers and nothing is claimed.
// False if the request is answered.
func (rt *route) decode(w http.ResponseWriter, r *http.Request, unread *requestBody) (typedRequest, bool) {
	if rt.plan != nil {
		if !rt.load(w, r, unread) {
			return typedRequest{}, false
		}
	}
	request, err := rt.read(r, unread)
	if err != nil {
		_ = rt.op.Reject(r.Context(), idempotency.ErrBodyUnreadable, unquoted(err)) // counted, and told to the trace hooks
		rt.prepare(w.Header(), r, markRejected)
		rt.typed.fail(w, r, err) // it has the words for what is wrong
		return typedRequest{}, false
	}
	return request, true
}

// read makes the struct of a request whose handler has one.
func (rt *route) read(r *http.Request, unread *requestBody) (typedRequest, error) {
	if rt.plan == nil {
		return typedRequest{}, nil
	}
	body, err := unread.load()
	if err != nil {
		return typedRequest{}, err
	}
	value, err := rt.plan.decode(r, body, rt.m.opts.pathValue)
	if err != nil && !rt.knownWithout(unread) {
		return typedRequest{}, err
	}
	return typedRequest{rt.plan, value, err}, nil
}

// knownWithout reports whether key and scope of a request are known without its
// struct. Then a request that cannot be read is one like any other: the refusal is
// its answer, and a retry gets the same.
func (rt *route) knownWithout(unread *requestBody) bool {
	if rt.plan.tags.HasScope() {
		return false
	}
	_, err := rt.keyBefore(unread)
	return !rt.plan.tags.HasKey() || !errors.Is(err, keysyntax.ErrNone)
}

// keyOf returns the key of a request, from its struct or from where the
// middleware looks for it. If both have one, they must be the same.
func (rt *route) keyOf(request typedRequest, body *requestBody) (string, error) {
	elsewhere, err := rt.keyBefore(body)
	if request.plan == nil || request.err != nil || !request.plan.tags.HasKey() {
		return elsewhere, err
	}
	if err != nil && !errors.Is(err, keysyntax.ErrNone) {
		return "", err
	}
	given, ok := request.plan.tags.Key(request.value)
	if !ok {
		return elsewhere, orInTheRequest(err)
	}
	key, wrong := keysyntax.Check(given)
	if wrong == nil {
		key, wrong = keysyntax.Format(key, string(rt.policy.KeyFormat))
	}
	switch {
	case wrong != nil:
		return "", fmt.Errorf("the request's own: %w", wrong)
	case err == nil && elsewhere != key:
		return "", fmt.Errorf("%w: that of the header and the request's own differ", keysyntax.ErrInvalid)
	}
	return key, nil
}

func orInTheRequest(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w, nor in the request itself", err)
}

// ScopeWithin is the scope of a request whose struct has a scope field of that
// value, for [idempotency.Guard.ID]: the caller's own, and the value within it.
// What a request says never stands for who sends it.
func ScopeWithin(scope, value string) string {
	return strconv.Itoa(len(scope)) + ":" + scope + value // no two pairs are spelled alike
}

// scopeWithin adds the request's own scope to the caller's.
func (t typedRequest) scopeWithin(scope string) (string, error) {
	if t.plan == nil || !t.plan.tags.HasScope() {
		return scope, nil
	}
	value, ok, err := t.plan.tags.Scope(t.value)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", errors.New("the request's field for the scope is not set")
	}
	return ScopeWithin(scope, value), nil
}
