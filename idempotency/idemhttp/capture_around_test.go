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
	"testing"
	"time"

	"github.com/felixge/httpsnoop"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

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
	err := writeReplay(w, r, answer{status: 201, header: []field{{"Etag", "1"}}, omitted: store.BodyTooLarge}, new(fieldLines))
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
					assert.NoError(t, writeReplay(w, r, a, new(fieldLines)))
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
	require.NoError(t, writeReplay(w, httptest.NewRequest("POST", "/", nil), a, new(fieldLines)))
	assert.Equal(t, "gzip", w.Header().Get("Content-Encoding"))
	assert.Equal(t, []string{"Accept-Encoding", "Origin"}, w.Header()["Vary"])
	assert.Nil(t, w.Header()["Content-Type"], "nothing is guessed from compressed bytes")
}
