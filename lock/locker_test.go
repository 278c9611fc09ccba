package lock_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/memlock"
)

func TestNewNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		backend lock.Backend
		opts    []lock.Option
		want    string
	}{
		{"no backend", nil, nil, "no backend"},
		{"nil option", memlock.New(), []lock.Option{nil}, "nil option"},
		{"short lease", memlock.New(), []lock.Option{lock.LeaseTime(99 * time.Millisecond)}, "LeaseTime"},
		{"long lease", memlock.New(), []lock.Option{lock.LeaseTime(25 * time.Hour)}, "LeaseTime"},
		{"short hold", memlock.New(), []lock.Option{lock.MaxHold(time.Second)}, "MaxHold"},
		{"no wait", memlock.New(), []lock.Option{lock.MaxWait(0)}, "MaxWait"},
		{"no recheck", memlock.New(), []lock.Option{lock.Recheck(0)}, "Recheck"},
		{"long recheck", memlock.New(), []lock.Option{lock.Recheck(time.Hour)}, "Recheck"},
		{"long call", memlock.New(), []lock.Option{lock.CallTimeout(11 * time.Second)}, "CallTimeout"},
		{"negative call", memlock.New(), []lock.Option{lock.CallTimeout(-1)}, "CallTimeout"},
		{"no waiters", memlock.New(), []lock.Option{lock.MaxWaiters(0)}, "MaxWaiters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := lock.New(tt.backend, tt.opts...)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestTryLockTakesAFreeLockAndRefusesAHeldOne(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		first := tryLock(t, l, "k")
		assert.Positive(t, first.Token())
		assert.True(t, first.Held())
		assert.Equal(t, time.Now().Add(counted), first.Deadline())

		pass(time.Second)
		_, err := l.TryLock(t.Context(), "k")
		require.ErrorIs(t, err, lock.ErrHeld)
		var held *lock.HeldError
		require.ErrorAs(t, err, &held)
		assert.Equal(t, lock.NewID("k").Short(), held.ID)
		assert.Equal(t, length-time.Second, held.Left)
		assert.NotContains(t, err.Error(), "\"k\"")

		other := tryLock(t, l, "other")
		require.NoError(t, other.Release(t.Context()))
		require.NoError(t, first.Release(t.Context()))
		second := tryLock(t, l, "k")
		assert.Greater(t, second.Token(), first.Token())
		require.NoError(t, second.Release(t.Context()))
	})
}

func TestNothingIsAskedForNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		_, err := l.TryLock(t.Context(), "")
		require.ErrorIs(t, err, lock.ErrInvalid)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errDown)
		_, err = l.TryLock(ctx, "k")
		require.ErrorIs(t, err, errDown)
		_, err = l.Lock(ctx, "k")
		require.ErrorIs(t, err, errDown)
		assert.Zero(t, s.count("acquire"))
	})
}

func TestDoRunsUnderTheLock(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		err := l.Do(t.Context(), "k", func(ctx context.Context) error {
			le, ok := lock.FromContext(ctx)
			assert.True(t, ok)
			assert.Positive(t, le.Token())
			assert.False(t, s.free(t, "k"))
			return errDown
		})
		require.Equal(t, errDown, err)
		assert.True(t, s.free(t, "k"))
		_, ok := lock.FromContext(t.Context())
		assert.False(t, ok)
	})
}

func TestDoReleasesAfterAPanicAndAnEndOfTheGoroutine(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		assert.PanicsWithValue(t, "x", func() {
			_ = l.Do(t.Context(), "k", func(context.Context) error { panic("x") })
		})
		assert.True(t, s.free(t, "k"))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = l.Do(t.Context(), "k", func(context.Context) error { runtime.Goexit(); return nil })
		}()
		<-done
		assert.True(t, s.free(t, "k"))
	})
}

func TestDoSaysThatTheLockWasLost(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		err := l.Do(t.Context(), "k", func(ctx context.Context) error {
			s.ever("renew", hang)
			<-ctx.Done()
			assert.ErrorIs(t, context.Cause(ctx), lock.ErrLost)
			return nil
		})
		require.ErrorIs(t, err, lock.ErrLost)
		require.ErrorContains(t, err, "unconfirmed")
	})
}

func TestDoIsNotFailedByAReleaseWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		s.will("release", lostRequest)
		require.NoError(t, l.Do(t.Context(), "k", func(context.Context) error { return nil }))
		assert.False(t, s.free(t, "k"))
		pass(100 * time.Millisecond)
		assert.True(t, s.free(t, "k"))
	})
}

func TestLockInsideItsOwnLeaseDoesNotWaitForItself(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		inner, err := l.Lock(le.Context(), "other")
		require.NoError(t, err)
		_, err = l.Lock(inner.Context(), "k")
		require.ErrorIs(t, err, lock.ErrHeld)
		require.NoError(t, le.Release(t.Context()))
		again, err := l.Lock(context.WithoutCancel(inner.Context()), "k")
		require.NoError(t, err)
		require.NoError(t, again.Release(t.Context()))
		require.NoError(t, inner.Release(t.Context()))
	})
}

// F80: after the end nothing is taken, and what is held is told.
func TestCloseEndsEverythingNow_F80(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		waited := make(chan error)
		go func() {
			_, err := l.Lock(t.Context(), "k")
			waited <- err
		}()
		synctest.Wait()
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-waited, lock.ErrClosed)
		require.ErrorIs(t, context.Cause(le.Context()), lock.ErrLost)
		require.ErrorIs(t, context.Cause(le.Context()), lock.ErrClosed)
		assert.False(t, le.Held())
		assert.False(t, s.free(t, "k"), "its holder may still run")

		_, err := l.TryLock(t.Context(), "other")
		require.ErrorIs(t, err, lock.ErrClosed)
		_, err = l.Lock(t.Context(), "other")
		require.ErrorIs(t, err, lock.ErrClosed)
		require.ErrorIs(t, le.Extend(t.Context()), lock.ErrLost)
		require.ErrorIs(t, le.Release(t.Context()), lock.ErrClosed)
		assert.True(t, s.free(t, "k"))
		require.NoError(t, l.Close())
	})
}

func TestShutdownWaitsForHolders_F10(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		go func() {
			time.Sleep(2 * length)
			assert.NoError(t, le.Release(t.Context()))
		}()
		began := time.Now()
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Equal(t, 2*length, time.Since(began))
		assert.True(t, s.free(t, "k"))
	})
}

func TestShutdownIsCutShortByItsContext(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := l.Shutdown(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "still held")
		require.ErrorIs(t, context.Cause(le.Context()), lock.ErrClosed)
	})
}

func TestHooksSeeWhatHappens(t *testing.T) {
	t.Parallel()
	var acquired []lock.Acquisition
	var lost []lock.Loss
	var released []lock.Handback
	hooks := lock.Hooks{
		Acquired: func(_ context.Context, a lock.Acquisition) { acquired = append(acquired, a); panic("contained") },
		Lost:     func(l lock.Loss) { lost = append(lost, l); panic("contained") },
		Released: func(h lock.Handback) { released = append(released, h); panic("contained") },
	}
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		id := lock.NewID("k").Short()
		le := tryLock(t, l, "k")
		assert.Equal(t, []lock.Acquisition{{ID: id, Token: le.Token()}}, acquired)
		s.ever("renew", lostRequest)
		pass(length)
		assert.Equal(t, []lock.Loss{{ID: id, Token: le.Token(), Reason: "unconfirmed", Held: counted}}, lost)
		s.will("release", lostRequest)
		require.ErrorIs(t, le.Release(t.Context()), lock.ErrLost)
		pass(time.Second)
		require.Len(t, released, 2)
		require.ErrorIs(t, released[0].Err, lock.ErrUnavailable)
		assert.Equal(t, lock.Handback{ID: id, Late: true}, released[1])
	}, lock.Observe(hooks))
}
