package idemhttp

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

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
		err := writeReplay(failing{httptest.NewRecorder()}, r, answer{status: 200, body: []byte("x")}, new(fieldLines))
		assert.ErrorIs(t, err, errGone)
	})
}
