package idemhttp

import (
	"context"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
)

// mount remembers that a request is protected already, so that a middleware
// mounted twice is told at the first request instead of waiting for itself. A
// handler that calls another route in the same process, or sends another key, is
// none of that.
type mount struct {
	guard            *idempotency.Guard
	method, url, key string
}

type mountKey struct{}

func mountOf(guard *idempotency.Guard, r *http.Request, key string) mount {
	url := r.RequestURI // stays when StripPrefix rewrites the URL
	if url == "" {
		url = r.URL.String()
	}
	return mount{guard: guard, method: r.Method, url: url, key: key}
}

func (m mount) enter(ctx context.Context) context.Context {
	return context.WithValue(ctx, mountKey{}, m)
}

// around reports whether the request of ctx is inside the same mount.
func (m mount) around(ctx context.Context) bool {
	outer, ok := ctx.Value(mountKey{}).(mount)
	return ok && outer == m
}
