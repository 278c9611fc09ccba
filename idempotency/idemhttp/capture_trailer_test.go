package idemhttp

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// trailersThroughCapture returns what a client gets of a handler's trailers.
func trailersThroughCapture(t *testing.T, http2 bool, mode captureMode, limit int64, handler http.HandlerFunc) *http.Response {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mark := func(h http.Header) { h.Set(headerStatus, "executed") }
		c := newCapture(w, mode, limit)
		c.beforeFlow = mark
		handler(c.Writer(), r)
		c.finish(recordedHeaders(nil))
		assert.NoError(t, c.send(mark))
	}))
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	resp, err := server.Client().Post(server.URL, "", nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(body))
	return resp
}

func TestX1_MarksInAHandlersTrailersDoNotReachTheClient(t *testing.T) {
	t.Parallel()
	setMarks := func(h http.Header, prefix string) {
		h[prefix+"X-Sum"] = []string{"1"}
		h[prefix+"Idempotency-Status"] = []string{"replayed"}
		h[prefix+"Idempotent-Replayed"] = []string{"true"}
		h[prefix+"Idempotency-Recorded-At"] = []string{"2026-01-01T00:00:00Z"}
	}
	handlers := map[string]http.HandlerFunc{
		"declared": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "idempotent-replayed, X-Sum")
			w.Header().Add("Trailer", "Idempotency-Status, Idempotency-Recorded-At")
			_, _ = io.WriteString(w, "hello")
			setMarks(w.Header(), "")
		},
		"not declared": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			_ = http.NewResponseController(w).Flush() // or a short answer has a length and no trailers
			setMarks(w.Header(), http.TrailerPrefix)
			w.Header()[http.TrailerPrefix+"idempotent-replayed"] = []string{"true"}
		},
		"not declared, early": func(w http.ResponseWriter, _ *http.Request) {
			setMarks(w.Header(), http.TrailerPrefix)
			_, _ = io.WriteString(w, "hello")
		},
	}
	modes := map[string]struct {
		mode  captureMode
		limit int64
	}{"buffer": {bufferResponse, 100}, "overflow": {bufferResponse, 1}, "pass": {passResponse, 100}}
	for name, handler := range handlers {
		for modeName, mode := range modes {
			for _, http2 := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s HTTP/2=%v", name, modeName, http2), func(t *testing.T) {
					t.Parallel()
					resp := trailersThroughCapture(t, http2, mode.mode, mode.limit, handler)
					assert.Equal(t, http.Header{"X-Sum": {"1"}}, resp.Trailer)
					assert.Equal(t, []string{"executed"}, resp.Header.Values(headerStatus))
				})
			}
		}
	}
}

// X1: a trailer that is only marks is none.
func TestX1_TrailerFieldOfMarksIsLeftOut(t *testing.T) {
	t.Parallel()
	h := http.Header{"Trailer": {"Idempotency-Status", " idempotent-replayed"}, "X-A": {"1"}}
	dropMarkTrailers(h)
	assert.Equal(t, http.Header{"X-A": {"1"}}, h)
	h = http.Header{"Trailer": {"X-A,X-B"}}
	dropMarkTrailers(h)
	assert.Equal(t, http.Header{"Trailer": {"X-A,X-B"}}, h, "as the handler wrote it")
}

// Z5: what has no body is not missing one.
func TestZ5_PassingAnswerWithoutABodyIsRecordedWhole(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    store.Omission
		broken  bool
	}{
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, store.BodyKept, false},
		{"201", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) }, store.BodyKept, false},
		{"flushed", func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }, store.BodyKept, false},
		{"an empty write", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) }, store.BodyKept, false},
		{"a body that 204 does not have", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); _, _ = w.Write([]byte("x")) }, store.BodyKept, false},
		{"one byte", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }, store.BodyStreamed, false},
		{"a body that was announced", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(200)
		}, store.BodyStreamed, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp, _, a, flags := served(t, passResponse, 100, tt.handler)
			assert.Equal(t, "unrecorded", resp.Header.Get("Idempotency-Status"), "it was sent before it was recorded")
			assert.True(t, flags.flowed)
			assert.Equal(t, tt.broken, flags.broken)
			assert.Equal(t, tt.want, a.omitted)
			assert.Empty(t, a.body)
		})
	}
}
