package idemhttp

import (
	"context"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
)

// mount remembers that a request is protected already, so that a middleware
// mounted twice is told at the first request instead of meeting its own claim.
// A handler that calls another route in the same process, or sends another key,
// is none of that.
type mount struct {
	guard                        *idempotency.Guard
	operation, method, path, key string
}

type mountKey struct{}

func (rt *route) mount(r *http.Request, key string) mount {
	return mount{guard: rt.m.guard, operation: rt.op.Name(), method: r.Method, path: r.URL.Path, key: key}
}

func (m mount) enter(ctx context.Context) context.Context {
	return context.WithValue(ctx, mountKey{}, m)
}

// around reports whether the request of ctx is inside the same mount: the same
// operation, or another one for the same request.
func (m mount) around(ctx context.Context) bool {
	outer, ok := ctx.Value(mountKey{}).(mount)
	if !ok || outer.guard != m.guard || outer.key != m.key {
		return false
	}
	return outer.operation == m.operation || outer.method == m.method && outer.path == m.path
}
