package lock_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/memlock"
)

// quiet is a backend without notifications.
type quiet struct{ lock.Backend }

func TestLockWaitsForTheRelease(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		first := tryLock(t, l, "k")
		time.AfterFunc(10*time.Second, func() { assert.NoError(t, first.Release(context.Background())) })
		began := time.Now()
		second, err := l.Lock(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, 10*time.Second, time.Since(began), "it is woken and does not poll")
		assert.Greater(t, second.Token(), first.Token())
		require.NoError(t, second.Release(t.Context()))
	})
}

func TestLockWaitsForTheEndOfADeadHoldersLease_F04(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		_, err := s.Backend.Acquire(t.Context(), lock.NewID("k"), lock.Claim{Owner: lock.NewOwner(), Lease: length})
		require.NoError(t, err)
		began := time.Now()
		le, err := l.Lock(t.Context(), "k")
		require.NoError(t, err)
		assert.GreaterOrEqual(t, time.Since(began), length)
		assert.Less(t, time.Since(began), length+50*time.Millisecond)
		require.NoError(t, le.Release(t.Context()))
	})
}

func TestLostNotificationCostsARecheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memlock.New()
		deaf := struct {
			lock.Backend
			lock.Notifier
		}{s, deafness{}}
		l := open(t, deaf)
		first := tryLock(t, l, "k")
		time.AfterFunc(10*time.Second, func() { assert.NoError(t, first.Release(context.Background())) })
		began := time.Now()
		le, err := l.Lock(t.Context(), "k")
		require.NoError(t, err)
		assert.LessOrEqual(t, time.Since(began), 12500*time.Millisecond)
		require.NoError(t, le.Release(t.Context()))
		require.NoError(t, l.Close())
	})
}

// deafness never signals.
type deafness struct{}

func (deafness) Watch(lock.ID) lock.Watch { return deafness{} }
func (deafness) Signals() <-chan struct{} { return nil }
func (deafness) Close()                   {}

func TestBackendThatDoesNotNotifyIsAskedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		l, elsewhere := open(t, quiet{s}), open(t, quiet{s})
		first := tryLock(t, elsewhere, "k")
		time.AfterFunc(10*time.Second, func() { assert.NoError(t, first.Release(context.Background())) })
		began := time.Now()
		le, err := l.Lock(t.Context(), "k")
		require.NoError(t, err)
		assert.LessOrEqual(t, time.Since(began), 10250*time.Millisecond)
		assert.Less(t, s.count("acquire"), 80)

		// A release in this process is heard all the same.
		time.AfterFunc(10*time.Second, func() { assert.NoError(t, le.Release(context.Background())) })
		began = time.Now()
		le, err = l.Lock(t.Context(), "k")
		require.NoError(t, err)
		assert.LessOrEqual(t, time.Since(began), 10005*time.Millisecond)
		require.NoError(t, le.Release(t.Context()))
		require.NoError(t, l.Close())
		require.NoError(t, elsewhere.Close())
	})
}

func TestWaitersGetTheLockInTheOrderOfTheirArrival(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		first := tryLock(t, l, "k")
		var order []int
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				assert.NoError(t, l.Do(t.Context(), "k", func(context.Context) error {
					order = append(order, i)
					return nil
				}))
			})
			synctest.Wait()
		}
		require.NoError(t, first.Release(t.Context()))
		all.Wait()
		for i := range order {
			assert.Equal(t, i, order[i])
		}
		assert.Len(t, order, 20)
	})
}

// F78: however many wait, they cost what one does.
func TestTenThousandWaitersCostWhatOneDoes_F78(t *testing.T) {
	t.Parallel()
	const waiters = 10_000
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		first := tryLock(t, l, "k")
		var all sync.WaitGroup
		inside, served := 0, 0
		for range waiters {
			all.Go(func() {
				assert.NoError(t, l.Do(t.Context(), "k", func(context.Context) error {
					inside++
					assert.Equal(t, 1, inside)
					served++
					inside--
					return nil
				}))
			})
		}
		synctest.Wait()
		before := s.count("acquire")
		assert.LessOrEqual(t, before, 3)
		pass(20 * time.Second)
		assert.LessOrEqual(t, s.count("acquire")-before, 20, "they ask once in a while, together")
		before = s.count("acquire")
		require.NoError(t, first.Release(t.Context()))
		all.Wait()
		assert.Equal(t, waiters, served)
		assert.LessOrEqual(t, s.count("acquire")-before, 2*waiters)
	})
}

func TestWaitersAreBounded(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		first := tryLock(t, l, "k")
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				_, err := l.Lock(ctx, "k")
				assert.ErrorIs(t, err, context.Canceled)
				assert.ErrorIs(t, err, lock.ErrHeld)
			})
		}
		synctest.Wait()
		_, err := l.Lock(t.Context(), "k")
		require.ErrorIs(t, err, lock.ErrHeld)
		le := tryLock(t, l, "other")
		_, err = l.Lock(t.Context(), "other")
		require.ErrorIs(t, err, lock.ErrHeld, "the bound is for all locks")
		cancel()
		all.Wait()
		require.NoError(t, first.Release(t.Context()))
		require.NoError(t, le.Release(t.Context()))
		assert.True(t, s.free(t, "k"))
	}, lock.MaxWaiters(3))
}

func TestWaitEnds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		first := tryLock(t, l, "k")
		began := time.Now()
		_, err := l.Lock(t.Context(), "k")
		require.ErrorIs(t, err, lock.ErrHeld)
		assert.Equal(t, 3*time.Second, time.Since(began))
		var held *lock.HeldError
		require.ErrorAs(t, err, &held)
		assert.Positive(t, held.Left)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		_, err = l.Lock(ctx, "k")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, lock.ErrHeld)
		assert.Equal(t, time.Second, time.Since(began))
		require.NoError(t, first.Release(t.Context()))
		pass(time.Minute)
		assert.True(t, s.free(t, "k"))
	}, lock.MaxWait(3*time.Second))
}

func TestWaitersOutlastAnOutage(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		first := tryLock(t, l, "k")
		var second *lock.Lease
		var all sync.WaitGroup
		all.Go(func() {
			var err error
			second, err = l.Lock(t.Context(), "k")
			assert.NoError(t, err)
		})
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := l.Lock(ctx, "k")
			assert.ErrorIs(t, err, lock.ErrUnavailable)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
		pass(time.Second)
		s.ever("acquire", lostReply)
		pass(5 * time.Second)
		require.NoError(t, first.Release(t.Context()))
		pass(5 * time.Second)
		s.ever("acquire", nil)
		all.Wait()
		require.NoError(t, second.Context().Err(), "its claims without replies were its own")
		require.NoError(t, second.Release(t.Context()))
		assert.True(t, s.free(t, "k"))
	})
}

func TestLockFailsWhenTheBackendHasNeverAnswered(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{
		"error": func(context.Context, func(context.Context)) error { time.Sleep(time.Millisecond); return errDown },
		"hang":  hang,
		"panic": func(context.Context, func(context.Context)) error { time.Sleep(time.Millisecond); panic("x") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
				s.ever("acquire", f)
				var all sync.WaitGroup
				for range 10 {
					all.Go(func() {
						_, err := l.Lock(t.Context(), "k")
						assert.ErrorIs(t, err, lock.ErrUnavailable)
					})
				}
				all.Wait()
				assert.Equal(t, 2, s.count("acquire"), "one call that fails must not fail them all")
			})
		})
	}
}

func TestBackendThatEndsTheGoroutineStrandsNobody(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		s.ever("acquire", func(context.Context, func(context.Context)) error { runtime.Goexit(); return nil })
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { _, _ = l.Lock(t.Context(), "k") })
		}
		all.Wait()
	})
}

// A waiter that leaves in the moment in which it is given the lock passes it on.
func TestLockOfALeaverGoesToTheNext(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		for range 50 {
			first := tryLock(t, l, "k")
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			all.Go(func() {
				if le, err := l.Lock(ctx, "k"); err == nil {
					assert.NoError(t, le.Release(t.Context()))
				}
			})
			synctest.Wait()
			all.Go(func() { assert.NoError(t, l.Do(t.Context(), "k", func(context.Context) error { return nil })) })
			all.Go(cancel)
			all.Go(func() { assert.NoError(t, first.Release(t.Context())) })
			all.Wait()
			synctest.Wait()
			assert.True(t, s.free(t, "k"))
		}
	})
}
