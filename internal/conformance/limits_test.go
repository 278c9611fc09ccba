package conformance_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// What passes the limit, in every shape in which handlers write.
func TestF46_F47_BodiesOverTheLimit(t *testing.T) {
	t.Parallel()
	const limit, size = 1000, 100_000
	content := strings.Repeat("0123456789", size/10)
	file := filepath.Join(t.TempDir(), "report")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	declared := func(n int, write func(http.ResponseWriter)) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", fmt.Sprint(n))
			write(w)
		}
	}
	whole := func(w http.ResponseWriter) { _, _ = io.WriteString(w, content) }
	small := func(w http.ResponseWriter) {
		for at := 0; at < size; at += 100 {
			_, _ = io.WriteString(w, content[at:at+100])
		}
	}
	copied := func(w http.ResponseWriter) {
		f, err := os.Open(file)
		if assert.NoError(t, err) {
			n, err := io.Copy(w, f)
			assert.NoError(t, err)
			assert.EqualValues(t, size, n)
			_ = f.Close()
		}
	}
	shapes := map[string]func(http.ResponseWriter){
		"one write":              whole,
		"many small writes":      small,
		"io.Copy of a file":      copied,
		"one write, declared":    declared(size, whole),
		"small writes, declared": declared(size, small),
		"io.Copy, declared":      declared(size, copied),
		"more than declared": declared(size, func(w http.ResponseWriter) {
			whole(w)
			_, err := w.Write([]byte("x"))
			assert.ErrorIs(t, err, http.ErrContentLength)
		}),
		"flushed below the limit": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, content[:9])
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, content[9:])
		},
	}
	for _, version := range versions() {
		for name, write := range shapes {
			t.Run(version+" "+name, func(t *testing.T) {
				t.Parallel()
				l := newService(t, setup{
					policy: idempotency.Policy{MaxResponseBody: limit},
					handler: func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Location", "/reports/1")
						write(w)
					},
				}).over(t, version)
				c := call{key: newKey()}
				first := l.ask(t, c)
				assert.Equal(t, 200, first.Status)
				assert.Equal(t, content, first.Body, "the first caller gets all of it")
				assert.Equal(t, "unrecorded", first.Header.Get("Idempotency-Status"))
				second := l.ask(t, c)
				requireProblem(t, second, 409, "result_unavailable")
				assert.Equal(t, "/reports/1", second.Header.Get("Location"))
				assert.Equal(t, 1, l.Runs())
			})
		}
	}
}

func TestF46_BodyOverTheLimitThatIsNoResult(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{
				policy: idempotency.Policy{MaxResponseBody: 10},
				handler: func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Do") == "cut" {
						w.Header().Set("Content-Length", "100")
					} else {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
					_, _ = io.WriteString(w, strings.Repeat("x", 50))
				},
			})
			l := s.over(t, version)
			failing := call{key: newKey()}
			for run := range 2 {
				first := l.ask(t, failing)
				assert.Equal(t, 503, first.Status)
				assert.Len(t, first.Body, 50)
				assert.Equal(t, run+1, l.Runs(), "a failure is released, however long it is")
			}
			cut := call{key: newKey(), header: http.Header{"X-Do": {"cut"}}}
			resp, err := l.Client.Do(newRequest(t, l.URL, cut))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			require.Error(t, err, "shorter than declared: the client sees it")
			requireProblem(t, l.ask(t, cut), 409, "outcome_unknown")
			assert.Equal(t, 3, l.Runs())
		})
	}
}

func TestZ1_F45_LimitsBelongToTheRoute(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{policy: idempotency.Policy{MaxRequestBody: 10, MaxResponseBody: 1000}, handler: echo})
	wide := idempotency.Policy{MaxRequestBody: 1000, MaxResponseBody: 10}
	require.NoError(t, s.MW.Handle(s.Mux, "POST /wide", http.HandlerFunc(echo), wide))
	long := strings.Repeat("x", 100)

	requireProblem(t, send(t, s.URL, call{key: "k", body: long}), 413, "request_body_too_large")
	first := send(t, s.URL, call{key: "k", body: "short"})
	requireExecuted(t, first)
	requireReplay(t, first, send(t, s.URL, call{key: "k", body: "short"}))

	c := call{key: "k", body: long}
	assert.Equal(t, long+long, send(t, s.Server.URL+"/wide", c).Body)
	requireProblem(t, send(t, s.Server.URL+"/wide", c), 409, "result_unavailable")
}

// echo answers with the body, two times.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = w.Write(append(body, body...))
}

// untouched fails the test when somebody reads from it.
type untouched struct{ read atomic.Bool }

func (u *untouched) Read([]byte) (int, error) { u.read.Store(true); return 0, io.EOF }

func TestF48_BodyOverTheLimitIsNotAskedFor(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := newService(t, setup{policy: idempotency.Policy{MaxRequestBody: 100}}).over(t, version)
			for name, problem := range map[string]string{"k": "request_body_too_large", "": "idempotency_key_missing"} {
				body := new(untouched)
				req := newRequest(t, l.URL, call{key: name, header: http.Header{"Expect": {"100-continue"}}})
				req.Body, req.ContentLength = io.NopCloser(body), 1000
				resp := l.open(t, req)
				text, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Contains(t, string(text), problem)
				assert.False(t, body.read.Load(), "the client was not asked for it")
			}
			assert.Zero(t, l.Runs())
		})
	}
}

// A replay asks for the body, too: without it, nobody knows whether the request
// is the same.
func TestF48_BodyWithinTheLimitIsAskedForEachTime(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := newService(t, setup{}).over(t, version)
			c := call{key: newKey(), body: "B", header: http.Header{"Expect": {"100-continue"}}}
			var asked atomic.Int64
			for _, status := range []string{"executed", "replayed"} {
				req := newRequest(t, l.URL, c)
				req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
					Got100Continue: func() { asked.Add(1) },
				}))
				assert.Equal(t, status, l.open(t, req).Header.Get("Idempotency-Status"))
			}
			assert.EqualValues(t, 2, asked.Load())
			assert.Equal(t, 1, l.Runs())
		})
	}
}

func TestF48_RequestTrailersReachTheHandlerAndAreNoPartOfTheFingerprint(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := newService(t, setup{handler: func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.Trailer.Get("X-Sum"))
			}}).over(t, version)
			key := newKey()
			for _, sum := range []string{"1", "2"} {
				req := newRequest(t, l.URL, call{key: key, body: "B"})
				req.ContentLength = -1
				req.Trailer = http.Header{"X-Sum": {sum}}
				resp := l.open(t, req)
				text, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, "1", string(text))
			}
			assert.Equal(t, 1, l.Runs())
		})
	}
}

func TestF45_SmallerLimitOutsideCounts(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		for _, length := range []int64{50, -1} {
			t.Run(fmt.Sprintf("%s announced as %d", version, length), func(t *testing.T) {
				t.Parallel()
				ns := namespaceOf(t)
				l := newService(t, setup{
					namespace: ns,
					policy:    idempotency.Policy{MaxRequestBody: 1000},
					wrap:      func(next http.Handler) http.Handler { return http.MaxBytesHandler(next, 10) },
				}).over(t, version)
				key := newKey()
				req := newRequest(t, l.URL, call{key: key, body: strings.Repeat("x", 50)})
				req.ContentLength = length
				resp := l.open(t, req)
				text, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
				assert.Contains(t, string(text), "request_body_too_large")
				assert.Empty(t, shared.Server(t).Keys(ns+":*"), "nothing is claimed")
				requireExecuted(t, l.ask(t, call{key: key, body: "short"}))
			})
		}
	}
}

// A client that dribbles its body, or stops, meets the server's own limits.
func TestF49_BodyThatDoesNotComeInTimeClaimsNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		configure func(*http.Server)
		status    string
	}{
		"ReadTimeout": {func(s *http.Server) { s.ReadTimeout = 100 * time.Millisecond }, "HTTP/1.1 400 "},
		"TimeoutHandler outside": {func(s *http.Server) {
			s.Handler = http.TimeoutHandler(s.Handler, 50*time.Millisecond, "timeout")
			s.ReadTimeout = 300 * time.Millisecond
		}, "HTTP/1.1 503 "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespaceOf(t)
			s := newService(t, setup{namespace: ns})
			slow := httptest.NewUnstartedServer(s.Server.Config.Handler)
			test.configure(slow.Config)
			slow.Start()
			t.Cleanup(slow.Close)
			conn, err := net.Dial("tcp", slow.Listener.Addr().String())
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			_, err = io.WriteString(conn, "POST /orders HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\nContent-Length: 10\r\n\r\nhalf")
			require.NoError(t, err)
			got, err := io.ReadAll(conn) // until the server hangs up
			require.True(t, err == nil || errors.Is(err, net.ErrClosed), err)
			assert.True(t, strings.HasPrefix(string(got), test.status), string(got))
			assert.Empty(t, shared.Server(t).Keys(ns+":*"), "nothing is claimed")
			assert.Zero(t, s.Runs())
			requireExecuted(t, send(t, s.URL, call{key: "k", body: "half and"}))
		})
	}
}
