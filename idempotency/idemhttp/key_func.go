package idemhttp

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/reprise-go/reprise/internal/keysyntax"
)

// KeyFunc sets a function that finds a request's key, in place of a header
// field: an event's id in a webhook's body, a part of the path. The key must
// have 1 to 255 characters of 0x20 to 0x7E and follow the policy's KeyFormat. An
// empty key means that there is none. An error is answered with 400
// idempotency_key_invalid; its text goes to the trace hooks through errors.Is
// and errors.As, and never to the client.
//
// The function is called for requests that may be protected, on their own
// goroutine, and at once for different requests. It may read the body or the
// form, which it gets on a copy of its own; the request must not be kept. Then
// [idempotency.Policy].MaxRequestBody also bounds the requests without a key.
//
// Not together with [KeyHeader] or [QuotedKeysOnly], which are about the header.
func KeyFunc(key func(*http.Request) (string, error)) Option {
	return func(o *options) error {
		if key == nil {
			return errors.New("KeyFunc: the function is nil")
		}
		if o.keyFunc != nil {
			return errors.New("KeyFunc is given twice")
		}
		o.keyFunc = key
		return o.checkKeySource()
	}
}

// checkKeySource is called by all options that say where keys come from, so
// that their order does not matter.
func (o *options) checkKeySource() error {
	switch {
	case o.keyFunc != nil && o.namedHeaders:
		return errors.New("KeyFunc and KeyHeader exclude each other: a key comes from one place")
	case o.keyFunc != nil && o.strictKeys:
		return errors.New("KeyFunc and QuotedKeysOnly exclude each other: QuotedKeysOnly is about the header's syntax")
	}
	return nil
}

// resolvedKey returns what a key function found, checked.
func resolvedKey(r *http.Request, resolve func(*http.Request) (string, error)) (string, error) {
	key, err := resolve(r)
	switch {
	case err != nil:
		return "", keyFuncError{err}
	case key == "":
		return "", keysyntax.ErrNone
	}
	return keysyntax.Check(key)
}

// keyFuncError keeps the text of a key function's error, which may hold
// anything, from the answer.
type keyFuncError struct{ cause error }

func (e keyFuncError) Error() string {
	return keysyntax.ErrInvalid.Error() + ": the request carries none that is acceptable"
}
func (e keyFuncError) Unwrap() []error { return []error{keysyntax.ErrInvalid, e.cause} }

// requestBody is the body of a request, which is read at most once, when
// somebody asks for it.
type requestBody struct {
	w     http.ResponseWriter
	r     *http.Request
	limit int64

	read  bool
	bytes []byte
	err   error
}

func (b *requestBody) load() ([]byte, error) {
	if !b.read {
		b.read = true
		b.bytes, b.err = readBody(b.w, b.r, b.limit)
	}
	return b.bytes, b.err
}

// lend returns a copy of the request, from which the body may be read or not.
func (b *requestBody) lend() *http.Request {
	lent := b.r.WithContext(b.r.Context())
	if b.r.Body != nil && b.r.Body != http.NoBody {
		lent.Body = &lentBody{of: b}
	}
	return lent
}

// request returns the request with its whole body.
func (b *requestBody) request() *http.Request {
	if !b.read {
		return b.r
	}
	return withBody(b.r.WithContext(b.r.Context()), b.bytes)
}

// lentBody reads the body into memory when it is read from.
type lentBody struct {
	of   *requestBody
	rest *bytes.Reader
}

// Read implements [io.Reader].
func (l *lentBody) Read(p []byte) (int, error) {
	if l.rest == nil {
		whole, err := l.of.load()
		if err != nil {
			return 0, err
		}
		l.rest = bytes.NewReader(whole)
	}
	return l.rest.Read(p)
}

// Close implements [io.Closer]. The body is still to be read by others.
func (l *lentBody) Close() error { return nil }

var _ io.ReadCloser = (*lentBody)(nil)
