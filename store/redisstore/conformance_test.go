package redisstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
	"github.com/reprise-go/reprise/store/storetest"
)

// The fast path: miniredis, whose clock the suite moves.
func TestConformanceOnMiniredis(t *testing.T) {
	t.Parallel()
	onMiniredis(t, time.Now())
}

// F61: a server without a battery for its clock, whose time in seconds has nine
// digits.
func TestConformanceBefore2001F61(t *testing.T) {
	t.Parallel()
	onMiniredis(t, time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC))
}

func onMiniredis(t *testing.T, now time.Time) {
	t.Helper()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		mr := miniredis.RunT(t)
		clock := &serverClock{mr: mr, now: now}
		clock.move(0)
		rdb := redis.NewClient(&redis.Options{Addr: mr.Addr(), ContextTimeoutEnabled: true})
		t.Cleanup(func() { require.NoError(t, rdb.Close()) })
		return storetest.Harness{
			Store: newStore(t, rdb),
			Advance: func(d time.Duration) {
				clock.move(d)
				mr.FastForward(d)
			},
			Rewind: func(d time.Duration) { clock.move(-d) },
			Forget: func(id store.ID) { mr.Del(recordKey(redisstore.DefaultNamespace, id)) },
		}
	}, storetest.InParallel())
}

// serverClock is what TIME says on a miniredis.
type serverClock struct {
	mu  sync.Mutex
	mr  *miniredis.Miniredis
	now time.Time
}

func (c *serverClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.mr.SetTime(c.now)
}

// The real thing, by the real clock, with the options that the environment asks
// for.
func TestConformanceOnRedis(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		rdb := shared.Server(t).Client(t)
		const namespace = "conformance"
		s := newStore(t, rdb, append(redistest.StoreOptions(t), redisstore.Namespace(namespace))...)
		return storetest.Harness{
			Store: s,
			Forget: func(id store.ID) {
				require.NoError(t, rdb.Del(t.Context(), recordKey(namespace, id)).Err())
				redisstore.Drop(s, id)
			},
		}
	}, storetest.InParallel())
}
