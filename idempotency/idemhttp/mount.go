package idemhttp

import (
	"context"
)

// mount remembers that a request is protected already, so that a middleware
// mounted twice is told at the first request instead of meeting its own claim.
// A handler that calls another route in the same process, or sends another key,
// is none of that.
type mount struct {
	m                                  *Middleware
	operation, part, method, path, key string
}

type mountKey struct{}

// outerMount is what the request of a context has come through.
func outerMount(ctx context.Context) (mount, bool) {
	outer, ok := ctx.Value(mountKey{}).(mount)
	return outer, ok
}

func (m mount) enter(ctx context.Context) context.Context {
	return context.WithValue(ctx, mountKey{}, m)
}

// inside reports whether a request is in an outer mount already: that of the same
// part of an operation, or another one for the same request.
func (m mount) inside(outer mount) bool {
	if outer.m.guard != m.m.guard || outer.key != m.key {
		return false
	}
	return outer.operation == m.operation && outer.part == m.part ||
		outer.method == m.method && outer.path == m.path
}

// tellOuter logs a mistake by the middleware that a request has come through.
func tellOuter(ctx context.Context, what string) {
	if outer, ok := outerMount(ctx); ok { // its part stays out: a path is the client's
		outer.m.tell("operation " + outer.operation + ": " + what)
	}
}
