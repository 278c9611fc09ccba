package lock_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
)

func TestLeaseIsRenewedUntilItIsReleased(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		pass(10 * length)
		assert.True(t, le.Held())
		require.NoError(t, le.Context().Err())
		assert.False(t, s.free(t, "k"))
		require.NoError(t, le.Release(t.Context()))
		assert.Equal(t, lock.ErrReleased, context.Cause(le.Context()))
		assert.True(t, s.free(t, "k"))
		renewals := s.count("renew")
		pass(10 * length)
		assert.Equal(t, renewals, s.count("renew"))
	})
}

func TestShortHoldCostsTwoCalls(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le, err := l.Lock(t.Context(), "k")
		require.NoError(t, err)
		pass(length / 3)
		require.NoError(t, le.Release(t.Context()))
		pass(2 * length)
		assert.Equal(t, []int{1, 0, 1}, []int{s.count("acquire"), s.count("renew"), s.count("release")})
	})
}

// The loss is heard before the backend could give the lock away, whatever the
// calls do.
func TestLossIsHeardBeforeTheLeaseLapses_F30(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"hang": hang, "error": lostRequest, "slow": slow(time.Minute)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
				le := tryLock(t, l, "k")
				taken := time.Now()
				if name != "slow" {
					s.ever("renew", f)
				} else {
					s.ever("renew", func(ctx context.Context, _ func(context.Context)) error {
						return f(ctx, func(context.Context) {})
					})
				}
				<-le.Context().Done()
				assert.Equal(t, counted, time.Since(taken))
				assert.False(t, s.free(t, "k"))
				require.ErrorIs(t, context.Cause(le.Context()), lock.ErrLost)
				require.ErrorIs(t, le.Release(t.Context()), lock.ErrLost)
				assert.True(t, s.free(t, "k"), "the release is sent all the same")
				pass(time.Minute)
			})
		})
	}
}

func TestOneLostRenewalDeposesNobody_F24(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"request": lostRequest, "reply": lostReply, "hang": hang} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
				le := tryLock(t, l, "k")
				s.will("renew", f, f)
				pass(3 * length)
				assert.True(t, le.Held())
				require.NoError(t, le.Release(t.Context()))
			})
		})
	}
}

func TestTakenLockIsLost(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		s.steal(t, "k", le)
		pass(length / 2)
		require.ErrorIs(t, context.Cause(le.Context()), lock.ErrLost)
		require.ErrorIs(t, le.Extend(t.Context()), lock.ErrLost)
		require.ErrorIs(t, le.Release(t.Context()), lock.ErrLost)
		assert.False(t, s.free(t, "k"), "the other's lock stays")
	})
}

func TestReleaseFindsOutThatTheLockWasTaken(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		s.steal(t, "k", le)
		require.ErrorIs(t, le.Release(t.Context()), lock.ErrLost)
	})
}

// Whoever works on in the lease's context has been told before the backend is, and
// nothing renews a lock that is being given back.
func TestLeaseIsOverBeforeTheBackendReleasesIt(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		s.will("release", func(ctx context.Context, execute func(context.Context)) error {
			assert.Equal(t, lock.ErrReleased, context.Cause(le.Context()))
			assert.False(t, le.Held())
			before := s.count("renew")
			time.Sleep(length / 2)
			assert.Equal(t, before, s.count("renew"))
			execute(context.WithoutCancel(ctx))
			return nil
		})
		require.NoError(t, le.Release(t.Context()))
	})
}

func TestMaximumHoldEndsTheLease(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		pass(2*length + time.Millisecond)
		require.ErrorIs(t, le.Extend(t.Context()), lock.ErrLost, "nothing prolongs it")
		pass(length)
		require.ErrorContains(t, context.Cause(le.Context()), "maximum hold")
		assert.True(t, s.free(t, "k"))
	}, lock.MaxHold(2*length))
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		pass(time.Hour)
		assert.True(t, le.Held())
	}, lock.MaxHold(lock.Unlimited))
}

func TestExtendMovesTheDeadline(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		pass(length / 4)
		require.NoError(t, le.Extend(t.Context()))
		assert.Equal(t, time.Now().Add(counted), le.Deadline())

		for _, f := range []fault{lostRequest, lostReply, hang} {
			pass(time.Second)
			s.will("renew", f)
			require.ErrorIs(t, le.Extend(t.Context()), lock.ErrUnavailable)
			assert.True(t, le.Held())
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errDown)
		require.ErrorIs(t, le.Extend(ctx), errDown)

		require.NoError(t, le.Release(t.Context()))
		require.ErrorIs(t, le.Extend(t.Context()), lock.ErrReleased)
	})
}

func TestExtendHearsOfTheLoss(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		s.steal(t, "k", le)
		require.ErrorIs(t, le.Extend(t.Context()), lock.ErrLost)
		require.ErrorIs(t, context.Cause(le.Context()), lock.ErrLost)
		assert.False(t, le.Held())
		require.ErrorIs(t, le.Extend(t.Context()), lock.ErrLost)
	})
}

// I6: a caller that has gone leaves no lock behind.
func TestReleaseIsDetachedAndIdempotent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		ctx, cancel := context.WithCancel(t.Context())
		le, err := l.TryLock(ctx, "k")
		require.NoError(t, err)
		cancel()
		assert.Equal(t, context.Canceled, context.Cause(le.Context()))
		pass(2 * length)
		assert.False(t, s.free(t, "k"), "it is held until it is released")
		require.NoError(t, le.Release(ctx))
		assert.True(t, s.free(t, "k"))
		require.NoError(t, le.Release(ctx))
		assert.Equal(t, 1, s.count("release"))
	})
}

func TestReleaseWithoutAnAnswerIsRepeated_F26(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"request": lostRequest, "reply": lostReply, "hang": hang} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
				le := tryLock(t, l, "k")
				s.will("release", f, f, f)
				require.ErrorIs(t, le.Release(t.Context()), lock.ErrUnavailable)
				assert.False(t, le.Held())
				pass(3 * time.Second)
				assert.True(t, s.free(t, "k"))
				assert.Equal(t, 4, s.count("release"))
				pass(2 * length)
				assert.Equal(t, 4, s.count("release"))
			})
		})
	}
}

func TestReleaseIsGivenUpWhenTheLeaseIsOver_F26(t *testing.T) {
	t.Parallel()
	var last lock.Handback
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		le := tryLock(t, l, "k")
		s.ever("release", lostRequest)
		require.ErrorIs(t, le.Release(t.Context()), lock.ErrUnavailable)
		pass(2 * length)
		assert.True(t, last.Late)
		require.ErrorIs(t, last.Err, lock.ErrUnavailable)
		sent := s.count("release")
		assert.Less(t, sent, 40)
		pass(length)
		assert.Equal(t, sent, s.count("release"))
		assert.True(t, s.free(t, "k"))
	}, lock.Observe(lock.Hooks{Released: func(h lock.Handback) { last = h }}))
}
