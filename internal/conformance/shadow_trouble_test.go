package conformance_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

// While Redis hangs, every request runs, soon.
func TestShadow_HTTPLosesNothingByTheStore(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	s := newService(t, setup{redis: srv.Client(t), policy: shadowPolicy()})
	c := call{key: newKey(), body: "B"}
	require.Eventually(t, func() bool { // a busy machine may need more than one try
		assert.Equal(t, 201, send(t, s.URL, c).Status)
		return wouldBe(s.Guard, httpOperation).Executed == 1
	}, 10*time.Second, time.Millisecond)
	runs, before := s.Runs(), wouldBe(s.Guard, httpOperation).Refused[idempotency.ErrStoreUnavailable]
	srv.Pause()
	for range 3 {
		began := time.Now()
		assert.Equal(t, 201, send(t, s.URL, c).Status)
		assert.Less(t, time.Since(began), 2*time.Second, "100 ms, on a slow machine")
	}
	assert.Equal(t, runs+3, s.Runs())
	assert.Equal(t, before+3, wouldBe(s.Guard, httpOperation).Refused[idempotency.ErrStoreUnavailable])
}

// A caller who goes away ends the handler as on an unprotected route, and half an
// answer is never replayed.
func TestShadow_HTTPRecordsNoHalfAnswer(t *testing.T) {
	t.Parallel()
	started := make(chan struct{})
	s := newService(t, setup{guard: patient(), policy: shadowPolicy(), handler: func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "half")
		close(started)
		<-r.Context().Done()
	}})
	c := call{key: newKey(), body: "B"}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	resp, err := s.Server.Client().Do(newRequest(t, s.URL, c).WithContext(ctx))
	if err == nil {
		_ = resp.Body.Close()
	}
	require.Eventually(t, func() bool { return wouldBe(s.Guard, httpOperation).Executed == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Guard.Override(httpOperation, idempotency.Policy{Key: idempotency.KeyRequired}))
	requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown")
}

// failingWriter is a middleware's writer that fails after a few bytes.
type failingWriter struct {
	http.ResponseWriter
	left int
}

func (w *failingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	w.left -= n
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// A write that fails while the caller is there leaves no answer that could be
// replayed: the handler may have stopped at it.
func TestShadow_HTTPRecordsNoBodyThatCouldNotBeSent(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{
		guard:  patient(),
		policy: shadowPolicy(),
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(&failingWriter{w, 3}, r) })
		},
		handler: func(w http.ResponseWriter, _ *http.Request) {
			_, err := io.WriteString(w, "whole")
			assert.Error(t, err)
		},
	})
	c := call{key: newKey(), body: "B"}
	assert.Equal(t, "who", send(t, s.URL, c).Body)
	require.NoError(t, s.Guard.Override(httpOperation, idempotency.Policy{Key: idempotency.KeyRequired}))
	assert.Equal(t, 409, send(t, s.URL, c).Status)
	assert.Equal(t, int64(1), s.Guard.Stats()[0].Refused[idempotency.ErrResultUnavailable])
}

// breaking is a body that ends with an error, once.
type breaking struct {
	io.Reader
	err error
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil {
		err, b.err = b.err, io.EOF
	}
	return n, err
}

func (b *breaking) Close() error { return nil }

// What the library met when it read ahead, the handler meets, too.
func TestShadow_HTTPHandlerGetsABrokenBodyAsItCame(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{
		policy: shadowPolicy(),
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Body = &breaking{r.Body, io.ErrUnexpectedEOF}
				next.ServeHTTP(w, r)
			})
		},
		handler: func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s, %v", body, err)
		},
	})
	assert.Equal(t, "half, unexpected EOF", send(t, s.URL, call{key: newKey(), body: "half"}).Body)
	assert.Equal(t, map[idempotency.Code]int64{idempotency.ErrBodyUnreadable: 1}, wouldBe(s.Guard, httpOperation).Refused)
}
