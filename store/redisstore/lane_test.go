package redisstore_test

import (
	"context"
	"runtime"
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
	rdb   *redis.Client
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
	h := &held{store: newStore(t, rdb, append(opts, redisstore.AutoPipeline())...), rdb: rdb, srv: srv, proxy: proxy}
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

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	gone := newRequest(t)
	h.calls.Go(func() {
		_, err := h.store.Apply(ctx, gone.id, gone.claim)
		assert.ErrorIs(t, err, store.ErrUnavailable)
		assert.ErrorIs(t, err, context.Canceled)
	})
	require.Eventually(t, func() bool { return redisstore.Queued(h.store) == 2 }, time.Minute, time.Millisecond)
	cancel()

	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	late := newRequest(t)
	_, err := h.store.Apply(ctx, late.id, late.claim)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	h.goOn()
	for _, r := range patient {
		require.Contains(t, h.srv.Keys("*"), recordKey(redisstore.DefaultNamespace, r.id))
	}
	require.NotContains(t, h.srv.Keys("*"), recordKey(redisstore.DefaultNamespace, gone.id))
}

// Connections that have gone dead hold up what is on them, and not what waits for
// its turn behind them.
func TestDeadConnectionsDoNotHoldUpCallsThatWait(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	proxy := faultproxy.Start(t, srv.Addr())
	var drops []*faultproxy.Fault
	rdb := srv.Client(t, func(o *redis.Options) {
		o.Addr, o.MaxRetries, o.ReadTimeout = proxy.Addr(), -1, 10*time.Minute
	})
	s := newStore(t, rdb, redisstore.AutoPipeline())
	first := newRequest(t)
	first.claims(t, s, store.Claimed) // the server knows the scripts from now on
	for n := range 4 {
		drops = append(drops, proxy.SwallowReply("evalsha", n+1))
	}
	stuck, end := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for range 4 {
		r := newRequest(t)
		calls.Go(func() { _, _ = s.Apply(stuck, r.id, r.claim) })
	}
	for _, drop := range drops {
		<-drop.First()
	}

	const waiting = 200
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var others sync.WaitGroup
	for range waiting {
		r := newRequest(t)
		others.Go(func() {
			reply, err := s.Apply(ctx, r.id, r.claim)
			assert.NoError(t, err)
			assert.Equal(t, store.Claimed, reply.Verdict)
		})
	}
	others.Wait()
	proxy.ResetConnections()
	end()
	calls.Wait()
}

// Whatever a client's hook does to the goroutine that sends, nobody waits in vain.
func TestHookThatEndsItsGoroutineLosesNoPlace(t *testing.T) {
	t.Parallel()
	h := holdUp(t)
	h.rdb.AddHook(exitHook{})
	h.start(t, 20, func(int) {
		r := newRequest(t)
		_, err := h.store.Apply(t.Context(), r.id, r.claim)
		assert.ErrorIs(t, err, store.ErrUnavailable)
	})
	h.goOn()
	require.Eventually(t, func() bool { return redisstore.Busy(h.store) == 0 }, time.Minute, time.Millisecond)
}

// exitHook ends the goroutine after each pipeline.
type exitHook struct{}

func (exitHook) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (exitHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (exitHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		_ = next(ctx, cmds)
		runtime.Goexit()
		return nil
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
