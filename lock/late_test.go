package lock_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
)

// lateClaims are the ways in which a claim without an answer reaches the backend:
// the first release comes 50 ms after the claim was given up.
var lateClaims = []struct {
	name  string
	fault fault
}{
	{"never executed", lostRequest},
	{"executed at once", lostReply},
	{"executed before the release", late(20 * time.Millisecond)},
	{"executed after the release", late(300 * time.Millisecond)},
	{"hangs", hang},
}

func TestClaimWithoutAnAnswerLeavesNothingBehind_F23_F28(t *testing.T) {
	t.Parallel()
	for _, tt := range lateClaims {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
				s.will("acquire", tt.fault)
				_, err := l.TryLock(t.Context(), "k")
				require.ErrorIs(t, err, lock.ErrUnavailable)
				pass(time.Second)
				assert.True(t, s.free(t, "k"))
				pass(2 * length)
				assert.LessOrEqual(t, s.count("release"), 2)
			})
		})
	}
}

func TestReleaseOfAnUnclearClaimIsRepeatedWhileTheBackendIsDown_F23(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		s.will("acquire", lostReply)
		s.ever("release", hang)
		_, err := l.TryLock(t.Context(), "k")
		require.ErrorIs(t, err, lock.ErrUnavailable)
		pass(5 * time.Second)
		assert.False(t, s.free(t, "k"))
		s.ever("release", nil)
		pass(5 * time.Second)
		assert.True(t, s.free(t, "k"))
	})
}

// The trace of a release is kept for ten seconds. A claim that arrives later than
// that is released when its lease would have been over.
func TestClaimThatArrivesAfterItsTraceIsReleasedInTheEnd_F28(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		s.will("acquire", late(20*time.Second))
		_, err := l.TryLock(t.Context(), "k")
		require.ErrorIs(t, err, lock.ErrUnavailable)
		pass(15 * time.Second)
		other := tryLock(t, l, "other")
		for i := range 50 { // claims free what is over
			le := tryLock(t, l, fmt.Sprint("more ", i))
			require.NoError(t, le.Release(t.Context()))
		}
		require.NoError(t, other.Release(t.Context()))
		pass(length - 15*time.Second + time.Millisecond)
		assert.True(t, s.free(t, "k"))
	})
}

// F29: a deadline of the caller's ends the call, and what came of it.
func TestDeadlineLeavesNoLockBehind_F29(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		s.will("acquire", func(ctx context.Context, execute func(context.Context)) error {
			execute(ctx)
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := l.TryLock(ctx, "k")
		require.ErrorIs(t, err, lock.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 50*time.Millisecond, time.Since(began))
		pass(100 * time.Millisecond)
		assert.True(t, s.free(t, "k"))
	})
}

func TestCallerThatHasGoneGetsNoLock(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		ctx, cancel := context.WithCancelCause(t.Context())
		s.will("acquire", slow(100*time.Millisecond))
		time.AfterFunc(50*time.Millisecond, func() { cancel(errDown) })
		_, err := l.TryLock(ctx, "k")
		require.ErrorIs(t, err, errDown)
		pass(time.Millisecond)
		assert.True(t, s.free(t, "k"))
	})
}

// F07: a process that paused between the claim and its answer.
func TestAnswerAfterTheLeaseIsNoLock_F07(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		s.will("acquire", slow(length-time.Second))
		_, err := l.TryLock(t.Context(), "k")
		require.ErrorIs(t, err, lock.ErrUnavailable)
		assert.True(t, s.free(t, "k"))
	})
}

func TestClaimThatSurelyWasNotExecutedIsNotReleased(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		s.will("acquire", func(context.Context, func(context.Context)) error { return lock.ErrNotExecuted })
		_, err := l.TryLock(t.Context(), "k")
		require.ErrorIs(t, err, lock.ErrUnavailable)
		pass(2 * length)
		assert.Zero(t, s.count("release"))
	})
}

func TestShutdownWaitsForUnclearClaims_F10(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		s.will("acquire", lostReply)
		s.will("release", lostRequest)
		_, err := l.TryLock(t.Context(), "k")
		require.ErrorIs(t, err, lock.ErrUnavailable)
		require.NoError(t, l.Shutdown(t.Context()))
		assert.True(t, s.free(t, "k"))
	})
	bubble(t, func(t *testing.T, s *stage, l *lock.Locker) {
		s.will("acquire", lostReply)
		s.ever("release", hang)
		_, err := l.TryLock(t.Context(), "k")
		require.ErrorIs(t, err, lock.ErrUnavailable)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, l.Shutdown(ctx), context.DeadlineExceeded)
	})
}
