package conformance_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

func TestZ1_Z2_BodyAtTheLimitIsReplayedAndOneOverIsNot(t *testing.T) {
	t.Parallel()
	const limit = 10_000
	for _, pieces := range []int{1, 7} {
		t.Run(fmt.Sprintf("%d writes", pieces), func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{
				policy: idempotency.Policy{MaxResponseBody: limit},
				handler: func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Location", "/large/1")
					w.WriteHeader(201)
					size := limit
					if r.Header.Get("X-Over") != "" {
						size++
					}
					body := strings.Repeat("x", size)
					for i := range pieces {
						_, _ = io.WriteString(w, body[size*i/pieces:size*(i+1)/pieces])
					}
				},
			})
			twice(t, s, call{})
			c := call{key: newKey(), header: http.Header{"X-Over": {"1"}}}
			first := send(t, s.URL, c)
			assert.Equal(t, 201, first.Status)
			assert.Len(t, first.Body, limit+1, "the first caller gets all of it")
			assert.Equal(t, "unrecorded", first.Header.Get("Idempotency-Status"), "bytes flowed before it was recorded")
			for range 2 {
				second := send(t, s.URL, c)
				requireProblem(t, second, 409, "result_unavailable")
				assert.Equal(t, "/large/1", second.Header.Get("Location"))
				assert.Equal(t, "unavailable", second.Header.Get("Idempotency-Status"))
			}
			assert.Equal(t, 2, s.Runs())
		})
	}
}

func TestZ2_BodyShorterThanDeclaredIsNeverReplayed(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "short")
	}})
	c := call{key: newKey()}
	_, err := trySend(t, s.URL, c)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "the client sees what a bare server shows")
	requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown")
	assert.Equal(t, 1, s.Runs())
}

func TestZ8_F51_ClientThatHangsUpInMidHandlerGetsTheReplay(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	s := newService(t, setup{handler: handler})
	c := call{key: newKey(), body: "B"}
	conn := dial(t, s)
	writeRequest(t, conn, c)
	ctx := <-started
	require.NoError(t, conn.Close())
	select {
	case <-ctx.Done():
		t.Fatal("the client's going cancelled the handler")
	case <-time.After(100 * time.Millisecond): // time enough for net/http to notice
	}
	close(goOn)
	s.untilRecorded(t, c)
	assert.Equal(t, 1, s.Runs())
}

func TestZ8_AttachedHandlerIsCancelled(t *testing.T) {
	t.Parallel()
	cancelled := make(chan error, 1)
	started := make(chan struct{}, 1)
	s := newService(t, setup{
		policy: idempotency.Policy{Caller: idempotency.CallerAttached},
		handler: func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			started <- struct{}{}
			<-r.Context().Done()
			cancelled <- context.Cause(r.Context())
			w.WriteHeader(500)
		},
	})
	c := call{key: newKey(), body: "B"}
	conn := dial(t, s)
	writeRequest(t, conn, c)
	<-started
	require.NoError(t, conn.Close())
	require.ErrorIs(t, <-cancelled, context.Canceled)
	eventually(t, "the outcome is unknown", func() bool {
		return send(t, s.URL, c).Header.Get("Idempotency-Status") == "unknown"
	})
}

func TestZ9_ClientThatHangsUpWhileTheAnswerIsWrittenGetsTheReplay(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 900_000)
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large) }})
	c := call{key: newKey(), body: "B"}
	conn := dial(t, s)
	writeRequest(t, conn, c)
	status, err := bufio.NewReader(io.LimitReader(conn, 64)).ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, status, "200")
	require.NoError(t, conn.(*net.TCPConn).SetLinger(0)) // reset, not a goodbye
	require.NoError(t, conn.Close())
	second := send(t, s.URL, c)
	assert.Equal(t, "replayed", second.Header.Get("Idempotency-Status"))
	assert.Equal(t, large, second.Body)
	assert.Equal(t, 1, s.Runs())
}

func dial(t *testing.T, s *service) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func writeRequest(t *testing.T, conn net.Conn, c call) {
	t.Helper()
	req := newRequest(t, "http://service/orders", c)
	req.Close = true
	require.NoError(t, req.Write(conn))
}

// untilRecorded repeats a call until its answer is a replay.
func (s *service) untilRecorded(t *testing.T, c call) {
	t.Helper()
	eventually(t, "the answer is recorded", func() bool {
		return send(t, s.URL, c).Header.Get("Idempotency-Status") == "replayed"
	})
}
