package idemhttp

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// exchange is one protected request and its response, and the engine's handler for
// it. All that belongs to it is in one piece of memory.
type exchange struct {
	rt *route
	w  http.ResponseWriter
	r  *http.Request

	body    requestBody
	request typedRequest
	key     string
	part    string

	lent         lentRequest // to the scope function
	fingerprints fingerprints
	capture      *capture   // nil until the handler runs
	lines        fieldLines // of the response's header
	recorded     [8]field   // of an answer that is replayed; further ones go elsewhere
}

// exchange begins with a request whose body is read from the one in unread.
func (rt *route) exchange(w http.ResponseWriter, r, unread *http.Request) *exchange {
	return &exchange{
		rt: rt, w: w, r: r, part: rt.part(r),
		body: requestBody{w: w, r: unread, limit: rt.policy.MaxRequestBody},
	}
}

func (x *exchange) mount() mount {
	return mount{
		m: x.rt.m, operation: x.rt.op.Name(), part: x.part,
		method: x.r.Method, path: x.r.URL.Path, key: x.key,
	}
}

func (x *exchange) mountedTwice() bool {
	outer, ok := outerMount(x.r.Context())
	return ok && x.mount().inside(outer)
}

// protect asks the engine. The body comes first: the scope function may look at
// a form in it, and its digest is part of the claim.
func (x *exchange) protect() {
	rt, ctx := x.rt, x.r.Context()
	if !rt.load(x.w, x.r, &x.body) {
		return
	}
	scope, err := x.scope()
	if err != nil || scope == "" {
		rt.refuse(x.w, x.r, rt.op.Reject(ctx, idempotency.ErrScopeMissing, err))
		return
	}
	result, err := rt.op.ExecuteHandler(ctx, x.call(scope), x)
	x.respond(result, err)
}

// scope asks the scope function, which gets a copy of the request with its body.
func (x *exchange) scope() (string, error) {
	given := x.lent.of(x.r, x.body.bytes)
	defer discardForm(given, x.r)
	scope, err := x.rt.m.opts.scope(given)
	if err != nil || scope == "" {
		return "", err
	}
	return x.request.scopeWithin(scope)
}

// call returns what the engine is to know of the request.
func (x *exchange) call(scope string) idempotency.Call {
	x.fingerprints = fingerprints{own: &x.rt.fingerprinter, request: x.r, body: x.body.bytes}
	own, _ := x.fingerprints.by(x.rt.fingerprinter.algorithmFor(x.request)) // it can always be computed
	return idempotency.Call{
		Scope:       scope,
		Key:         x.key,
		Part:        x.part,
		Fingerprint: own,
		MayReplay:   x.rt.mayReplay(x.r, x.body.bytes),
	}
}

// FingerprintBy implements [idempotency.Handler].
func (x *exchange) FingerprintBy(algorithm string) (store.Fingerprint, bool) {
	return x.fingerprints.by(algorithm)
}

// Handle implements [idempotency.Handler]: it runs the protected handler.
func (x *exchange) Handle(ctx context.Context) idempotency.Answer {
	rt := x.rt
	x.capture = rt.newCapture(ctx, x.w, x.r)
	// After a panic, too: what the handler left running must not write to a
	// response that is over.
	defer x.capture.finish(rt.recorded)
	ctx = rt.handing(x.request, x.mount().enter(ctx))
	given := withBody(x.r.WithContext(ctx), x.body.bytes)
	// Here, and not once the client is answered: the handler has returned.
	defer discardForm(given, x.r)
	rt.next.ServeHTTP(x.capture.Writer(), given)
	return rt.answer(x.capture)
}

// lentRequest is a copy of a request with a body from memory.
type lentRequest struct {
	copy http.Request
	body memoryBody
}

// of makes the copy. Whoever reads or parses it leaves the original as it came.
func (l *lentRequest) of(r *http.Request, body []byte) *http.Request {
	l.copy = *r
	if r.Body != nil && r.Body != http.NoBody {
		l.body.Reset(body)
		l.copy.Body = &l.body
	}
	return &l.copy
}

// memoryBody is a request body in memory.
type memoryBody struct{ bytes.Reader }

func newMemoryBody(body []byte) *memoryBody {
	b := new(memoryBody)
	b.Reset(body)
	return b
}

// Close implements [io.Closer].
func (*memoryBody) Close() error { return nil }

var _ io.ReadCloser = (*memoryBody)(nil)

// withBody gives a request, which must be a copy, the body that has been read:
// whoever reads or parses the copy leaves the original as it came.
func withBody(r *http.Request, body []byte) *http.Request {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = newMemoryBody(body)
	}
	return r
}
