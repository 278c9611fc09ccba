package idemhttp

import (
	"errors"
	"net/http"
	"reflect"
	"sync"

	"github.com/reprise-go/reprise/idempotency"
)

// What a handler's type alone can tell of a wrong order in a chain. A wrapper
// that is a mere function hides what it wraps: that is found at the first
// request ([mount]) or not at all.
var (
	errNoHandler      = errors.New("no handler: the handler is nil")
	errProtectedTwice = errors.New("the handler is protected already, and a request would meet its own claim: " +
		"protect it once")
	errTimeoutInside = errors.New("http.TimeoutHandler stands inside: its 503 would say that nothing happened " +
		"while the handler that it wraps is still at work; put it outside, around the protected route or the mux")
)

// checkChain examines what is about to be protected. A route that is switched
// off protects nothing, so anything may stand in it.
func checkChain(next http.Handler, policy idempotency.Policy) error {
	if isNil(next) {
		return errNoHandler
	}
	if err := checkTyped(next, policy); err != nil {
		return err
	}
	switch {
	case policy.Key == idempotency.KeyOff:
		return nil
	case isRoute(next):
		return errProtectedTwice
	case isTimeoutHandler(next):
		return errTimeoutInside
	}
	return nil
}

func isNil(handler http.Handler) bool {
	f, isFunc := handler.(http.HandlerFunc)
	return handler == nil || isFunc && f == nil
}

func isRoute(handler http.Handler) bool {
	inner, ok := handler.(*route)
	return ok && inner.policy.Key != idempotency.KeyOff
}

// isTimeoutHandler compares types, because net/http does not export its own. A
// Go release that answers TimeoutHandler with a type of many uses, such as a
// function, switches the check off and not every other handler.
func isTimeoutHandler(handler http.Handler) bool {
	timeout := reflect.TypeOf(http.TimeoutHandler(http.NotFoundHandler(), 0, ""))
	return timeout.Kind() == reflect.Pointer && reflect.TypeOf(handler) == timeout
}

// misbuilt stands for a chain that cannot work, where it was given to a function
// that cannot return an error. Without it, requests would be claimed first.
func (rt *route) misbuilt(err error) http.Handler {
	what := "operation " + rt.op.Name() + ": " + err.Error()
	rt.m.tell(what)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rt.misplaced(w, r, what) })
}

// misplaced tells the developer of a mistake in the chain that cannot be found
// at construction: middlewares do not know of each other.
func (rt *route) misplaced(w http.ResponseWriter, r *http.Request, what string) {
	rt.m.tell(what)
	rt.prepare(w.Header(), r, markRejected)
	http.Error(w, "idempotency: "+what, http.StatusInternalServerError)
}

// mistakes remember what has been logged. What is told names operations and types, and
// nothing of a request, so that there are few. Safe for concurrent use.
type mistakes struct {
	mu   sync.Mutex
	told map[string]bool
}

// isNew is true once for a text.
func (m *mistakes) isNew(what string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told[what] {
		return false
	}
	if m.told == nil {
		m.told = make(map[string]bool)
	}
	m.told[what] = true
	return true
}

// tell logs a mistake once.
func (m *Middleware) tell(what string) {
	if m.mistakes.isNew(what) {
		m.guard.Logger().Error("idempotency: a mistake in the program; requests are answered with 500", "mistake", what)
	}
}
