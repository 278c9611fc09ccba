package conformance_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// flushers are the ways in which handlers flush.
func flushers() map[string]func(http.ResponseWriter) {
	return map[string]func(http.ResponseWriter){
		"by assertion":        func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"by a controller":     func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		"behind a middleware": func(w http.ResponseWriter) { _ = http.NewResponseController(unwrapping{w}).Flush() },
	}
}

// unwrapping is the writer of a middleware that knows Unwrap and nothing else.
type unwrapping struct{ http.ResponseWriter }

func (w unwrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// watched is the writer of a middleware outside; it notes what comes through.
type watched struct {
	unwrapping

	touched *atomic.Bool
}

func (w watched) Write(p []byte) (int, error) {
	w.touched.Store(true)
	return w.ResponseWriter.Write(p)
}

func (w watched) WriteHeader(status int) {
	w.touched.Store(true)
	w.ResponseWriter.WriteHeader(status)
}

func (w watched) Flush() {
	w.touched.Store(true)
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// watching puts a watched writer outside. It is for one request at a time.
func watching(touched *atomic.Bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			touched.Store(false)
			next.ServeHTTP(watched{unwrapping{w}, touched}, r)
		})
	}
}

// event writes the n-th server-sent event.
func event(w io.Writer, n int) { _, _ = fmt.Fprintf(w, "data: %d\n\n", n) }

func TestZ5_BufferedStreamIsHeldBackAndRecordedWhole(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		for name, flush := range flushers() {
			t.Run(version+" "+name, func(t *testing.T) {
				t.Parallel()
				var touched atomic.Bool
				l := newService(t, setup{
					wrap: watching(&touched),
					handler: func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Content-Type", "text/event-stream")
						w.WriteHeader(http.StatusAccepted)
						for n := range 3 {
							event(w, n)
							flush(w)
						}
						w.WriteHeader(http.StatusTeapot) // too late
						assert.False(t, touched.Load(), "flushes are held back")
					},
				}).over(t, version)
				c := call{key: newKey()}
				first := l.ask(t, c)
				requireExecuted(t, first)
				assert.Equal(t, 202, first.Status)
				assert.Equal(t, "data: 0\n\ndata: 1\n\ndata: 2\n\n", first.Body)
				assert.Equal(t, "text/event-stream", first.Header.Get("Content-Type"))
				assert.Equal(t, "27", first.Header.Get("Content-Length"), "in one piece")
				requireReplay(t, first, l.ask(t, c))
				assert.Equal(t, 1, l.Runs())
			})
		}
	}
}

func TestZ5_PassedStreamReachesTheClientAtOnce(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		for name, flush := range flushers() {
			for _, outside := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s outer %v", version, name, outside), func(t *testing.T) {
					t.Parallel()
					with := setup{policy: idempotency.Policy{Stream: idempotency.StreamPass}}
					if outside {
						with.wrap = watching(new(atomic.Bool))
					}
					checkPassedStream(t, version, with, flush)
				})
			}
		}
	}
}

func checkPassedStream(t *testing.T, version string, with setup, flush func(http.ResponseWriter)) {
	t.Helper()
	goOn := make(chan struct{})
	with.handler = func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Location", "/streams/1")
		w.WriteHeader(http.StatusAccepted)
		for n := range 3 {
			event(w, n)
			flush(w)
			<-goOn
		}
	}
	l := newService(t, with).over(t, version)
	c := call{key: newKey(), body: "B"}
	resp := l.open(t, newRequest(t, l.URL, c))
	assert.Equal(t, http.StatusAccepted, resp.StatusCode)
	assert.Equal(t, "unrecorded", resp.Header.Get("Idempotency-Status"))
	for n := range 3 {
		got := make([]byte, len("data: 0\n\n"))
		_, err := io.ReadFull(resp.Body, got)
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("data: %d\n\n", n), string(got), "while the handler is blocked")
		if n == 0 {
			requireProblem(t, send(t, l.service.URL, c), 409, "in_progress")
		}
		goOn <- struct{}{}
	}
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Empty(t, rest)
	for range 2 {
		again := l.ask(t, c)
		requireProblem(t, again, 409, "result_unavailable")
		assert.Equal(t, "/streams/1", again.Header.Get("Location"))
		assert.Equal(t, "unavailable", again.Header.Get("Idempotency-Status"))
	}
	assert.Equal(t, 1, l.Runs())
}

func TestZ5_PassedAnswerWithoutABodyIsReplayed(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{
		policy:  idempotency.Policy{Stream: idempotency.StreamPass},
		handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/jobs/1") },
	})
	first, _ := twice(t, s, call{})
	assert.Equal(t, 200, first.Status)
	assert.Empty(t, first.Body)
}

func TestZ5_StreamThatDiesIsCutAndUnknown(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		for _, policy := range []idempotency.Policy{{Stream: idempotency.StreamPass}, {MaxResponseBody: 10}} {
			t.Run(fmt.Sprintf("%s stream=%s", version, policy.Stream), func(t *testing.T) {
				t.Parallel()
				l := newService(t, setup{
					policy: policy,
					handler: func(w http.ResponseWriter, _ *http.Request) {
						_, _ = io.WriteString(w, "much more than the ten bytes")
						w.(http.Flusher).Flush()
						panic(http.ErrAbortHandler)
					},
				}).over(t, version)
				c := call{key: newKey()}
				resp := l.open(t, newRequest(t, l.URL, c))
				_, err := io.ReadAll(resp.Body)
				require.Error(t, err, "the client cannot take it for whole")
				requireProblem(t, l.ask(t, c), 409, "outcome_unknown")
				assert.Equal(t, 1, l.Runs())
			})
		}
	}
}

func TestF47_EarlyHintsAndTrailersOverEveryVersion(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", "</style.css>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Set("Trailer", "X-Checksum")
				_, _ = io.WriteString(w, "body")
				w.Header().Set("X-Checksum", "abc")
				w.Header().Set(http.TrailerPrefix+"X-Late", "def")
			}}).over(t, version)
			c := call{key: newKey()}
			var hints atomic.Int64
			req := newRequest(t, l.URL, c)
			req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hints.Add(int64(code)); return nil },
			}))
			resp := l.open(t, req)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.EqualValues(t, 103, hints.Load(), "one hint, at once")
			first := response{Status: resp.StatusCode, Header: resp.Header, Trailer: resp.Trailer, Body: string(body)}
			second := l.ask(t, c)
			requireReplay(t, first, second)
			assert.Equal(t, http.Header{"X-Checksum": {"abc"}, "X-Late": {"def"}}, second.Trailer)
		})
	}
}

// leftover does what a goroutine that outlives its handler may do.
func leftover(w http.ResponseWriter, header http.Header) (panicked any) {
	defer func() { panicked = recover() }()
	header.Set("Location", "/changed")
	w.Header().Set("Etag", "changed")
	w.WriteHeader(http.StatusTeapot)
	_, err := io.WriteString(w, "after the end")
	if err == nil {
		err = errors.New("a write after the end went through")
	}
	_ = http.NewResponseController(w).Flush()
	panic(err)
}

func TestZ10_F55_GoroutineThatOutlivesTheHandlerChangesNothing(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		for _, stream := range []idempotency.StreamRule{idempotency.StreamBuffer, idempotency.StreamPass} {
			t.Run(version+" "+string(stream), func(t *testing.T) {
				t.Parallel()
				checkLeftover(t, version, stream)
			})
		}
	}
}

func checkLeftover(t *testing.T, version string, stream idempotency.StreamRule) {
	t.Helper()
	answered := make(chan struct{})
	panics := make(chan any, 1)
	var leftovers sync.WaitGroup
	l := newService(t, setup{
		policy: idempotency.Policy{Stream: stream},
		handler: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Do") == "bystander" {
				event(w, 1)
				return
			}
			header := w.Header().Clone()
			if stream == idempotency.StreamBuffer {
				header = w.Header() // under pass it is the server's, as without us
			}
			w.Header().Set("Location", "/orders/1")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "answer")
			leftovers.Go(func() {
				<-answered
				panics <- leftover(w, header)
			})
		},
	}).over(t, version)
	c := call{key: newKey()}
	first := l.ask(t, c)
	close(answered)
	require.ErrorContains(t, (<-panics).(error), "after the handler returned")
	leftovers.Wait()
	bystander := l.ask(t, call{key: newKey(), header: http.Header{"X-Do": {"bystander"}}}) // on the same connection
	assert.Equal(t, "data: 1\n\n", bystander.Body)
	assert.Empty(t, bystander.Header.Get("Etag"))
	second := l.ask(t, c)
	if stream == idempotency.StreamBuffer {
		requireReplay(t, first, second)
	} else {
		requireProblem(t, second, 409, "result_unavailable")
	}
	assert.Equal(t, "/orders/1", second.Header.Get("Location"))
	assert.Equal(t, 2, l.Runs())
}

// A stream that never ends holds no more than the limit back.
func TestZ5_EndlessBufferedStreamBeginsToFlowAtTheLimit(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			stop := make(chan struct{})
			l := newService(t, setup{
				policy: idempotency.Policy{MaxResponseBody: 100},
				handler: func(w http.ResponseWriter, _ *http.Request) {
					for n := 0; ; n++ {
						event(w, n%10)
						w.(http.Flusher).Flush()
						select {
						case <-stop:
							return
						case <-time.After(time.Millisecond): // the pace of a stream
						}
					}
				},
			}).over(t, version)
			c := call{key: newKey()}
			resp := l.open(t, newRequest(t, l.URL, c))
			got := make([]byte, 900)
			_, err := io.ReadFull(resp.Body, got)
			require.NoError(t, err, "while the handler runs")
			assert.True(t, strings.HasPrefix(string(got), "data: 0\n\ndata: 1\n\n"), "from its beginning")
			close(stop)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			requireProblem(t, l.ask(t, c), 409, "result_unavailable")
			assert.Equal(t, 1, l.Runs())
		})
	}
}
