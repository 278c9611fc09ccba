package locks_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/quorumlock"
	"github.com/reprise-go/reprise/lock/redislock"
)

// goroutines call side by side, on each of the machine's cores.
const goroutines = 8

// steady keeps the client from repeating commands.
func steady(o *redis.Options) { o.MaxRetries = -1 }

func single(b *testing.B) *redistest.Server {
	b.Helper()
	return redistest.Start(b)
}

func ours(b *testing.B, rdb redis.UniversalClient) *lock.Locker {
	b.Helper()
	backend, err := redislock.New(rdb)
	require.NoError(b, err)
	return locker(b, backend, backend.Close)
}

func ourQuorum(b *testing.B, masters []redis.UniversalClient) *lock.Locker {
	b.Helper()
	backend, err := quorumlock.New(masters)
	require.NoError(b, err)
	return locker(b, backend, backend.Close)
}

func locker(b *testing.B, backend lock.Backend, done func() error) *lock.Locker {
	b.Helper()
	l, err := lock.New(backend)
	require.NoError(b, err)
	b.Cleanup(func() {
		require.NoError(b, l.Close())
		require.NoError(b, done())
	})
	return l
}

// keys draws a key for each call.
type keys struct{ n atomic.Int64 }

func (k *keys) next() string { return fmt.Sprint("key ", k.n.Add(1)) }

// parallel runs a call on many goroutines, with keys of their own: once such as come
// again and again, and once such as never do.
func parallel(b *testing.B, name string, call func(key string) error) {
	b.Helper()
	var k keys
	run := func(key func(mine, n int) string) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(goroutines)
			b.RunParallel(func(pb *testing.PB) {
				mine := int(k.n.Add(1))
				for n := 0; pb.Next(); n++ {
					if err := call(key(mine, n)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
	}
	b.Run("recurring/"+name, run(func(mine, n int) string { return fmt.Sprint(mine, " ", n%100) }))
	b.Run("fresh/"+name, run(func(int, int) string { return k.next() }))
}
