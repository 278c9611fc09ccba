package conformance_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// The documented order: http.TimeoutHandler outside. Its 503 is nobody's
// answer; what the handler says in the end is.
func TestF57_TimeoutOutsideAndTheAnswerIsRecordedInTheBackground(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			handler, started, goOn := blocking(t)
			l := newService(t, setup{
				handler: handler,
				wrap: func(next http.Handler) http.Handler {
					return http.TimeoutHandler(next, 300*time.Millisecond, "timeout")
				},
			}).over(t, version)
			c := call{key: newKey(), body: "B"}
			first := l.ask(t, c)
			assert.Equal(t, 503, first.Status)
			assert.Equal(t, "timeout", first.Body)
			assert.Empty(t, first.Header.Get("Idempotency-Status"), "the answer is the timeout's own")
			<-(<-started).Done() // the deadline is the handler's, too
			requireProblem(t, l.ask(t, c), 409, "in_progress")
			close(goOn)
			eventually(t, "the answer is recorded", func() bool {
				return l.ask(t, c).Header.Get("Idempotency-Status") == "replayed"
			})
			second := l.ask(t, c)
			assert.Equal(t, 201, second.Status)
			assert.Equal(t, "done", second.Body)
			assert.Equal(t, 1, l.Runs())
		})
	}
}

// A handler that gives up at the deadline of a TimeoutHandler outside cannot be
// known to have done nothing, unless it says so.
func TestF57_HandlerThatGivesUpAtTheDeadlineOutside(t *testing.T) {
	t.Parallel()
	for _, releases := range []bool{false, true} {
		t.Run(fmt.Sprintf("releases %v", releases), func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{}, 2)
			s := newService(t, setup{
				wrap: func(next http.Handler) http.Handler {
					timed := http.TimeoutHandler(next, 50*time.Millisecond, "timeout")
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.Header.Get("X-Patient") != "" {
							next.ServeHTTP(w, r)
							return
						}
						timed.ServeHTTP(w, r)
					})
				},
				handler: func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Patient") != "" {
						w.WriteHeader(http.StatusCreated)
						return
					}
					<-r.Context().Done()
					if releases {
						idempotency.Release(r.Context())
					}
					w.WriteHeader(http.StatusServiceUnavailable)
					ended <- struct{}{}
				},
			})
			c := call{key: newKey()}
			assert.Equal(t, 503, send(t, s.URL, c).Status)
			<-ended
			patient := call{key: c.key, header: http.Header{"X-Patient": {"1"}}}
			var second response
			eventually(t, "the attempt has ended", func() bool {
				second = send(t, s.URL, patient)
				return second.Header.Get("Idempotency-Status") != "conflict"
			})
			if releases {
				requireExecuted(t, second)
				assert.Equal(t, 2, s.Runs())
				return
			}
			requireProblem(t, second, 409, "outcome_unknown")
			assert.Equal(t, 1, s.Runs())
		})
	}
}

// forwards are the ways in which a handler calls a route of its own process
// with the key that it was given.
func forwards(s *service, path, body string) map[string]func(*http.Request) response {
	build := func(r *http.Request, url string) *http.Request {
		inner, err := http.NewRequestWithContext(r.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		inner.Header.Set("Idempotency-Key", r.Header.Get("Idempotency-Key"))
		return inner
	}
	return map[string]func(*http.Request) response{
		"by ServeHTTP": func(r *http.Request) response {
			w := httptest.NewRecorder()
			s.Mux.ServeHTTP(w, build(r, path))
			return response{Status: w.Code, Header: w.Header(), Body: w.Body.String()}
		},
		"over a socket": func(r *http.Request) response {
			inner := build(r, s.Server.URL+path)
			inner.Close = true
			resp, err := s.Server.Client().Do(inner)
			if err != nil {
				panic(err)
			}
			defer func() { _ = resp.Body.Close() }()
			text, _ := io.ReadAll(resp.Body)
			return response{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}
		},
	}
}

func TestP5_HandlerMayCallAnotherProtectedRouteWithTheSameKey(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"by ServeHTTP", "over a socket"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{})
			var outer atomic.Int64
			require.NoError(t, s.MW.Handle(s.Mux, "POST /outer", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				outer.Add(1)
				inner := forwards(s, "/orders", "inner")[way](r)
				_, _ = fmt.Fprintf(w, "inner %d %s %s", inner.Status, inner.Header.Get("Idempotency-Status"), inner.Body)
			})))
			c := call{key: newKey(), body: "outer"}
			first := send(t, s.Server.URL+"/outer", c)
			requireExecuted(t, first)
			assert.Equal(t, "inner 201 executed {\"run\": 1}\n", first.Body)
			requireReplay(t, first, send(t, s.Server.URL+"/outer", c))

			direct := send(t, s.URL, call{key: c.key, body: "inner"})
			assert.Equal(t, "replayed", direct.Header.Get("Idempotency-Status"), "a record of its own")
			assert.Equal(t, "{\"run\": 1}\n", direct.Body)
			requireProblem(t, send(t, s.URL, c), 422, "idempotency_key_reused")
			assert.Equal(t, 1, s.Runs())
			assert.EqualValues(t, 1, outer.Load())
		})
	}
}

// A handler that calls its own route with its own key would wait for itself: it
// is told at once.
func TestP5_HandlerThatCallsItsOwnRouteIsTold(t *testing.T) {
	t.Parallel()
	for way, want := range map[string]string{
		"by ServeHTTP":  "500 rejected idempotency: middleware mounted twice around operation POST /recursive",
		"over a socket": "409 conflict",
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{})
			var runs atomic.Int64
			require.NoError(t, s.MW.Handle(s.Mux, "POST /recursive", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				runs.Add(1)
				inner := forwards(s, "/recursive", "B")[way](r)
				_, _ = fmt.Fprintf(w, "%d %s %s", inner.Status, inner.Header.Get("Idempotency-Status"), inner.Body)
			}), idempotency.Policy{Wait: 200 * time.Millisecond}))
			first := send(t, s.Server.URL+"/recursive", call{key: newKey(), body: "B"})
			requireExecuted(t, first) // the handler's own answer is what counts
			assert.Contains(t, first.Body, want)
			assert.EqualValues(t, 1, runs.Load())
		})
	}
}

func TestP5_HandlerMayCallItsOwnRouteWithAnotherKey(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	require.NoError(t, s.MW.Handle(s.Mux, "POST /tree/{depth}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("depth") == "0" {
			_, _ = io.WriteString(w, "leaf")
			return
		}
		r.Header.Set("Idempotency-Key", r.Header.Get("Idempotency-Key")+"-child")
		inner := forwards(s, "/tree/0", "B")["by ServeHTTP"](r)
		_, _ = io.WriteString(w, "node of "+inner.Body)
	})))
	c := call{key: newKey(), body: "B"}
	first := send(t, s.Server.URL+"/tree/1", c)
	assert.Equal(t, "node of leaf", first.Body)
	requireReplay(t, first, send(t, s.Server.URL+"/tree/1", c))
}
