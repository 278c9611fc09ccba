package idemhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
)

var (
	errReadOutside  = errors.New("a middleware outside has read it")
	errMountedTwice = errors.New("the middleware is mounted twice")
)

// shadow runs the handler in any case, on the request as it came and the response
// as it goes, while the engine finds out what would have become of it.
func (rt *route) shadow(w http.ResponseWriter, r *http.Request) {
	peeked := &peekedBody{under: r.Body}
	x := rt.exchange(w, r, peeked.lend(r))
	call, err := x.rehearse(peeked)
	if errors.Is(err, errMountedTwice) { // it counts once, outside
		rt.next.ServeHTTP(w, peeked.give(r, r.Context()))
		return
	}
	if err != nil {
		c := rt.newShadowCapture(w)
		rt.runInShadow(r.Context(), c, r, peeked)
		c.finish(rt.recorded)
		markShadow(c, w)
		return
	}
	_, err = rt.op.ExecuteHandler(r.Context(), call, shadowed{x, peeked})
	if err == nil { // there is none in shadow
		markShadow(x.capture, w)
	}
}

// shadowed is the engine's handler of a request in shadow.
type shadowed struct {
	*exchange
	peeked *peekedBody
}

// Handle implements [idempotency.Handler].
func (s shadowed) Handle(ctx context.Context) idempotency.Answer {
	rt := s.rt
	s.capture = rt.newShadowCapture(s.w)
	s.capture.copies = true
	defer s.capture.finish(rt.recorded) // after a panic, too
	rt.runInShadow(s.request.enter(s.mount().enter(ctx)), s.capture, s.r, s.peeked)
	return rt.answer(s.capture)
}

// rehearse does what comes before the engine, which it would be called with then.
// What is wrong with the request has been reported when it returns.
func (x *exchange) rehearse(peeked *peekedBody) (none idempotency.Call, err error) {
	rt, ctx := x.rt, x.r.Context()
	x.request, err = rt.read(x.r, &x.body)
	if err != nil {
		return none, rt.op.Reject(ctx, bodyCode(err), err)
	}
	x.key, err = rt.keyOf(x.request, &x.body)
	if err != nil {
		return none, rt.op.Reject(ctx, keyCode(err), err)
	}
	if x.mountedTwice() {
		return none, errMountedTwice
	}
	whole, err := x.body.load()
	if err == nil && bodyWasRead(x.r, whole) {
		err = errReadOutside
	}
	if err != nil {
		return none, rt.op.Reject(ctx, bodyCode(err), err)
	}
	peeked.whole(whole)
	scope, err := x.scope()
	if err != nil || scope == "" {
		return none, rt.op.Reject(ctx, idempotency.ErrScopeMissing, err)
	}
	return x.call(scope), nil
}

func (rt *route) newShadowCapture(w http.ResponseWriter) *capture {
	c := newCapture(w, passResponse, rt.policy.MaxResponseBody)
	c.beforeFlow = setShadowMark
	return c
}

// setShadowMark leaves the mark of another service alone, which the handler passes
// on: nothing of a response in shadow is taken away.
func setShadowMark(h http.Header) {
	if h.Get(headerStatus) == "" {
		h.Set(headerStatus, markUnprotected)
	}
}

// markShadow marks the response of a handler that wrote nothing, and which
// net/http is going to send.
func markShadow(c *capture, w http.ResponseWriter) {
	if !c.flags.flowed {
		setShadowMark(w.Header())
	}
}

func (rt *route) runInShadow(ctx context.Context, c *capture, r *http.Request, peeked *peekedBody) {
	given := peeked.give(r, rt.allowing(ctx))
	defer discardForm(given, r)
	rt.next.ServeHTTP(c.Writer(), given)
}

// peekedBody is a request body of which some has been read: the handler gets all
// of it, as it would have without that.
type peekedBody struct {
	under io.ReadCloser
	kept  []byte
	err   error // what reading ended with
}

// lend returns a copy of the request to read from. What is read is kept.
func (b *peekedBody) lend(r *http.Request) *http.Request {
	lent := r.WithContext(r.Context())
	if b.there() {
		lent.Body = peeking{b}
	}
	return lent
}

func (b *peekedBody) there() bool { return b.under != nil && b.under != http.NoBody }

// whole says that the body has been read to its end: only one copy need be kept.
func (b *peekedBody) whole(body []byte) { b.kept = body }

// give returns the request for the handler.
func (b *peekedBody) give(r *http.Request, ctx context.Context) *http.Request {
	given := r.WithContext(ctx)
	if !b.there() {
		return given
	}
	rest := io.Reader(b.under)
	if b.err != nil {
		rest = spent{b.err}
	}
	given.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(b.kept), rest), b.under}
	return given
}

type peeking struct{ of *peekedBody }

// Read implements [io.Reader].
func (p peeking) Read(into []byte) (int, error) {
	n, err := p.of.under.Read(into)
	p.of.kept = append(p.of.kept, into[:n]...)
	p.of.err = err
	return n, err
}

// Close implements [io.Closer]. The body is still to be read by the handler.
func (p peeking) Close() error { return nil }

// spent is a reader at the end of what can be read.
type spent struct{ err error }

// Read implements [io.Reader].
func (s spent) Read([]byte) (int, error) { return 0, s.err }
