package idemhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/reprise-go/reprise/internal/keysyntax"
)

// Transport sends every request that may change something under one idempotency
// key, and tries again where that is of use: see [NewTransport]. Safe for
// concurrent use.
type Transport struct {
	base http.RoundTripper
	opts transportOptions
}

// NewTransport returns a transport for clients of services that honour
// idempotency keys, around base; nil is [http.DefaultTransport].
//
// Every POST, PATCH, PUT, DELETE, or other request that may change something,
// goes out under a key: the one in its header, else that of its context
// ([WithKey]), else [SendKeyFrom]'s, else a fresh UUID. All tries of one RoundTrip
// carry that key and the same body. A new RoundTrip is a new operation: whoever
// sends a request again must give it its key first, with [SetKey] or [WithKey].
// A redirect that repeats the request (307, 308) goes on under its key. GET,
// HEAD, OPTIONS, TRACE and CONNECT are handed to base as they are.
//
// A key in the header must be one value of 1 to 255 characters of 0x20 to 0x7E,
// or an RFC 9651 String of as many. Blank lines beside it are left out; several
// different values, or one that breaks the rule, fail the RoundTrip before
// anything is sent. With [SendKeyIn], a key in Idempotency-Key is taken over into
// the field named there if that is missing, and is sent in both.
//
// It tries again on an error of base (but not when a certificate is refused), on
// 502, 503 and 504, on 429 with Retry-After, and on a running duplicate
// (Idempotency-Status: conflict). It waits as Retry-After says or, without
// that, between half and all of a [Backoff] that doubles. Anything else is an
// answer and is returned at once: a recorded answer whatever its status, an
// unknown outcome, a reused key, a 500, a 2xx that is marked unrecorded, and
// what a server marks as sent without protection (ignored, unprotected).
//
// The number of tries is bounded by [MaxAttempts], their time by the request's
// context; a wait that would outlast the context's deadline or [MaxRetryAfter]
// is not begun. In the end the last answer is returned, or the last error. A
// server that does not answer at all is base's to give up on: set
// [http.Transport.ResponseHeaderTimeout].
//
// All sending is done by these tries. By itself net/http sends a request with an
// Idempotency-Key again, on each kept connection that dies. Base is therefore
// given requests that net/http does not take for repeatable: without GetBody,
// and those without a body with the key under a header map entry in lower case,
// which every server reads alike. [http.Response.Request] has both as usual.
//
// A body without GetBody is read into memory up to [MaxResendBody]; a longer one
// is sent once. If the context ends meanwhile, RoundTrip returns its error and
// closes the body, in a goroutine of its own; the one that reads ends when Close
// unblocks Read, as [http.Request] demands.
//
// The body of an answer is the caller's to read. If that breaks off, send the
// request again under its key. The retries are safe only with a service that
// honours the key: towards others use MaxAttempts(1).
//
// Errors name the option that is wrong.
func NewTransport(base http.RoundTripper, opts ...TransportOption) (*Transport, error) {
	if base == nil {
		base = http.DefaultTransport
	}
	if _, nested := base.(*Transport); nested {
		return nil, errors.New("idemhttp: a Transport around a Transport would multiply the tries")
	}
	o := defaultTransportOptions()
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("idemhttp: a nil option")
		}
		if err := opt(&o); err != nil {
			return nil, fmt.Errorf("idemhttp: %w", err)
		}
	}
	return &Transport{base: base, opts: o}, nil
}

// RoundTrip sends a request, once or more often. It does not change the request.
// An error of base is returned as it is after one try, and wrapped after several.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == "" || isSafe(req.Method) { // "" is GET
		return t.base.RoundTrip(req)
	}
	keyed, err := t.keyed(req)
	if err != nil {
		closeBody(req)
		return nil, fmt.Errorf("idemhttp: %w", err)
	}
	keyed, resendable, err := t.resendable(keyed)
	if err != nil {
		return nil, err
	}
	if !resendable {
		return t.send(keyed)
	}
	return t.tries(keyed)
}

// CloseIdleConnections closes those of base, for [http.Client].
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// keyed returns a copy of the request that carries a key, in one field line.
func (t *Transport) keyed(req *http.Request) (*http.Request, error) {
	keyed := req.WithContext(req.Context()) // shallow: trailers are filled in while the body is read
	if keyed.Header = req.Header.Clone(); keyed.Header == nil {
		keyed.Header = make(http.Header)
	}
	value, err := t.keyFor(req)
	if err != nil {
		return nil, err
	}
	setKey(keyed.Header, t.opts.header, value)
	return keyed, nil
}

// keyFor returns the value of the key's field. Idempotency-Key counts whatever
// field is configured: it is where [SetKey] puts the key.
func (t *Transport) keyFor(req *http.Request) (string, error) {
	for _, name := range []string{t.opts.header, headerKey} {
		if value, err := ownKey(req.Header, name); err != nil || value != "" {
			return value, err
		}
	}
	if key, ok := KeyFromContext(req.Context()); ok {
		return keysyntax.Field(key, t.opts.quoted)
	}
	if value := keyBefore(req, t.opts.header); value != "" {
		return value, nil
	}
	key, err := t.opts.draw(req)
	if err != nil {
		return "", fmt.Errorf("SendKeyFrom: %w", err)
	}
	return keysyntax.Field(key, t.opts.quoted)
}

// keyBefore returns the key under which a request was sent before it was
// redirected here with its method.
func keyBefore(req *http.Request, header string) string {
	if req.Response == nil || req.Response.Request == nil || req.Response.Request.Method != req.Method {
		return ""
	}
	key, _ := ownKey(req.Response.Request.Header, header) // was sent: it is in order
	return key
}

// tries sends the request until it has an answer, or no try is left.
func (t *Transport) tries(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	for n := 1; ; n++ {
		resp, err := t.send(req)
		wait, again := t.again(ctx, n, resp, err)
		if !again {
			return resp, afterTries(n, err)
		}
		if t.opts.onRetry != nil {
			t.opts.onRetry(ctx, retryOf(req, n, resp, err, wait))
		}
		discard(resp)
		if ended := sleep(ctx, wait); ended != nil {
			return nil, afterTries(n, errors.Join(ended, err))
		}
		if req, err = rewound(req); err != nil {
			return nil, fmt.Errorf("idemhttp: the body cannot be sent again: %w", err)
		}
	}
}

// send is one try.
func (t *Transport) send(req *http.Request) (*http.Response, error) {
	sent := onceOnly(req)
	resp, err := t.base.RoundTrip(sent)
	if resp != nil && (resp.Request == nil || resp.Request == sent) {
		resp.Request = req // a redirect finds its key there
	}
	return resp, err
}

func afterTries(n int, err error) error {
	if err == nil || n == 1 {
		return err
	}
	return fmt.Errorf("idemhttp: after %d tries: %w", n, err)
}

// sleep waits, or returns the cause of the context's end.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

// contextError returns both the error and its cause: callers look for either.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
