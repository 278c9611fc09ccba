package lease_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/lease"
)

func TestCloseTellsWhoeverStillHolds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		s.setBefore(hang)
		a, b, c := s.hold(1), s.hold(2), s.hold(3)
		for len(s.calls()) == 0 {
			pass(100 * time.Millisecond)
		}
		c.finish()
		start := time.Now()
		require.NoError(t, s.dog.Close())
		assert.Equal(t, start, time.Now(), "the call under way is cancelled")
		assert.Equal(t, []lease.Reason{lease.ReasonClosed}, a.reasons())
		assert.Equal(t, []lease.Reason{lease.ReasonClosed}, b.reasons())
		assert.Empty(t, c.reasons())
		assert.False(t, a.Held())

		late := s.hold(4)
		assert.Equal(t, []lease.Reason{lease.ReasonClosed}, late.reasons())
		assert.False(t, late.Held())
		assert.False(t, late.End())
		pass(2 * length)
		assert.Len(t, s.calls(), 1)
		require.NoError(t, s.dog.Close(), "closing twice is allowed")
	})
}

func TestCloseOfAnUnusedWatchdogReturns(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		require.NoError(t, s.dog.Close())
	})
}

func TestCloseWaitsForDeafCallsOnlySoLong(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		release := make(chan struct{})
		s.setBefore(func(context.Context, []int) error {
			<-release
			return errDown
		})
		h := s.hold(1)
		for len(s.calls()) == 0 {
			pass(100 * time.Millisecond)
		}
		start := time.Now()
		require.ErrorIs(t, s.dog.Close(), lease.ErrHung)
		assert.Equal(t, 500*time.Millisecond, time.Since(start))
		assert.Equal(t, []lease.Reason{lease.ReasonClosed}, h.reasons())
		close(release)
	})
}

func TestLoopRunsOnlyWhileLeasesAreWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dog, err := lease.New(lease.Config[int]{
			Renew: func(context.Context, []int) []lease.Result { return nil },
		})
		require.NoError(t, err)
		for range 3 {
			dog.Watch(1, lease.Spec{Lease: length, Since: time.Now()}).End()
			time.Sleep(2 * time.Second)
		}
		// Without Close: the bubble fails if a goroutine is left.
	})
}

func TestMisbehavingLostHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		lost func(lease.Reason)
	}{
		{"panic", func(lease.Reason) { panic("boom") }},
		{"goroutine ended", func(lease.Reason) { runtime.Goexit() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage) {
				bad := []*holder{
					s.holdWith(1, lease.Spec{Lost: tt.lost}),
					s.holdWith(2, lease.Spec{Lost: tt.lost}),
				}
				good := s.hold(3)
				for item := 1; item <= 3; item++ {
					s.take(item)
				}
				pass(length / 2)
				for _, h := range append(bad, good) {
					assert.Equal(t, []lease.Reason{lease.ReasonLost}, h.reasons())
				}
				// On the loop instead of a call.
				s.setBefore(hang)
				bad = append(bad[:0], s.holdWith(4, lease.Spec{Lost: tt.lost}), s.holdWith(5, lease.Spec{Lost: tt.lost}))
				pass(length)
				for _, h := range bad {
					assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, h.reasons())
				}
				s.setBefore(nil)
				after := s.hold(6)
				pass(2 * length)
				assert.True(t, after.Held())
			})
		})
	}
}

func TestF81DeathOfTheLoopLosesEveryLease(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	cfg := lease.Config[int]{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	bubbleWith(t, cfg, func(t *testing.T, s *stage) {
		var broken atomic.Bool
		s.dog.SetWall(func(now time.Time) int64 {
			if broken.Load() {
				panic("clock is broken")
			}
			return now.UnixNano()
		})
		a, b := s.hold(1), s.hold(2)
		pass(time.Second / 2)
		broken.Store(true)
		pass(time.Second)
		assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, a.reasons())
		assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, b.reasons())
		assert.False(t, a.Held())
		assert.Contains(t, log.String(), "watchdog died")
		assert.Contains(t, log.String(), "clock is broken")

		broken.Store(false)
		h := s.hold(3)
		pass(2 * length)
		assert.True(t, h.Held(), "the next lease starts a new loop")
	})
}

func TestFailuresAreLoggedOncePerCall(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	cfg := lease.Config[int]{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	bubbleWith(t, cfg, func(t *testing.T, s *stage) {
		s.setBefore(func(context.Context, []int) error { return firstOnly(s, errDown) })
		s.hold(1)
		s.hold(2)
		pass(length / 2)
		assert.Equal(t, 1, bytes.Count(log.Bytes(), []byte("\n")))
		assert.Contains(t, log.String(), `failed=2 of=2 error="backend is down"`)
	})
}

func TestPanickingLoggerIsContained(t *testing.T) {
	t.Parallel()
	cfg := lease.Config[int]{Logger: slog.New(panicHandler{slog.DiscardHandler})}
	bubbleWith(t, cfg, func(t *testing.T, s *stage) {
		s.setBefore(func(context.Context, []int) error { return firstOnly(s, errDown) })
		h := s.hold(1)
		pass(2 * length)
		assert.True(t, h.Held())
	})
}

type panicHandler struct{ slog.Handler }

func (panicHandler) Enabled(context.Context, slog.Level) bool { panic("logger is broken") }
