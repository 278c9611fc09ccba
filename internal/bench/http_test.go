package bench_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store"
)

// requestBody is what every request sends, and what the fingerprint is made of.
const requestBody = `{"amount":1999,"currency":"EUR","merchant":"m-1","reference":"invoice 4711"}`

// slowest is what a call of the store may take: on a machine that is busy otherwise a
// round is slow, and nothing else.
const slowest = 10 * time.Second

// fresh numbers the keys of first executions.
var fresh atomic.Int64

func freshKey() string { return fmt.Sprintf("%036d", fresh.Add(1)) }

func ownKey(caller int) string { return fmt.Sprintf("own-%032d", caller) }

func oneKey() string { return strings.Repeat("1", 36) }

// service answers with a body of so many bytes, and is protected on the store.
func service(b *testing.B, st store.Store, size int, policy idempotency.Policy) http.Handler {
	b.Helper()
	guard, err := idempotency.New(st, idempotency.WithStoreTimeout(slowest))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(b, err)
	protect, err := mw.Protect("bench", policy)
	require.NoError(b, err)
	return protect(answering(size))
}

// answering is the handler of all HTTP benchmarks.
func answering(size int) http.HandlerFunc {
	body := bytes.Repeat([]byte("x"), size)
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/octet-stream")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(body)
	}
}

// passing is a middleware that does nothing.
func passing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
}

// poster calls a handler without a socket, again and again, and allocates nothing
// itself but what is reset for each call.
type poster struct {
	handler http.Handler
	request *http.Request
	body    *strings.Reader
	w       discard
}

func newPoster(handler http.Handler) *poster {
	body := strings.NewReader(requestBody)
	request, _ := http.NewRequest(http.MethodPost, "http://bench.test/v1/payments?a=1", nil)
	request.Header.Set("Content-Type", "application/json")
	request.Body, request.ContentLength = io.NopCloser(body), int64(len(requestBody))
	return &poster{handler: handler, request: request, body: body, w: discard{header: make(http.Header)}}
}

// post sends a request, and wants that Idempotency-Status of the answer.
func (p *poster) post(key, status string) error {
	p.body.Reset(requestBody)
	p.request.Header["Idempotency-Key"] = []string{key}
	clear(p.w.header)
	p.w.code = 0
	p.handler.ServeHTTP(&p.w, p.request)
	if p.w.code != http.StatusCreated || p.w.header.Get("Idempotency-Status") != status {
		return fmt.Errorf("answer is %d %v", p.w.code, p.w.header)
	}
	return nil
}

// discard is a ResponseWriter that keeps the header only.
type discard struct {
	header http.Header
	code   int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(code int)        { d.code = code }

const executed, replayed = "executed", "replayed"

// replaying is a way: callers replay under keys that have been executed.
func replaying(b *testing.B, name string, handler http.Handler, key func(caller int) string) way {
	b.Helper()
	return way{name, func(caller int) func() error {
		p, k := newPoster(handler), key(caller)
		if p.post(k, executed) != nil {
			require.NoError(b, p.post(k, replayed)) // an earlier round has executed it
		}
		return func() error { return p.post(k, replayed) }
	}}
}

// executing is a way: callers execute under keys that are new.
func executing(name string, handler http.Handler) way {
	return way{name, func(int) func() error {
		p := newPoster(handler)
		return func() error { return p.post(freshKey(), executed) }
	}}
}

// unprotected is a way: the handler behind a middleware that does nothing.
func unprotected(name string, size int) way {
	return way{name, func(int) func() error {
		p := newPoster(passing(answering(size)))
		return func() error { return p.post("k", "") }
	}}
}

// served is a protected service under a name.
type served struct {
	name    string
	handler http.Handler
}

func (s *served) named(name string) *served { return &served{name, s.handler} }

func (s *served) replaying(b *testing.B, key func(caller int) string) way {
	b.Helper()
	return replaying(b, s.name, s.handler, key)
}

func (s *served) executing() way { return executing(s.name, s.handler) }
