package idemhttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// script is a server that does the next of its steps with each request, and the
// last one with all further ones.
type script struct {
	*httptest.Server

	mu   sync.Mutex
	seen []seenRequest
}

type seenRequest struct{ key, body, from string }

func newScript(t *testing.T, steps ...http.HandlerFunc) *script {
	t.Helper()
	s := &script{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		n := min(len(s.seen), len(steps)-1)
		s.seen = append(s.seen, seenRequest{
			key: strings.Join(r.Header.Values("Idempotency-Key"), "|"), body: string(body), from: r.RemoteAddr,
		})
		s.mu.Unlock()
		steps[n](w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *script) requests() []seenRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]seenRequest(nil), s.seen...)
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return string(body)
}

func TestTransportOverSocketsSendsTheSameRequestAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		steps []http.HandlerFunc
		tries int
		code  int
	}{
		{"cut connections", []http.HandlerFunc{hangUp, hangUp, status(201)}, 3, 201},
		{"503, then 201", []http.HandlerFunc{status(503), status(201)}, 2, 201},
		{"422", []http.HandlerFunc{status(422), status(201)}, 1, 422},
		{"an answer that stays away", []http.HandlerFunc{
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, status(201),
		}, 2, 201},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newScript(t, tt.steps...)
			base := &http.Transport{ResponseHeaderTimeout: time.Second}
			client := &http.Client{Transport: newTransport(t, base, quick())}
			defer client.CloseIdleConnections()
			resp, err := client.Post(server.URL, "text/plain", io.NopCloser(strings.NewReader("body")))
			require.NoError(t, err)
			assert.Empty(t, readAll(t, resp))
			assert.Equal(t, tt.code, resp.StatusCode)
			seen := server.requests()
			require.Len(t, seen, tt.tries)
			for _, request := range seen {
				assert.Regexp(t, uuid4, request.key)
				assert.Equal(t, seen[0].key, request.key)
				assert.Equal(t, "body", request.body)
			}
			assert.Equal(t, seen[0].key, resp.Request.Header.Get("Idempotency-Key"), "the answer tells the key it is for")
		})
	}
}

// net/http itself sends a request again if a kept connection dies, when it has
// an Idempotency-Key entry, and be it one without a value: without our
// transport, the second sending then goes without a key.
func TestTransportKeyGoesAlongWhenAKeptConnectionDies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		header http.Header
		key    string
	}{
		{"a drawn key", http.Header{}, uuid4},
		{"a key of the caller", http.Header{"Idempotency-Key": {"mine"}}, "^mine$"},
		{"an entry without values", http.Header{"Idempotency-Key": nil}, uuid4},
		{"another entry without values", http.Header{"X-Idempotency-Key": nil}, uuid4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newScript(t, status(201), hangUp, status(201))
			base := &http.Transport{}
			defer base.CloseIdleConnections()
			told := 0
			client := &http.Client{Transport: newTransport(t, base, quick(), idemhttp.MaxAttempts(2),
				idemhttp.OnRetry(func(context.Context, idemhttp.Retry) { told++ }))}
			for range 2 {
				req := clientRequest(t, "POST", server.URL, "body")
				req.Header = tt.header.Clone()
				resp, err := client.Do(req)
				require.NoError(t, err)
				assert.Equal(t, 201, resp.StatusCode)
				assert.Empty(t, readAll(t, resp))
			}
			seen := server.requests()
			require.Len(t, seen, 3, "the second request was sent twice")
			assert.Equal(t, 1, told)
			require.Equal(t, seen[0].from, seen[1].from, "on the kept connection, which then died")
			assert.Regexp(t, tt.key, seen[1].key)
			assert.Equal(t, seen[1].key, seen[2].key)
			assert.Equal(t, "body", seen[2].body)
		})
	}
}

// A connection is used again although the answer on it is thrown away.
func TestTransportKeepsTheConnectionOfAnAnswerThatItRetries(t *testing.T) {
	t.Parallel()
	server := newScript(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(503)
		_, _ = io.WriteString(w, strings.Repeat("x", 1000))
	}, status(201))
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	resp, err := newTransport(t, base, quick()).RoundTrip(clientRequest(t, "POST", server.URL, "body"))
	require.NoError(t, err)
	assert.Empty(t, readAll(t, resp))
	seen := server.requests()
	require.Len(t, seen, 2)
	assert.Equal(t, seen[0].from, seen[1].from)
}

func TestTransportTriesWithinTheClientsTimeout(t *testing.T) {
	t.Parallel()
	server := newScript(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(503)
		_, _ = io.WriteString(w, "later")
	})
	client := &http.Client{Transport: newTransport(t, server.Client().Transport), Timeout: 4 * time.Second}
	resp, err := client.Do(clientRequest(t, "POST", server.URL, "body"))
	require.NoError(t, err)
	assert.Equal(t, "later", readAll(t, resp), "an answer now is more than a timeout in 4 s")
	assert.Len(t, server.requests(), 1)
}

func TestTransportLoopsOfTheCallerKeepTheKey(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(*http.Request) *http.Request
		keys    int
	}{
		{"SetKey", func(req *http.Request) *http.Request { idemhttp.SetKey(req); return req }, 1},
		{"WithKey", func(req *http.Request) *http.Request {
			return req.WithContext(idemhttp.WithKey(req.Context(), ""))
		}, 1},
		{"neither: each pass is a request of its own", func(req *http.Request) *http.Request { return req }, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newScript(t, hangUp, hangUp, status(201))
			client := &http.Client{Transport: newTransport(t, server.Client().Transport, idemhttp.MaxAttempts(1))}
			req := tt.prepare(clientRequest(t, "POST", server.URL, "body"))
			for range 3 {
				var err error
				req.Body, err = req.GetBody()
				require.NoError(t, err)
				resp, err := client.Do(req)
				if err == nil {
					_ = resp.Body.Close()
				}
			}
			keys := make(map[string]bool)
			for _, request := range server.requests() {
				keys[request.key] = true
			}
			assert.Len(t, keys, tt.keys)
		})
	}
}

// A hung server holds a request up to the context's end and no longer.
func TestTransportEndsWithTheContextDuringATry(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	server := newScript(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	req := clientRequest(t, "POST", server.URL, "body").WithContext(ctx)
	_, err := newTransport(t, server.Client().Transport, quick()).RoundTrip(req)
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, server.requests(), 1)
}

func TestTransportOverHTTP2(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var keys []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		first := len(keys) == 1
		mu.Unlock()
		if first {
			panic(http.ErrAbortHandler) // resets the stream
		}
		_, _ = io.WriteString(w, strconv.Itoa(r.ProtoMajor))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	resp, err := newTransport(t, server.Client().Transport, quick()).RoundTrip(clientRequest(t, "POST", server.URL, "body"))
	require.NoError(t, err)
	assert.Equal(t, "2", readAll(t, resp))
	require.Len(t, keys, 2)
	assert.Equal(t, keys[0], keys[1])
}
