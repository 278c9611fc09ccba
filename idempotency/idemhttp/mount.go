package idemhttp

import (
	"context"
	"net/http"
	"strings"
)

// mount remembers that a request is protected already, so that a middleware
// mounted twice is told at the first request instead of meeting its own claim.
// A handler that calls another route in the same process, or sends another key,
// is none of that.
type mount struct {
	m                            *Middleware
	operation, method, path, key string
}

type mountKey struct{}

func (rt *route) mount(r *http.Request, key string) mount {
	return mount{m: rt.m, operation: rt.op.Name(), method: r.Method, path: r.URL.Path, key: key}
}

func (m mount) enter(ctx context.Context) context.Context {
	return context.WithValue(ctx, mountKey{}, m)
}

// around reports whether the request of ctx is inside the same mount: the same
// operation, or another one for the same request.
func (m mount) around(ctx context.Context) bool {
	outer, ok := ctx.Value(mountKey{}).(mount)
	if !ok || outer.m.guard != m.m.guard || outer.key != m.key {
		return false
	}
	return outer.operation == m.operation || outer.method == m.method && outer.path == m.path
}

// tellOuter logs a mistake by the middleware that a request has come through.
func tellOuter(ctx context.Context, what string) {
	if outer, ok := ctx.Value(mountKey{}).(mount); ok {
		operation, _, _ := strings.Cut(outer.operation, "\x00") // no part: a path is the client's
		outer.m.tell("operation " + operation + ": " + what)
	}
}
