package conformance_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

const (
	httpOperation = "POST /orders"
	grpcOperation = "reprise.test.v1.Orders/Create"
)

// onEach runs a test on the memory store and on a Redis server.
func onEach(t *testing.T, test func(t *testing.T, st store.Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, newMemory(t))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, setup{}.openStore(t))
	})
}

// answerSize answers with as many bytes as the request asks for.
func answerSize(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, "%*s", r.ContentLength, "x")
}

// Each field that the transport reads, changed at run time: from the next request
// on, and back.
func TestOverride_HTTPFollowsItFromTheNextRequestOn(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		s := newService(t, setup{store: st, handler: answerSize})
		over := func(p idempotency.Policy) {
			t.Helper()
			require.NoError(t, s.Guard.Override(httpOperation, p))
		}
		small := call{key: newKey(), body: "12345"}
		requireExecuted(t, send(t, s.URL, small))

		over(idempotency.Policy{MaxRequestBody: 4})
		requireProblem(t, send(t, s.URL, small), 413, "request_body_too_large")
		over(idempotency.Policy{MaxResponseBody: 4})
		large := call{key: newKey(), body: "12345"}
		assert.Equal(t, "unrecorded", send(t, s.URL, large).Header.Get("Idempotency-Status"))
		requireProblem(t, send(t, s.URL, large), 409, "result_unavailable")
		over(idempotency.Policy{Key: idempotency.KeyOptional})
		assert.Equal(t, "ignored", send(t, s.URL, call{body: "12345"}).Header.Get("Idempotency-Status"))
		over(idempotency.Policy{Stream: idempotency.StreamPass})
		streamed := call{key: newKey(), body: "12345"}
		assert.Equal(t, "unrecorded", send(t, s.URL, streamed).Header.Get("Idempotency-Status"))

		over(idempotency.Policy{})
		requireProblem(t, send(t, s.URL, call{body: "12345"}), 400, "idempotency_key_missing")
		replayed := send(t, s.URL, small)
		assert.Equal(t, "true", replayed.Header.Get("Idempotent-Replayed"))
		assert.Equal(t, 4, s.Runs())
	})
}

func TestOverride_HTTPRecordRule(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		s := newService(t, setup{store: st, handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }})
		c := call{key: newKey(), body: "B"}
		assert.Equal(t, "unrecorded", send(t, s.URL, c).Header.Get("Idempotency-Status"))
		require.NoError(t, s.Guard.Override(httpOperation, idempotency.Policy{Record: idempotency.RecordAll}))
		assert.Equal(t, "executed", send(t, s.URL, c).Header.Get("Idempotency-Status"))
		assert.Equal(t, "replayed", send(t, s.URL, c).Header.Get("Idempotency-Status"))
		assert.Equal(t, 2, s.Runs())
	})
}

func TestOverride_HTTPKillSwitch(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		handler, started, goOn := blocking(t)
		s := newService(t, setup{store: st, handler: handler})
		c := call{key: newKey(), body: "B"}
		first := background(t, s.URL, c)
		<-started
		require.NoError(t, s.Guard.Override(httpOperation, idempotency.Policy{Key: idempotency.KeyOff}))
		second := background(t, s.URL, c)
		<-started // beside the first
		close(goOn)
		assert.Equal(t, "ignored", (<-second).Header.Get("Idempotency-Status"))
		executed := <-first
		requireExecuted(t, executed)
		require.NoError(t, s.Guard.Override(httpOperation, idempotency.Policy{}))
		requireReplay(t, executed, send(t, s.URL, c))
		assert.Equal(t, 2, s.Runs())
	})
}

func TestOverride_GRPCFollowsItFromTheNextCallOn(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		create, started, goOn := grpcHolding(t)
		s := newGRPC(t, grpcSetup{store: st, create: create})
		over := func(p idempotency.Policy) {
			t.Helper()
			require.NoError(t, s.Guard.Override(grpcOperation, p))
		}
		key := newKey()
		first := make(chan told, 1)
		go func() { first <- s.create(t.Context(), key, &testpb.Order{}) }()
		<-started
		over(idempotency.Policy{Wait: idempotency.NoWait})
		began := time.Now()
		requireRefusal(t, s.create(t.Context(), key, &testpb.Order{}), codes.Aborted, "IN_PROGRESS")
		assert.Less(t, time.Since(began), 4*time.Second, "the default is to wait for 5 s")

		over(idempotency.Policy{Key: idempotency.KeyOff})
		second := make(chan told, 1)
		go func() { second <- s.create(t.Context(), key, &testpb.Order{}) }()
		<-started
		close(goOn)
		off := <-second
		requireCode(t, off, codes.OK)
		assert.Equal(t, []string{"ignored"}, off.Trailer.Get("idempotency-status"))
		executed := <-first
		over(idempotency.Policy{})
		again := s.create(t.Context(), key, &testpb.Order{})
		requireSame(t, executed, again)
		assert.True(t, again.replayed())

		over(idempotency.Policy{MaxResponseBody: 1})
		large := newKey()
		requireCode(t, s.create(t.Context(), large, &testpb.Order{}), codes.OK)
		requireRefusal(t, s.create(t.Context(), large, &testpb.Order{}), codes.FailedPrecondition, "RESULT_UNAVAILABLE")
	})
}

// An override in one process only: no promise depends on the others having it.
func TestOverride_InOneOfTwoProcesses(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		a, b := newService(t, setup{store: st}), newService(t, setup{store: st})
		require.NoError(t, a.Guard.Override(httpOperation, idempotency.Policy{
			Retention: 48 * time.Hour, Lease: 10 * time.Second, Orphan: idempotency.OrphanRerun,
		}))
		for _, from := range [][2]*service{{a, b}, {b, a}} {
			c := call{key: newKey(), body: "B"}
			first := send(t, from[0].URL, c)
			requireExecuted(t, first)
			requireReplay(t, first, send(t, from[1].URL, c))
			c.body = "other"
			requireProblem(t, send(t, from[1].URL, c), 422, "idempotency_key_reused")
		}
	})
}
