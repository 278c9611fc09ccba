package idemhttp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// route is a protected handler.
type route struct {
	m        *Middleware
	op       *idempotency.Operation
	policy   idempotency.Policy
	recorded []string // response fields that are recorded
	next     http.Handler
}

// ServeHTTP answers from the record, or runs the handler, or refuses.
func (rt *route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !protectable(r) || rt.policy.Key == idempotency.KeyOff {
		rt.ignore(w, r)
		return
	}
	key, err := rt.key(r)
	if errors.Is(err, errNoKey) && rt.policy.Key == idempotency.KeyOptional {
		w.Header().Set(headerStatus, markIgnored)
		rt.next.ServeHTTP(w, r)
		return
	}
	if err != nil {
		rt.refuse(w, r, rt.op.Reject(r.Context(), keyCode(err), err))
		return
	}
	if rt.mount(r, key).around(r.Context()) {
		rt.misplaced(w, r, "middleware mounted twice around operation "+rt.op.Name())
		return
	}
	rt.protect(w, r, key)
}

// protectable reports whether a request may change something, and is not gRPC,
// which has interceptors of its own.
func protectable(r *http.Request) bool {
	return !isSafe(r.Method) && !isGRPC(r.Header.Get("Content-Type"))
}

// isSafe knows the methods that change nothing (RFC 9110, 9.2.1), and CONNECT,
// which has no answer to keep.
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return true
	}
	return false
}

// isGRPC knows application/grpc, with +proto and the like, and grpc-web.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || strings.ContainsRune("+;", rune(rest[0])) || strings.HasPrefix(rest, "-web"))
}

// ignore lets a request through; a client that sent a key learns that it did
// not count.
func (rt *route) ignore(w http.ResponseWriter, r *http.Request) {
	for _, name := range rt.m.opts.keyHeaders {
		if len(r.Header.Values(name)) > 0 {
			w.Header().Set(headerStatus, markIgnored)
		}
	}
	rt.next.ServeHTTP(w, r)
}

// key reads the key from the header and its aliases, which must agree.
func (rt *route) key(r *http.Request) (string, error) {
	found, from := "", ""
	for _, name := range rt.m.opts.keyHeaders {
		key, err := parseKey(r.Header.Values(name), rt.m.opts.strictKeys)
		switch {
		case errors.Is(err, errNoKey):
			continue
		case err != nil:
			return "", fmt.Errorf("%s: %w", name, err)
		case from != "" && key != found:
			return "", fmt.Errorf("%w: %s and %s differ", errBadKey, from, name)
		}
		found, from = key, name
	}
	if from == "" {
		return "", fmt.Errorf("%w in %s", errNoKey, strings.Join(rt.m.opts.keyHeaders, " or "))
	}
	return found, nil
}

func keyCode(err error) idempotency.Code {
	if errors.Is(err, errNoKey) {
		return idempotency.ErrKeyMissing
	}
	return idempotency.ErrKeyInvalid
}

// protect asks the engine. The body comes first: the scope function may look at
// a form in it, and its digest is part of the claim.
func (rt *route) protect(w http.ResponseWriter, r *http.Request, key string) {
	body, sum, err := readBody(w, r, rt.policy.MaxRequestBody)
	if err != nil {
		rt.refuse(w, r, rt.op.Reject(r.Context(), bodyCode(err), err))
		return
	}
	if len(body) == 0 && bodyWasThere(r) {
		rt.misplaced(w, r, "a middleware outside has read the request body of operation "+rt.op.Name()+
			", so that it cannot be compared with that of a duplicate")
		return
	}
	scope, err := rt.m.opts.scope(withBody(r.WithContext(r.Context()), body)) // a copy
	if err != nil || scope == "" {
		rt.refuse(w, r, rt.op.Reject(r.Context(), idempotency.ErrScopeMissing, err))
		return
	}
	var c *capture
	result, err := rt.op.Execute(r.Context(), rt.call(r, scope, key, sum),
		func(ctx context.Context) idempotency.Answer {
			c = rt.newCapture(ctx, w, r)
			// After a panic, too: what the handler left running must not write
			// to a response that is over.
			defer c.finish(rt.recorded)
			ctx = rt.mount(r, key).enter(ctx)
			rt.next.ServeHTTP(c.Writer(), withBody(r.WithContext(ctx), body))
			return rt.answer(c)
		})
	rt.respond(w, r, c, result, err)
}

// bodyWasThere reports whether a request that reads as empty had a body, which
// somebody else has read.
func bodyWasThere(r *http.Request) bool {
	return r.ContentLength > 0 || len(r.PostForm) > 0 || r.MultipartForm != nil
}

// withBody gives a request, which must be a copy, the body that has been read:
// whoever reads or parses the copy leaves the original as it came.
func withBody(r *http.Request, body []byte) *http.Request {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return r
}

func bodyCode(err error) idempotency.Code {
	if errors.Is(err, errBodyTooLarge) {
		return idempotency.ErrBodyTooLarge
	}
	return idempotency.ErrBodyUnreadable
}

func (rt *route) call(r *http.Request, scope, key string, body [sha256.Size]byte) idempotency.Call {
	by := func(algorithm string) (store.Fingerprint, bool) {
		compute, known := fingerprintBy(algorithm)
		if !known {
			return store.Fingerprint{}, false
		}
		return compute(r, body), true
	}
	call := idempotency.Call{Scope: scope, Key: key, FingerprintBy: by}
	if rt.policy.Fingerprint != idempotency.FingerprintOff {
		call.Fingerprint, _ = by(requestFingerprint)
	}
	return call
}

// misplaced tells the developer of a mistake in the chain that cannot be found
// at construction: middlewares do not know of each other.
func (rt *route) misplaced(w http.ResponseWriter, r *http.Request, what string) {
	rt.prepare(w.Header(), r, markRejected)
	http.Error(w, "idempotency: "+what, http.StatusInternalServerError)
}

// answer says what the handler's response means for the record.
func (rt *route) answer(c *capture) idempotency.Answer {
	a, flags := c.finish(rt.recorded)
	class := classify(a.status, rt.policy.Record)
	if inner, ok := classOfMark(c.mark()); ok {
		class = inner
	}
	if flags.broken || flags.hijacked || a.status == http.StatusSwitchingProtocols {
		class = idempotency.ClassUnknown
	}
	return idempotency.Answer{Class: class, Answer: a.encode()}
}

// classOfMark reads the Idempotency-Status that a handler's own response
// carries, because it comes from another service behind this one. What that one
// says about a request is not an answer to it.
func classOfMark(mark string) (idempotency.Class, bool) {
	switch mark {
	case markConflict, markRejected, markMismatch:
		return idempotency.ClassRelease, true
	case markUnknown, markUnavailable, markUnrecorded:
		return idempotency.ClassUnknown, true
	}
	return 0, false
}

// classify puts a status into its class.
func classify(status int, rule idempotency.RecordRule) idempotency.Class {
	success := status >= 200 && status < 400
	switch {
	case success, rule == idempotency.RecordAll:
		return idempotency.ClassRecord
	case rule == idempotency.RecordSuccess, status >= 500:
		return idempotency.ClassRelease
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout,
		http.StatusTooEarly, http.StatusTooManyRequests:
		return idempotency.ClassRelease // another try may well fare better
	}
	return idempotency.ClassRecord
}
