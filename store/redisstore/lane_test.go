package redisstore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
	"github.com/reprise-go/reprise/store/storetest"
)

// many is more calls than go by themselves and than go together at once.
const many = 300

// held is a store with AutoPipeline in front of a server that hangs, and the
// calls to it that wait for that.
type held struct {
	store *redisstore.Store
	srv   *redistest.Server
	proxy *faultproxy.Proxy
	calls sync.WaitGroup
}

// holdUp returns a store whose calls all wait: the first few for the server, the
// others for those. No call of a test should end by its time.
func holdUp(t *testing.T, opts ...redisstore.Option) *held {
	t.Helper()
	srv := redistest.Start(t)
	proxy := faultproxy.Start(t, srv.Addr())
	rdb := srv.Client(t, func(o *redis.Options) {
		o.Addr, o.MaxRetries, o.ReadTimeout = proxy.Addr(), -1, time.Minute
	})
	h := &held{store: newStore(t, rdb, append(opts, redisstore.AutoPipeline())...), srv: srv, proxy: proxy}
	first := newRequest(t)
	_, _ = h.store.Apply(t.Context(), first.id, first.claim) // the server knows the scripts from now on
	srv.Pause()
	return h
}

// start makes n calls at once and returns when all but those that go by
// themselves are queued.
func (h *held) start(t *testing.T, n int, call func(i int)) {
	t.Helper()
	for i := range n {
		h.calls.Go(func() { call(i) })
	}
	require.Eventually(t, func() bool { return redisstore.Queued(h.store) == n-4 }, time.Minute, time.Millisecond)
}

// goOn lets the server answer, and returns when all calls have ended.
func (h *held) goOn() {
	h.srv.Resume()
	h.calls.Wait()
}

func TestConformanceOfAutoPipeline(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		rdb := shared.Server(t).Client(t)
		const namespace = "together"
		return storetest.Harness{
			Store: newStore(t, rdb, redisstore.Namespace(namespace), redisstore.AutoPipeline()),
			Forget: func(id store.ID) {
				require.NoError(t, rdb.Del(t.Context(), recordKey(namespace, id)).Err())
			},
		}
	}, storetest.InParallel())
}

// What is asked for while four calls are under way goes in one round trip, each
// with its own answer.
func TestCallsOfTheSameTimeGoTogether(t *testing.T) {
	t.Parallel()
	h := holdUp(t)
	requests := make([]*request, many)
	for i := range requests {
		requests[i] = newRequest(t)
	}
	h.proxy.ResetCounts()
	h.start(t, many, func(i int) {
		reply, err := h.store.Apply(t.Context(), requests[i].id, requests[i].claim)
		assert.NoError(t, err)
		assert.Equal(t, store.Claimed, reply.Verdict)
		requests[i].reply = reply
	})
	h.goOn()
	require.Equal(t, many, h.proxy.Requests()["evalsha"])
	require.LessOrEqual(t, h.proxy.RoundTrips(), 4+4+many/128)
	for _, r := range requests {
		r.applies(t, h.store, r.mark(), store.Done)
	}
}

// A script that the server has forgotten, and a record that cannot be read, are
// the trouble of whoever meets them.
func TestCallsTogetherHaveTheirOwnTrouble(t *testing.T) {
	t.Parallel()
	h := holdUp(t)
	h.srv.Resume()
	h.srv.ScriptFlush()
	bad := newRequest(t)
	h.srv.Do("lpush", recordKey(redisstore.DefaultNamespace, bad.id), "x")
	h.srv.Pause()
	h.start(t, many, func(i int) {
		if i == many/2 {
			_, err := h.store.Apply(t.Context(), bad.id, bad.claim)
			assert.ErrorIs(t, err, store.ErrUnreadable)
			return
		}
		r := newRequest(t)
		_, err := h.store.Apply(t.Context(), r.id, r.claim)
		assert.NoError(t, err)
	})
	h.goOn()
	require.NotZero(t, h.store.Stats().ScriptLoads)
}

// A call's deadline ends it, and so does its cancellation, whatever the others
// wait for. What was given up before it was sent is never sent.
func TestCallsTogetherEndByThemselves(t *testing.T) {
	t.Parallel()
	h := holdUp(t)
	patient := make([]*request, 5)
	for i := range patient {
		patient[i] = newRequest(t)
	}
	h.start(t, len(patient), func(i int) {
		_, err := h.store.Apply(t.Context(), patient[i].id, patient[i].claim)
		assert.NoError(t, err)
	})

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	late := newRequest(t)
	_, err := h.store.Apply(ctx, late.id, late.claim)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	ctx, cancel = context.WithCancel(t.Context())
	gone := newRequest(t)
	h.calls.Go(func() {
		_, err := h.store.Apply(ctx, gone.id, gone.claim)
		assert.ErrorIs(t, err, store.ErrUnavailable)
		assert.ErrorIs(t, err, context.Canceled)
	})
	require.Eventually(t, func() bool { return redisstore.Queued(h.store) == 3 }, time.Minute, time.Millisecond)
	cancel()
	h.goOn()
	for _, r := range patient {
		require.Contains(t, h.srv.Keys("*"), recordKey(redisstore.DefaultNamespace, r.id))
	}
	for _, r := range []*request{late, gone} {
		require.NotContains(t, h.srv.Keys("*"), recordKey(redisstore.DefaultNamespace, r.id))
	}
}

// Close waits for what is under way; what has not been sent by then is refused.
func TestCloseEndsWhatWaitsToGoTogether(t *testing.T) {
	t.Parallel()
	h := holdUp(t)
	h.start(t, 20, func(int) {
		r := newRequest(t)
		_, err := h.store.Apply(t.Context(), r.id, r.claim)
		if err != nil {
			assert.ErrorIs(t, err, redis.ErrClosed)
		}
	})
	require.NoError(t, h.store.Close())
	h.goOn()
	r := newRequest(t)
	_, err := h.store.Apply(t.Context(), r.id, r.claim)
	require.ErrorIs(t, err, redis.ErrClosed)
}

// The check of the memory guard follows each claim on the same connection.
func TestMemoryGuardHoldsForCallsTogether(t *testing.T) {
	t.Parallel()
	h := holdUp(t, redisstore.MemoryGuard(quarantine))
	h.srv.Resume()
	require.NoError(t, h.store.Bless(t.Context()))
	h.srv.FlushAll()
	h.srv.Pause()
	h.start(t, 20, func(int) {
		r := newRequest(t)
		_, err := h.store.Apply(t.Context(), r.id, r.claim)
		assert.ErrorIs(t, err, redisstore.ErrQuarantine)
	})
	h.goOn()
}
