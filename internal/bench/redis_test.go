package bench_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store/redisstore"
)

var (
	crowds = []int{1, 16, 64, 256}
	sizes  = []int{128, 1 << 10, 16 << 10, 1 << 20}
)

// callerCounts is what a body of so many bytes is measured with.
func callerCounts(size int) []int {
	if size == 1<<10 {
		return crowds
	}
	return []int{1, 64}
}

// roomy has a connection for everybody, so that nobody measures a queue.
func roomy(o *redis.Options) { o.PoolSize, o.PipelinePoolSize, o.ReadTimeout = 300, 300, time.Minute }

func openStore(b *testing.B, rdb redis.UniversalClient, opts ...redisstore.Option) *redisstore.Store {
	b.Helper()
	st, err := redisstore.New(rdb, opts...)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, st.Close()) })
	return st
}

// onRedis is the service on a store with these options, in a namespace of its own.
func onRedis(b *testing.B, rdb *redis.Client, size int, name string, opts ...redisstore.Option) *served {
	b.Helper()
	opts = append(opts, redisstore.Namespace(fmt.Sprint(name, size)))
	return &served{name, service(b, openStore(b, rdb, opts...), size, idempotency.Policy{MaxResponseBody: 2 << 20})}
}

// BenchmarkReplay: the middleware with its fingerprint, on a real server.
func BenchmarkReplay(b *testing.B) {
	srv := shared.Server(b)
	for _, size := range sizes {
		for _, callers := range callerCounts(size) {
			b.Run(fmt.Sprintf("%dB/%dcallers", size, callers), func(b *testing.B) {
				rdb := srv.Client(b, roomy)
				plain := onRedis(b, rdb, size, "plain")
				compare(b, callers,
					plain.replaying(b, ownKey),
					getting(b, rdb, size),
					barePipeline(b, rdb, size),
					plain.named("one key").replaying(b, func(int) string { return oneKey() }),
					locking(b, rdb, size, true),
					fiberReplaying(b, srv, size),
				)
			})
		}
	}
}

// BenchmarkReplayTogether: the same with AutoPipeline.
func BenchmarkReplayTogether(b *testing.B) {
	for _, callers := range crowds {
		b.Run(fmt.Sprintf("1024B/%dcallers", callers), func(b *testing.B) {
			rdb := shared.Server(b).Client(b, roomy)
			compare(b, callers,
				onRedis(b, rdb, 1<<10, "together", redisstore.AutoPipeline()).replaying(b, ownKey),
				getting(b, rdb, 1<<10),
				onRedis(b, rdb, 1<<10, "plain").replaying(b, ownKey),
			)
		})
	}
}

// BenchmarkReplayLocal: the same from the process's memory.
func BenchmarkReplayLocal(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("1024B/%dcallers", callers), func(b *testing.B) {
			rdb := shared.Server(b).Client(b, roomy)
			cached := onRedis(b, rdb, 1<<10, "cached", redisstore.LocalCache(16<<20, time.Hour))
			compare(b, callers, cached.replaying(b, ownKey), getting(b, rdb, 1<<10))
		})
	}
}

// BenchmarkFirst: claim, handler, completion.
func BenchmarkFirst(b *testing.B) {
	srv := redistest.Start(b)
	for _, size := range sizes {
		for _, callers := range callerCounts(size) {
			b.Run(fmt.Sprintf("%dB/%dcallers", size, callers), func(b *testing.B) {
				b.Cleanup(srv.FlushAll)
				rdb := srv.Client(b, roomy)
				ways := []way{
					onRedis(b, rdb, size, "plain").executing(),
					onRedis(b, rdb, size, "together", redisstore.AutoPipeline()).executing(),
					locking(b, rdb, size, false),
					setting(b, rdb, size),
					fiberExecuting(b, srv, size),
				}
				if size <= 1<<10 {
					ways = append(ways, bareScripts(b, rdb, size))
				}
				compare(b, callers, ways...)
			})
		}
	}
}

// BenchmarkDistant: with a millisecond on the way to the server, round trips are
// all that counts.
func BenchmarkDistant(b *testing.B) {
	srv := redistest.Start(b)
	proxy := faultproxy.Start(b, srv.Addr())
	proxy.DelayRequests(time.Millisecond)
	distant := func(o *redis.Options) { o.Addr = proxy.Addr() }
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("first/%dcallers", callers), func(b *testing.B) {
			rdb := srv.Client(b, roomy, distant)
			compare(b, callers,
				onRedis(b, rdb, 1<<10, "plain").executing(),
				locking(b, rdb, 1<<10, false), setting(b, rdb, 1<<10), bareScripts(b, rdb, 1<<10))
		})
		b.Run(fmt.Sprintf("replay/%dcallers", callers), func(b *testing.B) {
			rdb := srv.Client(b, roomy, distant)
			compare(b, callers,
				onRedis(b, rdb, 1<<10, "plain").replaying(b, ownKey),
				locking(b, rdb, 1<<10, true), getting(b, rdb, 1<<10), barePipeline(b, rdb, 1<<10))
		})
	}
}
