package idemhttp

import (
	"errors"
	"net/http"
	"reflect"

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
func misbuilt(operation string, err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "idempotency: operation "+operation+": "+err.Error(), http.StatusInternalServerError)
	})
}
