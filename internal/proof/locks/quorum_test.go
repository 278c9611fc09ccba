package locks_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	redsyncgo "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redistest"
)

// Five masters, of which none, one or two stand still.
func BenchmarkQuorum(b *testing.B) {
	for frozen := range 3 {
		b.Run(fmt.Sprintf("%d frozen/reprise", frozen), func(b *testing.B) {
			_, masters := five(b, frozen)
			l := ourQuorum(b, masters)
			one(b, func(key string) error {
				le, err := l.TryLock(b.Context(), key)
				if err != nil {
					return err
				}
				return le.Release(b.Context())
			})
		})
		b.Run(fmt.Sprintf("%d frozen/redsync fail-fast", frozen), func(b *testing.B) {
			pools, _ := five(b, frozen)
			redsyncBench(b, pools, redsync.WithFailFast(true))
		})
	}
	b.Run("0 frozen/redsync", func(b *testing.B) {
		pools, _ := five(b, 0)
		redsyncBench(b, pools)
	})
}

func redsyncBench(b *testing.B, pools []redsyncredis.Pool, opts ...redsync.Option) {
	b.Helper()
	rs := redsync.New(pools...)
	one(b, func(key string) error {
		m := rs.NewMutex(key, append(opts, redsync.WithExpiry(8*time.Second))...)
		if err := m.TryLockContext(b.Context()); err != nil {
			return err
		}
		_, err := m.UnlockContext(b.Context())
		return err
	})
}

// five starts five masters, connects to them, and freezes the first of them.
func five(b *testing.B, frozen int) (pools []redsyncredis.Pool, masters []redis.UniversalClient) {
	b.Helper()
	for i := range 5 {
		srv := redistest.Start(b)
		rdb := srv.Client(b, steady)
		for range 10 {
			_ = rdb.Ping(b.Context())
		}
		if i < frozen {
			srv.Pause()
			b.Cleanup(srv.Resume)
		}
		masters = append(masters, rdb)
		pools = append(pools, redsyncgo.NewPool(rdb))
	}
	return pools, masters
}

// one calls one after the other.
func one(b *testing.B, call func(key string) error) {
	b.Helper()
	b.ReportAllocs()
	var k keys
	b.ResetTimer()
	for range b.N {
		if err := call(k.next()); err != nil {
			b.Fatal(err)
		}
	}
}
