package locks_test

import (
	"context"
	"testing"
	"time"

	bsm "github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	redsyncgo "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
)

const lease = 30 * time.Second

// Acquire and release of locks of their own. Ours watches over the lease and gives a
// fencing token, the others do not; rueidislock pipelines by itself.
func BenchmarkAcquireRelease(b *testing.B) {
	srv := single(b)
	l := ours(b, srv.Client(b, steady))
	parallel(b, "reprise", func(key string) error {
		le, err := l.TryLock(b.Context(), key)
		if err != nil {
			return err
		}
		return le.Release(b.Context())
	})
	client := bsm.New(srv.Client(b, steady))
	parallel(b, "bsm", func(key string) error {
		held, err := client.Obtain(b.Context(), "bsm "+key, lease, nil)
		if err != nil {
			return err
		}
		return held.Release(b.Context())
	})
	rs := redsync.New(redsyncgo.NewPool(srv.Client(b, steady)))
	parallel(b, "redsync", func(key string) error {
		m := rs.NewMutex("redsync "+key, redsync.WithExpiry(lease))
		if err := m.TryLockContext(b.Context()); err != nil {
			return err
		}
		_, err := m.UnlockContext(b.Context())
		return err
	})
	other := rueidisLocker(b, srv)
	parallel(b, "rueidislock", func(key string) error {
		_, cancel, err := other.TryWithContext(b.Context(), key)
		if err != nil {
			return err
		}
		cancel()
		return nil
	})
}

func rueidisLocker(b *testing.B, srv *redistest.Server) rueidislock.Locker {
	b.Helper()
	l, err := rueidislock.NewLocker(rueidislock.LockerOption{
		KeyMajority: 1, KeyValidity: lease, NoLoopTracking: true,
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
	b.Run("reprise", func(b *testing.B) {
		first, second := ours(b, srv.Client(b, steady)), ours(b, srv.Client(b, steady))
		wake(b, func(ctx context.Context, n int) (func(), error) {
			l := first
			if n%2 == 1 {
				l = second
			}
			le, err := l.Lock(ctx, "k")
			if err != nil {
				return nil, err
			}
			return func() { _ = le.Release(ctx) }, nil
		})
	})
	b.Run("bsm", func(b *testing.B) {
		client := bsm.New(srv.Client(b, steady))
		opts := &bsm.Options{RetryStrategy: bsm.LinearBackoff(100 * time.Millisecond)}
		wake(b, func(ctx context.Context, _ int) (func(), error) {
			held, err := client.Obtain(ctx, "k", lease, opts)
			if err != nil {
				return nil, err
			}
			return func() { _ = held.Release(ctx) }, nil
		})
	})
	b.Run("redsync", func(b *testing.B) {
		rs := redsync.New(redsyncgo.NewPool(srv.Client(b, steady)))
		wake(b, func(ctx context.Context, _ int) (func(), error) {
			m := rs.NewMutex("k", redsync.WithExpiry(lease), redsync.WithTries(1000))
			if err := m.LockContext(ctx); err != nil {
				return nil, err
			}
			return func() { _, _ = m.UnlockContext(ctx) }, nil
		})
	})
	b.Run("rueidislock", func(b *testing.B) {
		first, second := rueidisLocker(b, srv), rueidisLocker(b, srv)
		wake(b, func(ctx context.Context, n int) (func(), error) {
			l := first
			if n%2 == 1 {
				l = second
			}
			_, cancel, err := l.WithContext(ctx, "k")
			return cancel, err
		})
	})
}

// wake passes one lock to and fro between two processes.
func wake(b *testing.B, acquire func(ctx context.Context, n int) (release func(), err error)) {
	b.Helper()
	release, err := acquire(b.Context(), 0)
	require.NoError(b, err)
	var total time.Duration
	b.ResetTimer()
	for n := 1; n <= b.N; n++ {
		type result struct {
			release func()
			at      time.Time
			err     error
		}
		got := make(chan result, 1)
		go func() {
			release, err := acquire(b.Context(), n)
			got <- result{release, time.Now(), err}
		}()
		time.Sleep(20 * time.Millisecond) // it waits by now
		began := time.Now()
		release()
		r := <-got
		require.NoError(b, r.err)
		total += r.at.Sub(began)
		release = r.release
	}
	release()
	b.ReportMetric(float64(total.Microseconds())/float64(b.N), "µs/wake")
	b.ReportMetric(0, "ns/op")
}
