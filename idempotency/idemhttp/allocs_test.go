//go:build !race

package idemhttp_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

// sink is a response writer that keeps its header's memory, and has what that of
// net/http has for HTTP/1.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

func (s *sink) Flush()                                       {}
func (s *sink) FlushError() error                            { return nil }
func (s *sink) WriteString(text string) (int, error)         { return len(text), nil }
func (s *sink) ReadFrom(src io.Reader) (int64, error)        { return io.Copy(io.Discard, src) }
func (s *sink) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrNotSupported }
func (s *sink) CloseNotify() <-chan bool                     { return nil }
func (s *sink) SetReadDeadline(time.Time) error              { return nil }
func (s *sink) SetWriteDeadline(time.Time) error             { return nil }
func (s *sink) EnableFullDuplex() error                      { return nil }

// fresh is a request body that can be used again.
type fresh struct{ *bytes.Reader }

func (fresh) Close() error { return nil }

// caller sends one request after the other without allocations of its own.
type caller struct {
	payload []byte
	body    fresh
	request *http.Request
	key     []string
	sink    *sink
	status  string // the latest Idempotency-Status
}

func newCaller(size int) *caller {
	c := &caller{payload: bytes.Repeat([]byte("x"), size), key: []string{""}, sink: &sink{http.Header{}}}
	c.body = fresh{bytes.NewReader(c.payload)}
	c.request = httptest.NewRequest(http.MethodPost, "/v1/pay", nil)
	c.request.ContentLength = int64(size)
	c.request.Header.Set("Content-Type", "application/json")
	c.request.Header["Idempotency-Key"] = c.key
	return c
}

func (c *caller) call(h http.Handler, key string) {
	c.body.Reset(c.payload)
	c.request.Body, c.key[0] = c.body, key
	clear(c.sink.header)
	h.ServeHTTP(c.sink, c.request)
	if status := c.sink.header["Idempotency-Status"]; status != nil {
		c.status = status[0]
	}
}

// protectedInMemory returns a handler, and the same under a policy.
func protectedInMemory(tb testing.TB, policy idempotency.Policy) (bare, protected http.Handler) {
	tb.Helper()
	memory, err := memstore.New()
	require.NoError(tb, err)
	guard, err := idempotency.New(memory)
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, guard.Shutdown(tb.Context())) })
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(tb, err)
	answer, contentType := bytes.Repeat([]byte("y"), 1024), []string{"application/json"}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = contentType
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(answer)
	})
	plain, mux := http.NewServeMux(), http.NewServeMux()
	plain.Handle("POST /v1/pay", handler)
	require.NoError(tb, mw.Handle(mux, "POST /v1/pay", handler, policy))
	return plain, mux
}

// The cost of the middleware itself, in memory, with a fingerprint over 1 KiB: what
// the bare handler allocates is taken off.
func TestAllocationsOfTheMiddleware(t *testing.T) {
	bare, protected := protectedInMemory(t, idempotency.Policy{})
	_, off := protectedInMemory(t, idempotency.Policy{Key: idempotency.KeyOff})
	c, n := newCaller(1024), 1_000_000
	fresh := func() string { n++; return strconv.Itoa(n) }
	base := testing.AllocsPerRun(500, func() { c.call(bare, fresh()) })
	first := testing.AllocsPerRun(500, func() { c.call(protected, fresh()) }) - base
	require.Equal(t, "executed", c.status)
	base = testing.AllocsPerRun(500, func() { c.call(bare, "same") })
	replay := testing.AllocsPerRun(500, func() { c.call(protected, "same") })
	require.Equal(t, "replayed", c.status)
	unprotected := testing.AllocsPerRun(500, func() { c.call(off, "same") }) - base
	assert.Equal(t, "ignored", c.status)
	c.request.Header.Del("Idempotency-Key")
	unkeyed := testing.AllocsPerRun(500, func() { c.call(off, "") }) - base
	t.Log("first execution:", first, "replay:", replay, "off:", unprotected, unkeyed)
	assert.LessOrEqual(t, replay, 8.0)
	assert.LessOrEqual(t, first, 40.0)
	assert.LessOrEqual(t, unprotected, 1.0, "the mark that says that the key was ignored")
	assert.Zero(t, unkeyed)
}

func BenchmarkMiddleware(b *testing.B) {
	bare, protected := protectedInMemory(b, idempotency.Policy{})
	_, off := protectedInMemory(b, idempotency.Policy{Key: idempotency.KeyOff})
	c, n := newCaller(1024), 0
	fresh := func() string { n++; return strconv.Itoa(n) }
	same := func() string { return "same" }
	for _, row := range []struct {
		name    string
		handler http.Handler
		key     func() string
	}{
		{"bare", bare, same}, {"off", off, same}, {"replay", protected, same}, {"first", protected, fresh},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.call(row.handler, row.key())
			}
		})
	}
}
