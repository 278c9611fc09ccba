package conformance_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// gatekeeper answers a status while it is closed.
func gatekeeper(status *atomic.Int64) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s := status.Load(); s != 0 {
				w.WriteHeader(int(s))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestP1_P3_RefusalsOutsideLeaveTheKeyUnused(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int64{"P1 rate limiter": 429, "P3 validation": 400} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var closed atomic.Int64
			closed.Store(status)
			s := newService(t, setup{wrap: gatekeeper(&closed)})
			c := call{key: newKey(), body: "B"}
			assert.EqualValues(t, status, send(t, s.URL, c).Status)
			closed.Store(0)
			c.body = "B, corrected" // the key is bound to nothing yet
			first := send(t, s.URL, c)
			requireExecuted(t, first)
			requireReplay(t, first, send(t, s.URL, c))
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestP2_ReplaysConsumeNoQuotaInside(t *testing.T) {
	t.Parallel()
	quota := 1
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		if quota == 0 {
			w.WriteHeader(429)
			return
		}
		quota--
		w.WriteHeader(201)
	}})
	c := call{key: newKey()}
	first := send(t, s.URL, c)
	for range 3 {
		requireReplay(t, first, send(t, s.URL, c))
	}
	other := call{key: newKey()}
	assert.Equal(t, 429, send(t, s.URL, other).Status)
	quota = 1
	requireExecuted(t, send(t, s.URL, other))
}

func TestP4_MountedTwiceIsAnErrorAtTheFirstRequest(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	outer, err := s.MW.Protect("everything")
	require.NoError(t, err)
	s.Server.Config.Handler = outer(s.Mux)
	resp := send(t, s.URL, call{key: newKey()})
	assert.Equal(t, 500, resp.Status)
	assert.Contains(t, resp.Body, "mounted twice")
	assert.Zero(t, s.Runs())
}

func TestHandlerMayCallAnotherProtectedRoute(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	require.NoError(t, s.MW.Handle(s.Mux, "POST /outer", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "/orders", strings.NewReader("B"))
		assert.NoError(t, err)
		inner.Header = r.Header.Clone() // the same key, forwarded
		s.Mux.ServeHTTP(w, inner)
	})))
	c := call{key: newKey(), body: "B"}
	first := send(t, s.Server.URL+"/outer", c)
	assert.Equal(t, 201, first.Status)
	assert.Equal(t, first.Body, send(t, s.Server.URL+"/outer", c).Body)
	assert.Equal(t, 1, s.Runs())
}

func TestP6_F10_DrainLetsRunningOnesFinishAndNothingNewIn(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	s := newService(t, setup{
		handler: handler,
		policy:  idempotency.Policy{Lease: time.Second},
	})
	running := call{key: newKey()}
	first := background(t, s.URL, running)
	ctx := <-started

	drained := make(chan error, 1)
	go func() { drained <- s.Guard.Shutdown(context.Background()) }()
	eventually(t, "new requests are refused", func() bool {
		return strings.Contains(send(t, s.URL, call{key: newKey()}).Body, "draining")
	})
	resp := send(t, s.URL, running)
	p := requireProblem(t, resp, 503, "draining")
	assert.True(t, p.Retryable)
	assert.Equal(t, "1", resp.Header.Get("Retry-After"))
	time.Sleep(2500 * time.Millisecond) // more than two leases: renewals go on
	require.NoError(t, ctx.Err())
	select {
	case err := <-drained:
		t.Fatalf("Shutdown did not wait: %v", err)
	default:
	}
	close(goOn)
	requireExecuted(t, <-first)
	require.NoError(t, <-drained)
	requireProblem(t, send(t, s.URL, running), 503, "draining")
	assert.Equal(t, 1, s.Runs())
}

func TestP7_DrainDeadlineCancelsWhatStillRuns(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	handler, started, goOn := blocking(t)
	s := newService(t, setup{namespace: ns, handler: handler, policy: idempotency.Policy{Lease: 300 * time.Millisecond}})
	c := call{key: newKey()}
	first := background(t, s.URL, c)
	ctx := <-started
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Guard.Shutdown(short), context.DeadlineExceeded)
	<-ctx.Done()
	require.ErrorIs(t, context.Cause(ctx), idempotency.ErrDraining)
	next := newService(t, setup{namespace: ns})
	eventually(t, "the lease lapses and the outcome is unknown", func() bool {
		return send(t, next.URL, c).Header.Get("Idempotency-Status") == "unknown"
	})
	close(goOn)
	<-first
	assert.Zero(t, next.Runs())
}

func TestP8_F43_RecordsOfOtherVersions(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	rdb := shared.Server(t).Client(t)
	s := newService(t, setup{namespace: ns})
	c := call{key: newKey(), body: "B"}
	first := send(t, s.URL, c)
	requireExecuted(t, first)
	names := shared.Server(t).Keys(ns + ":*")
	require.Len(t, names, 1)
	record := rdb.Get(t.Context(), names[0]).Val()
	require.Equal(t, "RPR1", record[:4])
	newer := "RPR2" + record[4:] + "with fields of the future"
	require.NoError(t, rdb.Set(t.Context(), names[0], newer, time.Minute).Err())
	requireProblem(t, send(t, s.URL, c), 503, "record_unreadable")
	assert.Equal(t, newer, rdb.Get(t.Context(), names[0]).Val(), "untouched")
	require.NoError(t, rdb.Set(t.Context(), names[0], record, time.Minute).Err())
	requireReplay(t, first, send(t, s.URL, c))
	assert.Equal(t, 1, s.Runs())
}

func TestP9_F89_ChangedPolicyAppliesToNewClaims(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	rdb := srv.Client(t)
	ns := namespaceOf(t)
	before := newService(t, setup{namespace: ns, policy: idempotency.Policy{Retention: time.Hour}})
	after := newService(t, setup{namespace: ns, policy: idempotency.Policy{Retention: time.Minute, MaxResponseBody: 1}})
	c := call{key: newKey()}
	first := send(t, before.URL, c)
	requireExecuted(t, first)
	requireReplay(t, first, send(t, after.URL, c))
	old := srv.Keys(ns + ":*")
	require.Len(t, old, 1)
	assert.InDelta(t, time.Hour, rdb.PTTL(t.Context(), old[0]).Val(), float64(10*time.Second), "a replay changes nothing")
	fresh := call{key: newKey()}
	send(t, after.URL, fresh)
	requireProblem(t, send(t, after.URL, fresh), 409, "result_unavailable")
	for _, name := range srv.Keys(ns + ":*") {
		if name != old[0] {
			assert.InDelta(t, time.Minute, rdb.PTTL(t.Context(), name).Val(), float64(10*time.Second))
		}
	}
}

func TestP11_TwoServicesOnOneRedisDoNotMeet(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	a, b := newService(t, setup{namespace: ns + "-a"}), newService(t, setup{namespace: ns + "-b"})
	c := call{key: newKey()}
	requireExecuted(t, send(t, a.URL, c))
	requireExecuted(t, send(t, b.URL, c))
	assert.Equal(t, 1, a.Runs())
	assert.Equal(t, 1, b.Runs())
}

func TestSafeMethodsCannotBeMountedAsProtected(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE", "CONNECT"} {
		err := s.MW.Handle(s.Mux, method+" /safe", http.NotFoundHandler())
		require.ErrorContains(t, err, method+" is never protected")
	}
	off := idempotency.Policy{Key: idempotency.KeyOff}
	require.NoError(t, s.MW.Handle(s.Mux, "GET /off", http.NotFoundHandler(), off))
}

// http.TimeoutHandler on either side: outside, its deadline reaches the handler
// and what the handler answers in the end is recorded; inside, its own 503 is
// not.
func TestTimeoutHandlerOnEitherSide(t *testing.T) {
	t.Parallel()
	t.Run("outside", func(t *testing.T) {
		t.Parallel()
		goOn := make(chan struct{})
		s := newService(t, setup{
			wrap: func(next http.Handler) http.Handler {
				return http.TimeoutHandler(next, 50*time.Millisecond, "timeout")
			},
			handler: func(w http.ResponseWriter, r *http.Request) {
				<-goOn
				w.WriteHeader(201)
				_, _ = io.WriteString(w, "done")
			},
		})
		c := call{key: newKey()}
		assert.Equal(t, 503, send(t, s.URL, c).Status)
		requireProblem(t, send(t, s.URL, c), 409, "in_progress")
		close(goOn)
		s.untilRecorded(t, c)
		assert.Equal(t, "done", send(t, s.URL, c).Body)
		assert.Equal(t, 1, s.Runs())
	})
	t.Run("inside", func(t *testing.T) {
		t.Parallel()
		goOn, marked := make(chan struct{}), make(chan error, 1)
		s := newService(t, setup{handler: func(w http.ResponseWriter, r *http.Request) {
			http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				<-goOn
				marked <- idempotency.MarkEffect(context.WithoutCancel(r.Context()))
			}), 20*time.Millisecond, "timeout").ServeHTTP(w, r)
		}})
		c := call{key: newKey()}
		first := send(t, s.URL, c)
		assert.Equal(t, 503, first.Status)
		assert.Equal(t, "unrecorded", first.Header.Get("Idempotency-Status"))
		close(goOn)
		require.ErrorIs(t, <-marked, idempotency.ErrLeaseLost, "the attempt has ended: no effect any more")
	})
}

func TestGRPCPassesThrough(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{http: []idemhttp.Option{idemhttp.GlobalScope()}})
	for range 2 {
		resp := send(t, s.URL, call{key: newKey(), header: http.Header{"Content-Type": {"application/grpc+proto"}}})
		assert.Equal(t, "ignored", resp.Header.Get("Idempotency-Status"))
	}
	assert.Equal(t, 2, s.Runs())
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	require.NoError(t, s.Guard.Health(t.Context()))
	require.NoError(t, s.Guard.Preflight(t.Context()))
	require.NoError(t, s.Guard.Shutdown(t.Context()))
	require.ErrorIs(t, s.Guard.Health(t.Context()), idempotency.ErrDraining)
}
