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

const cacheBytes = 1 << 20

// recorded returns a request whose answer was replayed once.
func recorded(t *testing.T, s *redisstore.Store, answer store.Answer) *request {
	t.Helper()
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.complete(answer), store.Done)
	r.replays(t, s, answer)
	return r
}

func TestConformanceOfLocalCache(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		rdb := shared.Server(t).Client(t)
		const namespace = "cached"
		s := newStore(t, rdb, redisstore.Namespace(namespace), redisstore.LocalCache(cacheBytes, time.Hour))
		return storetest.Harness{
			Store: s,
			Forget: func(id store.ID) {
				require.NoError(t, rdb.Del(t.Context(), recordKey(namespace, id)).Err())
				redisstore.Drop(s, id)
			},
		}
	}, storetest.InParallel())
}

// The second replay and all that follow take no round trip, and say what the
// first one said.
func TestReplaysFromMemoryAreTheReplaysOfRedis(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	proxy := faultproxy.Start(t, srv.Addr())
	rdb := srv.Client(t, func(o *redis.Options) { o.Addr = proxy.Addr() })
	s := newStore(t, rdb, redisstore.LocalCache(cacheBytes, time.Hour))
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.complete(bodyOf(64<<10)), store.Done)
	first, err := s.Apply(t.Context(), r.id, r.duplicate().claim)
	require.NoError(t, err)
	first.Answer.Body[0]++ // it is the caller's

	proxy.ResetCounts()
	for n := range 3 {
		reply, err := s.Apply(t.Context(), r.id, r.duplicate().claim)
		require.NoError(t, err)
		require.GreaterOrEqual(t, reply.Now, first.Now)
		require.Equal(t, bodyOf(64<<10), reply.Answer)
		reply.Answer.Body[0]++
		reply.Now, reply.Answer = first.Now, first.Answer
		require.Equal(t, first, reply)
		require.EqualValues(t, n+1, s.Stats().LocalReplays)
	}
	require.Zero(t, proxy.RoundTrips())
	require.NoError(t, s.Close())
	_, err = s.Apply(t.Context(), r.id, r.duplicate().claim)
	require.ErrorIs(t, err, redis.ErrClosed)
}

// Whatever is not a replay of the same request is decided in Redis.
func TestOnlyTheSameRequestIsAnsweredFromMemory(t *testing.T) {
	t.Parallel()
	s := newStore(t, shared.Server(t).Client(t), redisstore.LocalCache(cacheBytes, time.Hour))
	r := recorded(t, s, answerOf("x"))
	other := r.duplicate()
	other.claim.Fingerprint.Sum[0]++
	other.claims(t, s, store.Mismatch)
	other.claim.Fingerprint.Algorithm = "sha256-2"
	require.Equal(t, "sha256-1", other.claims(t, s, store.OtherAlgorithm).Algorithm)
	invalid := r.duplicate()
	invalid.claim.Lease = 0
	_, err := s.Apply(t.Context(), r.id, invalid.claim)
	require.ErrorIs(t, err, store.ErrInvalid)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Apply(ended, r.id, r.duplicate().claim)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.Zero(t, s.Stats().LocalReplays)
}

// An answer that this process erased is gone at once, one that another process
// erased within the age of the cache.
func TestErasedAnswersAreNotReplayedFromMemory(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	const age = 500 * time.Millisecond
	s := newStore(t, rdb, redisstore.LocalCache(cacheBytes, age))
	other := newStore(t, rdb, redisstore.LocalCache(cacheBytes, age))
	r := recorded(t, s, answerOf("x"))
	r.replays(t, other, answerOf("x"))

	r.applies(t, s, r.erase(), store.Done)
	require.Eventually(t, func() bool {
		reply, err := other.Apply(t.Context(), r.id, r.duplicate().claim)
		require.NoError(t, err)
		return reply.Verdict == store.Claimed
	}, time.Minute, age/10)
	r.duplicate().claims(t, s, store.InProgress)
}

// A replay that is read while its answer is erased is not kept.
func TestReplaysDuringAnErasureAreNotKept(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	proxy := faultproxy.Start(t, srv.Addr())
	rdb := srv.Client(t, func(o *redis.Options) { o.Addr, o.MaxRetries = proxy.Addr(), -1 })
	s := newStore(t, rdb, redisstore.LocalCache(cacheBytes, time.Hour))
	direct := newStore(t, srv.Client(t))
	r := newRequest(t)
	r.claims(t, direct, store.Claimed)
	r.applies(t, direct, r.complete(answerOf("x")), store.Done)
	r.replays(t, direct, answerOf("x"))

	proxy.DelayReplies(200 * time.Millisecond)
	var calls sync.WaitGroup
	calls.Go(func() { // Redis has answered it, and its answer is on its way
		reply, err := s.Apply(t.Context(), r.id, r.duplicate().claim)
		assert.NoError(t, err)
		assert.Contains(t, []store.Verdict{store.Recorded, store.Claimed}, reply.Verdict)
	})
	require.Eventually(t, func() bool { return proxy.Requests()["evalsha"] > 0 }, time.Minute, time.Millisecond)
	r.applies(t, s, r.erase(), store.Done)
	calls.Wait()
	require.Zero(t, s.Stats().LocalReplays)
	reply, err := s.Apply(t.Context(), r.id, r.duplicate().claim)
	require.NoError(t, err)
	require.NotEqual(t, store.Recorded, reply.Verdict)
}

// What is kept does not outlive its record, whatever the age.
func TestRetentionEndsReplaysFromMemory(t *testing.T) {
	t.Parallel()
	s := newStore(t, shared.Server(t).Client(t), redisstore.LocalCache(cacheBytes, time.Hour))
	r := newRequest(t)
	r.claim.Retention = time.Second
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.complete(answerOf("x")), store.Done)
	require.Eventually(t, func() bool {
		reply, err := s.Apply(t.Context(), r.id, r.duplicate().claim)
		require.NoError(t, err)
		return reply.Verdict == store.Claimed
	}, time.Minute, 20*time.Millisecond)
}

// The monotonic clock stands still while a machine is suspended. What was kept before
// is not younger for that. A wall clock that is set back makes nothing younger.
func TestF59ReplaysFromMemoryEndWhileTheMachineIsSuspended(t *testing.T) {
	t.Parallel()
	s := newStore(t, shared.Server(t).Client(t), redisstore.LocalCache(cacheBytes, time.Hour))
	r := recorded(t, s, answerOf("x"))
	redisstore.ShiftWall(s, -2*time.Hour)
	r.replays(t, s, answerOf("x"))
	require.EqualValues(t, 1, s.Stats().LocalReplays)
	redisstore.ShiftWall(s, 2*time.Hour)
	r.replays(t, s, answerOf("x"))
	require.EqualValues(t, 1, s.Stats().LocalReplays)
	r.replays(t, s, answerOf("x"))
	require.EqualValues(t, 2, s.Stats().LocalReplays, "what is kept now counts from now")
}

// Ten times as much as there is room for leaves no more than that in memory.
func TestLocalCacheIsBounded(t *testing.T) {
	s := newStore(t, shared.Server(t).Client(t), redisstore.LocalCache(cacheBytes, time.Hour))
	before := heap()
	for range 10 * cacheBytes / (16 << 10) {
		recorded(t, s, bodyOf(16<<10))
	}
	require.Less(t, heap()-before, int64(3*cacheBytes))
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
