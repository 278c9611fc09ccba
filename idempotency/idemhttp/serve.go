package idemhttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/keysyntax"
)

// route is a protected handler.
type route struct {
	m             *Middleware
	live          *idempotency.Operation // follows overrides
	op            *idempotency.Operation // does not, nor does policy
	policy        idempotency.Policy
	recorded      []string // response fields that are recorded
	fingerprinter fingerprinter
	part          partFunc
	next          http.Handler
	// typed is next, and plan its plan, if it says how its requests are read.
	typed typedHandler
	plan  *requestPlan
}

// ServeHTTP answers from the record, or runs the handler, or refuses.
func (rt *route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rt = rt.now()
	if err := rt.plan.checkPath(r, rt.m.opts.pathValue); err != nil {
		rt.misplaced(w, r, "operation "+rt.op.Name()+": "+err.Error())
		return
	}
	switch {
	case !protectable(r) || rt.policy.Key == idempotency.KeyOff:
		rt.ignore(w, r)
		return
	case rt.policy.Key == idempotency.KeyShadow:
		rt.shadow(w, r)
		return
	}
	x := rt.exchange(w, r, r)
	var ok bool
	if x.request, ok = rt.decode(w, r, &x.body); !ok {
		return
	}
	var err error
	x.key, err = rt.keyOf(x.request, &x.body)
	if errors.Is(err, keysyntax.ErrNone) && rt.policy.Key == idempotency.KeyOptional {
		rt.unkeyed(w, &x.body)
		return
	}
	if err != nil {
		rt.refuse(w, r, rt.op.Reject(r.Context(), keyCode(err), err))
		return
	}
	if x.mountedTwice() {
		rt.misplaced(w, r, "middleware mounted twice around operation "+rt.op.Name())
		return
	}
	x.protect()
}

// now returns the route under the policy that is in force: all that is decided
// about one request follows the same one.
func (rt *route) now() *route {
	op := rt.live.Current()
	if op == rt.op {
		return rt
	}
	current := *rt
	current.op, current.policy = op, op.Policy()
	return &current
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
	if rt.mayDecode() {
		r = r.WithContext(rt.allowing(r.Context()))
	}
	rt.next.ServeHTTP(w, r)
}

// unkeyed lets a request without a key through.
func (rt *route) unkeyed(w http.ResponseWriter, body *requestBody) {
	w.Header().Set(headerStatus, markIgnored)
	given := body.request()
	if rt.mayDecode() {
		given = given.WithContext(rt.allowing(given.Context()))
	}
	defer discardForm(given, body.r)
	rt.next.ServeHTTP(w, given)
}

// keyBefore returns the key of a request whose body nobody has read yet: a key
// function may. If it did and that failed, then that is the error.
func (rt *route) keyBefore(body *requestBody) (string, error) {
	if rt.m.opts.keyFunc == nil {
		return rt.key(body.r)
	}
	lent := body.lend()
	defer discardForm(lent, body.r)
	key, err := rt.key(lent)
	if body.err != nil {
		return "", body.err
	}
	return key, err
}

// key returns the key of a request, in the form that counts.
func (rt *route) key(r *http.Request) (string, error) {
	resolve := rt.m.opts.keyFunc
	if resolve == nil {
		return rt.headerKey(r)
	}
	key, err := resolvedKey(r, resolve)
	if err != nil {
		return "", err
	}
	return keysyntax.Format(key, string(rt.policy.KeyFormat))
}

// headerKey reads the key from the header and its aliases, which must agree.
func (rt *route) headerKey(r *http.Request) (string, error) {
	found, from := "", ""
	for _, name := range rt.m.opts.keyHeaders {
		key, err := keysyntax.Parse(r.Header.Values(name), rt.m.opts.strictKeys)
		if err == nil {
			key, err = keysyntax.Format(key, string(rt.policy.KeyFormat))
		}
		switch {
		case errors.Is(err, keysyntax.ErrNone):
			continue
		case err != nil:
			return "", fmt.Errorf("%s: %w", name, err)
		case from != "" && key != found:
			return "", fmt.Errorf("%w: %s and %s differ", keysyntax.ErrInvalid, from, name)
		}
		found, from = key, name
	}
	if from == "" {
		return "", fmt.Errorf("%w in %s", keysyntax.ErrNone, strings.Join(rt.m.opts.keyHeaders, " or "))
	}
	return found, nil
}

func keyCode(err error) idempotency.Code {
	switch {
	case errors.Is(err, keysyntax.ErrNone):
		return idempotency.ErrKeyMissing
	case errors.Is(err, errBodyTooLarge), errors.Is(err, errBodyUnreadable):
		return bodyCode(err) // a key function looked for it there
	default:
		return idempotency.ErrKeyInvalid
	}
}

// load reads the body of a request, once. False if it cannot be had, and the
// request is answered.
func (rt *route) load(w http.ResponseWriter, r *http.Request, unread *requestBody) bool {
	body, err := unread.load()
	if err != nil {
		rt.refuse(w, r, rt.op.Reject(r.Context(), bodyCode(err), err))
		return false
	}
	if bodyWasRead(r, body) {
		rt.misplaced(w, r, "a middleware outside has read the request body of operation "+rt.op.Name()+
			", so that it cannot be compared with that of a duplicate")
		return false
	}
	return true
}

// bodyWasRead reports whether somebody else has read the body, or some of it,
// before. It is noticed by the announced length, or by a form that was parsed. A
// body of unknown length (chunked, or HTTP/2 without a Content-Length) leaves
// neither: it may have been empty, or as short as what is left.
func bodyWasRead(r *http.Request, body []byte) bool {
	announced := r.ContentLength > 0 && int64(len(body)) != r.ContentLength
	parsed := len(body) == 0 && (len(r.PostForm) > 0 || r.MultipartForm != nil)
	return announced || parsed
}

// discardForm removes the temporary files of a form that was parsed from a copy
// of a request: net/http removes those of its own request only. A copy may share
// the form that was parsed from the original outside; that one stays.
func discardForm(given, original *http.Request) {
	if form := given.MultipartForm; form != nil && form != original.MultipartForm {
		_ = form.RemoveAll() // what cannot be removed is the system's to clean up, as with net/http
	}
}

func bodyCode(err error) idempotency.Code {
	if errors.Is(err, errBodyTooLarge) {
		return idempotency.ErrBodyTooLarge
	}
	return idempotency.ErrBodyUnreadable
}

// answer says what the handler's response means for the record.
func (rt *route) answer(c *capture) idempotency.Answer {
	a, flags := c.finish(rt.recorded)
	mark, retryAfter := c.passedOn()
	class := classBehind(classify(a.status, rt.policy.Record), a.status, mark, retryAfter)
	if flags.broken || flags.hijacked || a.status == http.StatusSwitchingProtocols {
		class = idempotency.ClassUnknown
	}
	return idempotency.Answer{Class: class, Answer: a.encode()}
}
