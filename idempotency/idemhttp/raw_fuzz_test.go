package idemhttp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

// rawAnswer is what a request that net/http has understood was answered.
type rawAnswer struct {
	status int
	mark   string // Idempotency-Status
	body   string
}

// rawBench is a protected service behind a socket that takes any bytes. Use by
// one goroutine.
type rawBench struct {
	address string
	said    *syncedLog // the server's complaints

	mu      sync.Mutex
	root    http.Handler
	answers []rawAnswer
	runs    map[string]int // by operation
}

// syncedLog is a log that is read while a server writes.
type syncedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *syncedLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *syncedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newRawBench serves on a socket of the file system, which needs no ports.
func newRawBench(f *testing.F) *rawBench {
	f.Helper()
	b := &rawBench{said: &syncedLog{}, address: filepath.Join(f.TempDir(), "s")}
	listener, err := (&net.ListenConfig{}).Listen(f.Context(), "unix", b.address)
	if err != nil {
		f.Skipf("no sockets in the file system: %v", err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(b.serve))
	require.NoError(f, server.Listener.Close())
	server.Listener = listener
	server.Config.ErrorLog = log.New(b.said, "", 0)
	server.Start()
	f.Cleanup(server.Close)
	return b
}

func (b *rawBench) serve(w http.ResponseWriter, r *http.Request) {
	tap := &rawTap{ResponseWriter: w}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.answers = append(b.answers, rawAnswer{tap.status, w.Header().Get("Idempotency-Status"), tap.body.String()})
	}()
	b.root.ServeHTTP(tap, r)
}

// rawTap keeps what goes through it.
type rawTap struct {
	http.ResponseWriter

	status int
	body   bytes.Buffer
}

func (t *rawTap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *rawTap) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *rawTap) Write(p []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	t.body.Write(p)
	return t.ResponseWriter.Write(p)
}

// pay counts its runs and answers each with a body of its own.
func (b *rawBench) pay(w http.ResponseWriter, r *http.Request) {
	info, _ := idempotency.FromContext(r.Context())
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	b.runs[info.OperationID]++
	run := len(b.runs)
	b.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, "run %d of %d bytes", run, len(body))
}

// renew gives the server an empty store and a guard of its own.
func (b *rawBench) renew(t *testing.T) {
	t.Helper()
	st, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(st)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, guard.Shutdown(ctx))
	})
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	mux := http.NewServeMux()
	require.NoError(t, mw.Handle(mux, "POST /p/{id}", http.HandlerFunc(b.pay), idempotency.Policy{MaxRequestBody: 64}))
	require.NoError(t, mw.Handle(mux, "PUT /p/{id}", http.HandlerFunc(b.pay), idempotency.Policy{Key: idempotency.KeyOptional}))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.root, b.runs = mux, make(map[string]int)
}

// send sends bytes on a connection of their own and returns what the requests in
// them were answered, and all that came back.
func (b *rawBench) send(t *testing.T, request []byte) (answers []rawAnswer, wire string) {
	t.Helper()
	b.mu.Lock()
	b.answers = nil
	b.mu.Unlock()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", b.address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, _ = conn.Write(request) // the server may have heard enough before
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	back, _ := io.ReadAll(conn) // to the end, or to the reset of one who had heard enough
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.answers, string(back)
}

// F48, F49, F63, F64, F66, F85: whatever bytes come, nothing panics, no answer is a
// server's error but by our own word, no operation runs twice; and when the same
// bytes come again, every request that was executed is replayed.
func FuzzRawRequest(f *testing.F) {
	for _, seed := range rawRequests() {
		f.Add([]byte(seed))
	}
	b := newRawBench(f)
	f.Fuzz(func(t *testing.T, request []byte) {
		b.renew(t)
		first, _ := b.send(t, request)
		again, _ := b.send(t, request)
		require.NotContains(t, b.said.String(), "panic")
		b.requireSaneAnswers(t, first)
		b.requireSaneAnswers(t, again)
		b.mu.Lock()
		defer b.mu.Unlock()
		for operation, runs := range b.runs {
			require.True(t, runs == 1 || operation == "", "%d runs", runs)
		}
		require.Len(t, again, len(first))
		for i, answer := range again {
			requireSameOrReplay(t, first[i], answer)
		}
	})
}

func (b *rawBench) requireSaneAnswers(t *testing.T, answers []rawAnswer) {
	t.Helper()
	for _, a := range answers {
		require.NotZero(t, a.status)
		require.True(t, a.status < 500 || a.mark == "rejected", "%d %q %q", a.status, a.mark, a.body)
		if a.mark == "executed" || a.mark == "replayed" {
			require.Equal(t, http.StatusCreated, a.status)
		}
	}
}

func requireSameOrReplay(t *testing.T, first, again rawAnswer) {
	t.Helper()
	if first.mark == "ignored" { // it had no key, and ran
		first.body = again.body
	}
	if first.mark == "executed" {
		first.mark = "replayed"
	}
	require.Equal(t, first, again)
}

// rawRequests are requests of every kind that the tests of the wire have by hand.
func rawRequests() []string {
	const post = "POST /p/1 HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n"
	return []string{
		post + "Content-Length: 4\r\n\r\nbody",
		post + "Content-Length: 4\r\n\r\nbody" + post + "Content-Length: 4\r\n\r\nbody",
		post + "Content-Length: 4\r\n\r\nbody" + post + "Content-Length: 5\r\n\r\nother",
		post + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n1\r\nB\r\n0\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\n\r\n1\r\nBB\r\n0\r\n\r\n",
		post + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
		post + "Content-Length: 9\r\n\r\nshort",
		post + "Content-Length: 100\r\n\r\n" + strings.Repeat("long ", 20),
		post + "Idempotency-Key: l\r\nContent-Length: 0\r\n\r\n",
		post + "Connection: close\r\n\r\n",
		"POST /p/1?a=1;b=2&c HTTP/1.1\r\nHost: x\r\nIdempotency-Key: \"a\\\"b\";p=1\r\n\r\n",
		"POST /p/%2e%2e HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k,l\r\n\r\n",
		"POST http://x/p/1 HTTP/1.0\r\nIdempotency-Key: k\r\nContent-Length: 1\r\n\r\nB",
		"PUT /p/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nB",
		"PUT /p/1 HTTP/1.1\r\nHost: x\r\nIdempotency-Key: \x00\r\n\r\n",
		"POST /p/1 HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a\r\n b\r\n\r\n",
		"GET /p/1 HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n\r\n",
		"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\r\n\r\n",
	}
}
