package locks_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	redsyncgo "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
)

// TryLock on five masters: all of them up, and two of them killed or standing still,
// which shall cost no more than a fifth, plus the time limit of one master.
func BenchmarkQuorumTryLock(b *testing.B) {
	var ways []way
	for _, state := range []state{healthy, killed, frozen} {
		_, masters := five(b, state)
		ways = append(ways, tryLocks(b, string(state), quorum(b, masters)))
	}
	compare(b, ways...)
}

// Acquire and release on five masters, beside redsync as one gets it, and with the
// option by which it does not wait for the slowest.
func BenchmarkQuorum(b *testing.B) {
	for _, state := range []state{healthy, frozen} {
		b.Run(string(state), func(b *testing.B) {
			pools, masters := five(b, state)
			libs := []library{quorum(b, masters), redsyncQuorum("redsync-fail-fast", pools, redsync.WithFailFast(true))}
			if state == healthy { // 10 s for each call otherwise
				libs = append(libs, redsyncQuorum("redsync", pools))
			}
			var ways []way
			for _, lib := range libs {
				ways = append(ways, pairs(lib))
			}
			compare(b, ways...)
		})
	}
}

// state is that of two masters of five.
type state string

const (
	healthy state = "healthy"
	killed  state = "killed"
	frozen  state = "frozen"
)

// five starts five masters and connects to them.
func five(b *testing.B, as state) (pools []redsyncredis.Pool, masters []redis.UniversalClient) {
	b.Helper()
	for i := range 5 {
		srv := redistest.Start(b)
		rdb := srv.Client(b, steady)
		for range 10 {
			_ = rdb.Ping(b.Context())
		}
		switch {
		case i >= 2:
		case as == frozen:
			srv.Pause()
			b.Cleanup(srv.Resume)
		case as == killed:
			srv.Kill()
		}
		masters = append(masters, rdb)
		pools = append(pools, redsyncgo.NewPool(rdb))
	}
	return pools, masters
}

func quorum(b *testing.B, masters []redis.UniversalClient) library {
	b.Helper()
	l := ourQuorum(b, masters)
	return library{"reprise", func(ctx context.Context, key string) (func(), error) {
		le, err := l.TryLock(ctx, key)
		return func() { check(b, le.Release(ctx)) }, err
	}}
}

func redsyncQuorum(name string, pools []redsyncredis.Pool, opts ...redsync.Option) library {
	rs := redsync.New(pools...)
	opts = append(opts, redsync.WithExpiry(lease))
	return library{name, func(ctx context.Context, key string) (func(), error) {
		m := rs.NewMutex(key, opts...)
		return func() { _, _ = m.UnlockContext(ctx) }, m.TryLockContext(ctx)
	}}
}

// attempts is how many locks a round takes, one after the other.
const attempts = 100

// tryLocks measures the acquisition alone.
func tryLocks(b *testing.B, name string, lib library) way {
	b.Helper()
	n := 0
	return way{name, func(b *testing.B) (took time.Duration) {
		b.Helper()
		for range attempts {
			n++
			began := time.Now()
			release, err := lib.acquire(b.Context(), fmt.Sprint(name, " ", n))
			took += time.Since(began)
			require.NoError(b, err)
			release()
		}
		return took / attempts
	}}
}

func pairs(lib library) way {
	n := 0
	return way{lib.name, func(b *testing.B) time.Duration {
		b.Helper()
		began := time.Now()
		for range attempts {
			n++
			release, err := lib.acquire(b.Context(), fmt.Sprint(lib.name, " ", n))
			require.NoError(b, err)
			release()
		}
		return time.Since(began) / attempts
	}}
}
