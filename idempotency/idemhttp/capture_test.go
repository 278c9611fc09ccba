package idemhttp

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/felixge/httpsnoop"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// served runs a handler through a capture behind a real server and returns what
// the client got and what was captured.
func served(t *testing.T, mode captureMode, limit int64, handler http.HandlerFunc) (*http.Response, string, answer, captureFlags) {
	t.Helper()
	type outcome struct {
		a     answer
		flags captureFlags
	}
	done := make(chan outcome, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := newCapture(w, mode, limit)
		c.beforeFlow = func(h http.Header) { h.Set("Idempotency-Status", "unrecorded") }
		handler(c.Writer(), r)
		a, flags := c.finish(recordedHeaders(nil))
		_ = c.send(func(h http.Header) { h.Set("Idempotency-Status", "executed") })
		done <- outcome{a, flags}
	}))
	t.Cleanup(server.Close)
	resp, err := server.Client().Post(server.URL, "", nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	got := <-done
	return resp, string(body), got.a, got.flags
}

func TestZ1_BodyAtAndOverTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 1000
	tests := []struct {
		name   string
		pieces []int
		over   bool
	}{
		{"exactly at the limit", []int{limit}, false},
		{"exactly at the limit in pieces", []int{limit - 1, 1}, false},
		{"one byte over", []int{limit + 1}, true},
		{"one byte over in pieces", []int{limit, 1}, true},
		{"far over", []int{10, 100 * limit, 10}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := ""
			resp, body, a, flags := served(t, bufferResponse, limit, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/reports/1")
				w.WriteHeader(http.StatusCreated)
				for i, size := range tt.pieces {
					piece := strings.Repeat(string(rune('a'+i)), size)
					want += piece
					_, err := io.WriteString(w, piece)
					assert.NoError(t, err)
				}
			})
			assert.Equal(t, http.StatusCreated, resp.StatusCode)
			assert.Equal(t, want, body, "the first caller gets all of it")
			assert.Equal(t, tt.over, flags.overflowed)
			assert.Equal(t, tt.over, flags.flowed)
			assert.Equal(t, "/reports/1", a.location())
			if !tt.over {
				assert.Equal(t, "executed", resp.Header.Get("Idempotency-Status"))
				assert.Equal(t, want, string(a.body))
				assert.Equal(t, store.BodyKept, a.omitted)
				return
			}
			assert.Equal(t, "unrecorded", resp.Header.Get("Idempotency-Status"), "set before the flow")
			assert.Empty(t, a.body)
			assert.Equal(t, store.BodyTooLarge, a.omitted)
		})
	}
}

func TestZ1_AfterTheLimitFlushesReachTheClient(t *testing.T) {
	t.Parallel()
	received := make(chan string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c := newCapture(w, bufferResponse, 4)
		_, _ = io.WriteString(c.Writer(), "kept")
		c.Writer().(http.Flusher).Flush() // held back
		_, _ = io.WriteString(c.Writer(), " flows")
		c.Writer().(http.Flusher).Flush()
		assert.Equal(t, "kept flows", <-received, "the client has it while the handler runs")
		c.finish(nil)
		_ = c.send(nil)
	}))
	defer server.Close()
	resp, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	buf := make([]byte, 10)
	_, err = io.ReadFull(resp.Body, buf)
	require.NoError(t, err)
	received <- string(buf)
	assert.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
}

func TestZ1_OverflowKeepsTrailersAndTheTypeGuessedAtTheFlush(t *testing.T) {
	t.Parallel()
	resp, body, _, flags := served(t, bufferResponse, 3, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.(http.Flusher).Flush() // nothing to guess from yet
		_, _ = io.WriteString(w, "<html>")
		w.Header().Set("X-Sum", "7")
		w.Header().Set(http.TrailerPrefix+"X-Late", "8")
		w.Header().Set("X-Other", "too late")
	})
	assert.True(t, flags.overflowed)
	assert.Equal(t, "<html>", body)
	assert.NotContains(t, resp.Header, "Content-Type")
	assert.NotContains(t, resp.Header, "X-Other")
	assert.Equal(t, http.Header{"X-Sum": {"7"}, "X-Late": {"8"}}, resp.Trailer)
}

func TestZ2_CutBodyIsFlaggedAndNotKept(t *testing.T) {
	t.Parallel()
	for _, mode := range []captureMode{bufferResponse, passResponse} {
		_, _, a, flags := served(t, mode, 100, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "short")
		})
		assert.True(t, flags.broken)
		assert.Empty(t, a.body)
		assert.NotEqual(t, store.BodyKept, a.omitted)
	}
}

func TestZ5_PassingBytesReachTheClientAtOnce(t *testing.T) {
	t.Parallel()
	received := make(chan string)
	resp, _, a, flags := func() (*http.Response, string, answer, captureFlags) {
		type outcome struct {
			a     answer
			flags captureFlags
		}
		done := make(chan outcome, 1)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c := newCapture(w, passResponse, 1)
			c.beforeFlow = func(h http.Header) { h.Set("Idempotency-Status", "unrecorded") }
			h := c.Writer()
			h.Header().Set("Location", "/streams/1")
			h.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(h, "one")
			assert.NoError(t, http.NewResponseController(h).Flush())
			assert.Equal(t, "one", <-received)
			_, _ = io.Copy(h, strings.NewReader("two"))
			a, flags := c.finish(recordedHeaders(nil))
			_ = c.send(nil)
			done <- outcome{a, flags}
		}))
		defer server.Close()
		resp, err := server.Client().Get(server.URL)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		buf := make([]byte, 3)
		_, err = io.ReadFull(resp.Body, buf)
		require.NoError(t, err)
		received <- string(buf)
		rest, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, "two", string(rest))
		got := <-done
		return resp, "", got.a, got.flags
	}()
	assert.Equal(t, http.StatusAccepted, resp.StatusCode)
	assert.Equal(t, "unrecorded", resp.Header.Get("Idempotency-Status"))
	assert.True(t, flags.flowed)
	assert.Equal(t, answer{
		status: 202, header: []field{{"Location", "/streams/1"}}, omitted: store.BodyStreamed,
	}, a)
}

func TestZ5_PassingHandlerThatWritesNothingIsMarkedAtTheEnd(t *testing.T) {
	t.Parallel()
	resp, body, a, flags := served(t, passResponse, 1, func(w http.ResponseWriter, _ *http.Request) {
		n, err := io.Copy(w, strings.NewReader("")) // fixes no status
		assert.Zero(t, n)
		assert.NoError(t, err)
	})
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Empty(t, body)
	assert.Equal(t, "executed", resp.Header.Get("Idempotency-Status"))
	assert.False(t, flags.flowed)
	assert.Equal(t, 200, a.status)
}

func TestZ7_HijackFailsWhileRecording(t *testing.T) {
	t.Parallel()
	resp, body, a, flags := served(t, bufferResponse, 100, func(w http.ResponseWriter, _ *http.Request) {
		_, _, err := w.(http.Hijacker).Hijack()
		assert.ErrorIs(t, err, ErrHijack)
		assert.ErrorIs(t, err, http.ErrNotSupported)
		_, _, err = http.NewResponseController(w).Hijack()
		assert.ErrorIs(t, err, ErrHijack)
		http.Error(w, "no upgrade", http.StatusNotImplemented)
	})
	assert.Equal(t, http.StatusNotImplemented, resp.StatusCode)
	assert.Equal(t, "no upgrade\n", body)
	assert.Equal(t, 501, a.status)
	assert.False(t, flags.hijacked)
}

func TestZ7_HijackIsNotedWhenPassing(t *testing.T) {
	t.Parallel()
	_, body, a, flags := served(t, passResponse, 100, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		_, err = w.Write([]byte("x"))
		assert.ErrorIs(t, err, http.ErrHijacked)
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
		_ = conn.Close()
	})
	assert.Equal(t, "hi", body)
	assert.True(t, flags.hijacked)
	assert.True(t, flags.flowed)
	assert.Zero(t, a.status)
}

func TestZ10_NothingChangesAfterFinish(t *testing.T) {
	t.Parallel()
	for _, mode := range []captureMode{bufferResponse, passResponse} {
		under := httptest.NewRecorder()
		c := newCapture(under, mode, 100)
		w := c.Writer()
		w.Header().Set("Etag", "1")
		_, _ = io.WriteString(w, "before")
		before, _ := c.finish(recordedHeaders(nil))

		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				w.Header().Set("Etag", "2")
				w.WriteHeader(http.StatusTeapot)
				_, err := w.Write([]byte("after"))
				assert.ErrorIs(t, err, errFinished)
				w.(http.Flusher).Flush()
			})
		}
		require.NoError(t, c.send(nil))
		wg.Wait()
		after, _ := c.finish(nil)
		assert.Equal(t, before, after)
		assert.Equal(t, "before", under.Body.String())
		assert.Equal(t, http.StatusOK, under.Code)
		assert.Equal(t, "1", under.Result().Header.Get("Etag"))
	}
}

func TestConcurrentWritesOfAHandlerAreSafe(t *testing.T) {
	t.Parallel()
	_, body, a, _ := served(t, bufferResponse, 1<<20, func(w http.ResponseWriter, _ *http.Request) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					_, _ = io.WriteString(w, "x")
					w.(http.Flusher).Flush()
				}
			})
		}
		wg.Wait()
	})
	assert.Equal(t, strings.Repeat("x", 400), body)
	assert.Equal(t, body, string(a.body))
}

func TestInvalidStatusPanicsAsInNetHTTP(t *testing.T) {
	t.Parallel()
	for _, status := range []int{-1, 0, 99, 1000} {
		c := newCapture(httptest.NewRecorder(), bufferResponse, 1)
		assert.Panics(t, func() { c.Writer().WriteHeader(status) })
		c.Writer().WriteHeader(http.StatusAccepted)
		a, _ := c.finish(nil)
		assert.Equal(t, http.StatusAccepted, a.status, "the capture survives the panic")
	}
}

func TestSwitchingProtocolsIsFinal(t *testing.T) {
	t.Parallel()
	c := newCapture(httptest.NewRecorder(), bufferResponse, 10)
	c.Writer().WriteHeader(http.StatusSwitchingProtocols)
	c.Writer().WriteHeader(http.StatusOK)
	_, err := c.Writer().Write([]byte("x"))
	require.ErrorIs(t, err, http.ErrBodyNotAllowed)
	a, _ := c.finish(nil)
	assert.Equal(t, http.StatusSwitchingProtocols, a.status)
}

// failing is a client that is gone.
type failing struct{ *httptest.ResponseRecorder }

var errGone = errors.New("client gone")

func (failing) Write([]byte) (int, error)       { return 0, errGone }
func (failing) WriteString(string) (int, error) { return 0, errGone }

func TestZ9_ClientErrorsAreReturned(t *testing.T) {
	t.Parallel()
	handler := func(w http.ResponseWriter) { _, _ = io.WriteString(w, "body") }
	t.Run("while sending", func(t *testing.T) {
		t.Parallel()
		c := newCapture(failing{httptest.NewRecorder()}, bufferResponse, 100)
		handler(c.Writer())
		a, flags := c.finish(nil)
		assert.Equal(t, "body", string(a.body), "the answer stands")
		assert.False(t, flags.broken)
		assert.ErrorIs(t, c.send(nil), errGone)
	})
	t.Run("while flowing", func(t *testing.T) {
		t.Parallel()
		c := newCapture(failing{httptest.NewRecorder()}, bufferResponse, 2)
		c.Writer().Header().Set("Content-Length", "8")
		_, err := c.Writer().Write([]byte("body"))
		require.ErrorIs(t, err, errGone)
		_, flags := c.finish(nil)
		assert.False(t, flags.broken, "the handler is not to blame for the missing half")
		assert.ErrorIs(t, c.send(nil), errGone)
	})
	t.Run("while replaying", func(t *testing.T) {
		t.Parallel()
		r := httptest.NewRequest("POST", "/", nil)
		err := writeReplay(failing{httptest.NewRecorder()}, r, answer{status: 200, body: []byte("x")})
		assert.ErrorIs(t, err, errGone)
	})
}

// earlyRecorder is a recorder that does not take a 1xx status for the final one.
type earlyRecorder struct{ *httptest.ResponseRecorder }

func (w earlyRecorder) WriteHeader(status int) {
	if isFinal(status) {
		w.ResponseRecorder.WriteHeader(status)
	}
}

func TestOuterFieldsSetMeanwhileStay(t *testing.T) {
	t.Parallel()
	under := earlyRecorder{httptest.NewRecorder()}
	under.Header().Set("X-Removed", "outer")
	under.Header().Set("X-Kept", "outer")
	c := newCapture(under, bufferResponse, 100)
	c.Writer().Header().Del("X-Removed")
	c.Writer().Header().Set("X-Kept", "handler")
	c.Writer().WriteHeader(http.StatusEarlyHints)
	assert.Equal(t, "outer", under.Header().Get("X-Kept"), "until the answer is this handler's")
	under.Header().Set("X-Meanwhile", "outer")
	c.finish(nil)
	require.NoError(t, c.send(nil))
	assert.Equal(t, http.Header{"X-Kept": {"handler"}, "X-Meanwhile": {"outer"}}, under.Result().Header)
}

func TestReplayWithoutBodyIsRefused(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/", nil)
	err := writeReplay(w, r, answer{status: 201, header: []field{{"Etag", "1"}}, omitted: store.BodyTooLarge})
	require.ErrorIs(t, err, errNoBody)
	assert.Empty(t, w.Header(), "nothing is written")
}

// The response writers below have different sets of optional interfaces.
type (
	plainOnly   struct{ http.ResponseWriter }
	unwrappable struct{ plainOnly }
	onlyFlush   struct{ unwrappable }
	onlyHijack  struct{ unwrappable }
)

func (w unwrappable) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w onlyFlush) Flush()                        { _ = http.NewResponseController(w.ResponseWriter).Flush() }
func (w onlyHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

func TestZ6_OptionalInterfacesAreThoseOfTheUnderlyingWriter(t *testing.T) {
	t.Parallel()
	has := func(w http.ResponseWriter) (is [3]bool) {
		_, is[0] = w.(http.Flusher)
		_, is[1] = w.(http.Hijacker)
		_, is[2] = w.(http.Pusher)
		return is
	}
	tests := []struct {
		name string
		wrap func(http.ResponseWriter) http.ResponseWriter
	}{
		{"net/http itself", func(w http.ResponseWriter) http.ResponseWriter { return w }},
		{"no optional interface", func(w http.ResponseWriter) http.ResponseWriter { return plainOnly{w} }},
		{"only Unwrap", func(w http.ResponseWriter) http.ResponseWriter { return unwrappable{plainOnly{w}} }},
		{"Flush and Unwrap", func(w http.ResponseWriter) http.ResponseWriter { return onlyFlush{unwrappable{plainOnly{w}}} }},
		{"Hijack and Unwrap", func(w http.ResponseWriter) http.ResponseWriter { return onlyHijack{unwrappable{plainOnly{w}}} }},
	}
	for _, tt := range tests {
		for _, mode := range []captureMode{bufferResponse, passResponse} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w = tt.wrap(w)
					c := newCapture(w, mode, 100)
					h := c.Writer()
					assert.Equal(t, has(w), has(h))
					under, wrapped := http.NewResponseController(w), http.NewResponseController(h)
					soon := time.Now().Add(time.Hour)
					assert.Equal(t, under.SetReadDeadline(soon), wrapped.SetReadDeadline(soon))
					assert.Equal(t, under.SetWriteDeadline(soon), wrapped.SetWriteDeadline(soon))
					assert.Equal(t, under.EnableFullDuplex() == nil, wrapped.EnableFullDuplex() == nil)
					h.WriteHeader(http.StatusCreated)
					err := wrapped.Flush()
					assert.Equal(t, tt.name == "no optional interface", errors.Is(err, http.ErrNotSupported))
					if mode == bufferResponse {
						_, _, err := wrapped.Hijack()
						assert.ErrorIs(t, err, http.ErrNotSupported)
					}
					_, _ = io.WriteString(h, "body")
					a, flags := c.finish(nil)
					assert.Equal(t, http.StatusCreated, a.status)
					assert.Equal(t, mode == passResponse, flags.flowed, "no flush went by the capture")
					_ = c.send(nil)
				}))
				defer server.Close()
				resp, err := server.Client().Get(server.URL)
				require.NoError(t, err)
				defer func() { _ = resp.Body.Close() }()
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, http.StatusCreated, resp.StatusCode)
				assert.Equal(t, "body", string(body))
			})
		}
	}
}

func TestZ6_PassingHijackWorksBehindAWrapper(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
		"direct":  func(w http.ResponseWriter) http.ResponseWriter { return onlyHijack{unwrappable{plainOnly{w}}} },
		"through": func(w http.ResponseWriter) http.ResponseWriter { return unwrappable{plainOnly{w}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				c := newCapture(wrap(w), passResponse, 1)
				conn, _, err := http.NewResponseController(c.Writer()).Hijack()
				if assert.NoError(t, err) {
					_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
					_ = conn.Close()
				}
				_, flags := c.finish(nil)
				assert.True(t, flags.hijacked, "noted, though a controller found it")
			}))
			defer server.Close()
			resp, err := server.Client().Get(server.URL)
			require.NoError(t, err)
			_ = resp.Body.Close()
			assert.Equal(t, http.StatusNoContent, resp.StatusCode)
		})
	}
}

func TestR11_NoLengthIsAddedForACompressorOutsideToBreak(t *testing.T) {
	t.Parallel()
	under := httptest.NewRecorder()
	c := newCapture(under, bufferResponse, 1<<20)
	_, _ = io.WriteString(c.Writer(), strings.Repeat("x", 5000))
	c.finish(nil)
	require.NoError(t, c.send(nil))
	assert.NotContains(t, under.Header(), "Content-Length")
}

// compressing is a compressor as they are often written: it announces its
// coding before the handler runs.
func compressing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if r.Header.Get("Accept-Encoding") != "gzip" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		next.ServeHTTP(httpsnoop.Wrap(w, httpsnoop.Hooks{
			Write: func(httpsnoop.WriteFunc) httpsnoop.WriteFunc { return zip.Write },
		}), r)
		_ = zip.Close()
	})
}

func TestR11_CompressionOutsideServesEveryClient(t *testing.T) {
	t.Parallel()
	for _, order := range [][2]string{{"gzip", "identity"}, {"identity", "gzip"}} {
		t.Run(order[0]+" first", func(t *testing.T) {
			t.Parallel()
			var recorded store.Answer
			server := httptest.NewServer(compressing(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if recorded.Codec != "" {
					a, err := decodeAnswer(recorded)
					assert.NoError(t, err)
					assert.NoError(t, writeReplay(w, r, a))
					return
				}
				c := newCapture(w, bufferResponse, 1<<20)
				_, _ = io.WriteString(c.Writer(), "<html>content")
				a, _ := c.finish(recordedHeaders(nil))
				recorded = a.encode()
				assert.NoError(t, c.send(nil))
			})))
			defer server.Close()
			for _, coding := range order {
				req, err := http.NewRequestWithContext(t.Context(), "POST", server.URL, nil)
				require.NoError(t, err)
				req.Header.Set("Accept-Encoding", coding)
				resp, err := server.Client().Do(req)
				require.NoError(t, err)
				defer func() { _ = resp.Body.Close() }()
				body := io.Reader(resp.Body)
				if coding == "gzip" {
					assert.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
					body, err = gzip.NewReader(resp.Body)
					require.NoError(t, err)
				}
				text, err := io.ReadAll(body)
				require.NoError(t, err)
				assert.Equal(t, "<html>content", string(text))
				assert.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
				assert.Equal(t, []string{"Accept-Encoding"}, resp.Header["Vary"])
			}
		})
	}
}

func TestR12_CompressionInsideIsReplayedWithItsCoding(t *testing.T) {
	t.Parallel()
	_, _, a, _ := served(t, bufferResponse, 100, func(w http.ResponseWriter, _ *http.Request) { //nolint:dogsled // only the answer is looked at
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Add("Vary", "Accept-Encoding")
		_, _ = io.WriteString(w, "\x1f\x8b")
	})
	w := httptest.NewRecorder()
	w.Header().Set("Vary", "Origin")
	require.NoError(t, writeReplay(w, httptest.NewRequest("POST", "/", nil), a))
	assert.Equal(t, "gzip", w.Header().Get("Content-Encoding"))
	assert.Equal(t, []string{"Accept-Encoding", "Origin"}, w.Header()["Vary"])
	assert.Nil(t, w.Header()["Content-Type"], "nothing is guessed from compressed bytes")
}
