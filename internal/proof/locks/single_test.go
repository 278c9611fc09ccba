package locks_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	bsm "github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	redsyncgo "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
)

// Acquire and release of locks of their own: by one caller, and by many side by
// side, with keys that come again and again and such as never do. Ours watches over
// the lease and gives a fencing token, bsm and redsync do neither; rueidislock pipelines by
// itself.
func BenchmarkAcquireRelease(b *testing.B) {
	srv := single(b)
	libs := []library{reprise(b, srv), bsmLock(b, srv), redsyncLock(b, srv), rueidisLock(b, srv)}
	var fresh atomic.Int64
	recurring := func(g, n int) string { return fmt.Sprint(g, " ", n%100) }
	never := func(int, int) string { return fmt.Sprint("fresh ", fresh.Add(1)) }
	for _, bench := range []struct {
		name       string
		goroutines int
		key        func(g, n int) string
	}{
		{"alone", 1, recurring},
		{"recurring", goroutines, recurring},
		{"fresh", goroutines, never},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var ways []way
			for _, lib := range libs {
				ways = append(ways, way{lib.name, func(b *testing.B) time.Duration {
					b.Helper()
					return crowd(b, bench.goroutines, bench.key, func(key string) error {
						release, err := lib.acquire(b.Context(), lib.name+" "+key)
						if err == nil {
							release()
						}
						return err
					})
				}})
			}
			compare(b, ways...)
		})
	}
}

// library is one that locks.
type library struct {
	name    string
	acquire func(ctx context.Context, key string) (release func(), err error)
}

func reprise(b *testing.B, srv *redistest.Server) library {
	b.Helper()
	l := ours(b, srv.Client(b, steady))
	return library{"reprise", func(ctx context.Context, key string) (func(), error) {
		le, err := l.TryLock(ctx, key)
		return func() { check(b, le.Release(ctx)) }, err
	}}
}

func bsmLock(b *testing.B, srv *redistest.Server) library {
	b.Helper()
	client := bsm.New(srv.Client(b, steady))
	return library{"bsm", func(ctx context.Context, key string) (func(), error) {
		held, err := client.Obtain(ctx, key, lease, nil)
		return func() { check(b, held.Release(ctx)) }, err
	}}
}

func redsyncLock(b *testing.B, srv *redistest.Server) library {
	b.Helper()
	rs := redsync.New(redsyncgo.NewPool(srv.Client(b, steady)))
	return library{"redsync", func(ctx context.Context, key string) (func(), error) {
		m := rs.NewMutex(key, redsync.WithExpiry(lease))
		return func() {
			_, err := m.UnlockContext(ctx)
			check(b, err)
		}, m.TryLockContext(ctx)
	}}
}

func rueidisLock(b *testing.B, srv *redistest.Server) library {
	b.Helper()
	l := rueidisLocker(b, srv)
	return library{"rueidislock", func(ctx context.Context, key string) (func(), error) {
		_, cancel, err := l.TryWithContext(ctx, key)
		return cancel, err
	}}
}

// check may be called on any goroutine.
func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Error(err)
	}
}

func rueidisLocker(b *testing.B, srv *redistest.Server) rueidislock.Locker {
	b.Helper()
	l, err := rueidislock.NewLocker(rueidislock.LockerOption{
		KeyMajority: 1, KeyValidity: lease, NoLoopTracking: true,
		TryNextAfter: time.Second, // 20 ms is too short for a busy machine
		ClientOption: rueidis.ClientOption{InitAddress: []string{srv.Addr()}},
	})
	require.NoError(b, err)
	b.Cleanup(l.Close)
	return l
}

// From the call of release by one process until another one, which waits, has the
// lock.
func BenchmarkWakeUp(b *testing.B) {
	srv := single(b)
	first, second := ours(b, srv.Client(b, steady)), ours(b, srv.Client(b, steady))
	one, other := rueidisLocker(b, srv), rueidisLocker(b, srv)
	client := bsm.New(srv.Client(b, steady))
	retry := &bsm.Options{RetryStrategy: bsm.LinearBackoff(100 * time.Millisecond)}
	rs := redsync.New(redsyncgo.NewPool(srv.Client(b, steady)))
	compare(b,
		wake("reprise", func(ctx context.Context, n int) (func(), error) {
			le, err := []*lock.Locker{first, second}[n%2].Lock(ctx, "ours")
			return func() { check(b, le.Release(ctx)) }, err
		}),
		wake("bsm", func(ctx context.Context, _ int) (func(), error) {
			held, err := client.Obtain(ctx, "bsm", lease, retry)
			return func() { check(b, held.Release(ctx)) }, err
		}),
		wake("redsync", func(ctx context.Context, _ int) (func(), error) {
			m := rs.NewMutex("redsync", redsync.WithExpiry(lease), redsync.WithTries(1000))
			return func() { _, _ = m.UnlockContext(ctx) }, m.LockContext(ctx)
		}),
		wake("rueidislock", func(ctx context.Context, n int) (func(), error) {
			_, cancel, err := []rueidislock.Locker{one, other}[n%2].WithContext(ctx, "rueidislock")
			return cancel, err
		}),
	)
}

// handovers is how often a round of wake passes a lock on.
const handovers = 10

// wake passes one lock to and fro between two processes.
func wake(name string, acquire func(ctx context.Context, n int) (release func(), err error)) way {
	return way{name, func(b *testing.B) time.Duration {
		b.Helper()
		release, err := acquire(b.Context(), 0)
		require.NoError(b, err)
		var total time.Duration
		for n := 1; n <= handovers; n++ {
			var next func()
			var woken time.Time
			got := make(chan error, 1)
			go func() {
				var err error
				next, err = acquire(b.Context(), n)
				woken = time.Now()
				got <- err
			}()
			time.Sleep(20 * time.Millisecond) // it waits by now
			began := time.Now()
			release()
			require.NoError(b, <-got)
			total += woken.Sub(began)
			release = next
		}
		release()
		return total / handovers
	}}
}
