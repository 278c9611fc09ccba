package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/lease"
)

const day = int64(24 * time.Hour)

func TestF59F62ClockJumpIsConfirmedAtOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		jump int64
	}{
		{"forward, as after a suspend", day},
		{"back", -day},
		{"just above the grace", int64(length/lease.Grace) + 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage) {
				h := s.hold(1)
				pass(length / 10)
				s.jump.Store(tt.jump)
				assert.False(t, h.Held(), "not before it is confirmed")
				pass(0)
				assert.Len(t, s.calls(), 1, "asking is enough to have it renewed")
				assert.True(t, h.Held())

				s.jump.Store(0)
				pass(time.Second)
				assert.Len(t, s.calls(), 2, "noticed within a second without being asked")
				assert.True(t, h.Held())
				pass(3 * length)
				assert.True(t, h.Held())
				assert.Empty(t, h.reasons())
				assert.Less(t, len(s.calls()), 13, "back to the usual pace")
			})
		})
	}
}

func TestClockJumpWithinTheGraceIsBorne(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h := s.hold(1)
		s.jump.Store(int64(length / lease.Grace))
		assert.True(t, h.Held())
		pass(length / 3)
		assert.Empty(t, s.calls())
		assert.True(t, h.Held())
	})
}

func TestClockThatIsSlewedFarEnoughIsNoticed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		s.hold(1)
		for range 8 {
			s.jump.Add(int64(length / lease.Grace / 4))
			pass(time.Second)
		}
		assert.Len(t, s.calls(), 1)
	})
}

func TestClockJumpThatTheBackendDeniesIsALoss(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h := s.hold(1)
		s.take(1)
		s.jump.Store(day)
		pass(time.Second)
		assert.Equal(t, []lease.Reason{lease.ReasonLost}, h.reasons())
	})
}

func TestClockJumpUnconfirmedWithinTheGraceIsALoss(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"error", "hang"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage) {
				s.setBefore(func(ctx context.Context, items []int) error {
					if name == "hang" {
						return hang(ctx, items)
					}
					return errDown
				})
				h := s.hold(1)
				s.jump.Store(-day)
				pass(time.Second)
				assert.False(t, h.Held())
				assert.Empty(t, h.reasons(), "one failure is not a loss")
				pass(length / lease.Grace)
				assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, h.reasons())
				assert.Greater(t, len(s.calls()), 1, "tried more than once")
			})
		})
	}
}

func TestClockJumpBackAndForthStillNeedsConfirmation(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		s.setBefore(hang)
		h := s.hold(1)
		pass(length / 10)
		s.jump.Store(day)
		pass(time.Second)
		s.jump.Store(0)
		assert.False(t, h.Held())
		s.setBefore(nil)
		pass(time.Second)
		assert.True(t, h.Held())
		assert.Empty(t, h.reasons())
	})
}

func TestCallFromBeforeTheJumpDoesNotSettleIt(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		release := make(chan struct{})
		s.setBefore(func(context.Context, []int) error {
			if len(s.calls()) == 1 {
				<-release
			}
			return nil
		})
		h := s.hold(1)
		for len(s.calls()) == 0 {
			pass(10 * time.Millisecond)
		}
		s.jump.Store(day)
		assert.False(t, h.Held())
		pass(0)
		require.Len(t, s.calls(), 2, "a second call does not wait for the first")
		assert.True(t, h.Held())
		close(release)
		pass(0)
		assert.True(t, h.Held(), "the older reply changes nothing")
		assert.Len(t, s.calls(), 2)
	})
}

func TestLateReplyFromBeforeTheJumpDoesNotSettleIt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		later trouble // what befalls the calls after the late reply
		want  []lease.Reason
	}{
		{name: "confirmed by the next call"},
		{name: "never confirmed", later: hang, want: []lease.Reason{lease.ReasonUnconfirmed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage) { lateReplyAfterJump(t, s, tt.later, tt.want) })
		})
	}
}

// lateReplyAfterJump has one call under way when the clock jumps, two more fail,
// and then the first is answered.
func lateReplyAfterJump(t *testing.T, s *stage, later trouble, want []lease.Reason) {
	release := make(chan struct{})
	s.setBefore(func(context.Context, []int) error {
		if len(s.calls()) > 1 {
			return errDown
		}
		<-release
		return nil
	})
	h := s.hold(1)
	for len(s.calls()) == 0 {
		pass(10 * time.Millisecond)
	}
	s.jump.Store(day)
	assert.False(t, h.Held())
	start := time.Now()
	pass(0)
	require.Len(t, s.calls(), 3, "a call, and its retry")
	pass(length / 100)

	s.setBefore(later)
	close(release)
	pass(0)
	require.Len(t, s.calls(), 4, "what is confirmed is from before the jump: asked again, at once")
	assert.Equal(t, want == nil, h.Held())
	pass(length / lease.Grace)
	assert.Equal(t, want, h.reasons())
	if want != nil {
		assert.Equal(t, s.calls()[0].Add(length-margin), h.Deadline(), "it counts for the deadline")
		assert.Equal(t, length/lease.Grace, h.toldAt.Sub(start), "the late reply buys no time")
	}
}

func TestReplyFromBeforeTheJumpDoesNotSettleIt(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		s.setAfter(func(context.Context, []int) error {
			if len(s.calls()) == 1 {
				s.jump.Store(day)
			}
			return nil
		})
		h := s.hold(1)
		pass(length / 2)
		assert.Len(t, s.calls(), 2, "renewed again, at once")
		assert.True(t, h.Held())
	})
}

func TestClockJumpConcernsOnlyLeasesFromBeforeIt(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h := s.hold(1)
		s.jump.Store(day)
		other := s.hold(2)
		assert.True(t, other.Held(), "claimed after the jump")
		assert.False(t, h.Held())
		pass(0)
		assert.True(t, h.Held())
		assert.Equal(t, 1, s.renewed(1))
		assert.Zero(t, s.renewed(2))
	})
}

func TestClockJumpDuringTheClaimIsConfirmed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		since := time.Now()
		pass(time.Second)
		s.dog.SetWall(func(now time.Time) int64 {
			if now.Equal(since) {
				return now.UnixNano()
			}
			return now.UnixNano() + day
		})
		h := s.holdWith(1, lease.Spec{Since: since})
		assert.False(t, h.Held())
		pass(0)
		assert.Len(t, s.calls(), 1)
		assert.True(t, h.Held())
	})
}

func TestClockJumpAfterTheMaximumHoldIsNotRenewed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h := s.holdWith(1, lease.Spec{MaxHold: time.Second})
		pass(2 * time.Second)
		s.jump.Store(day)
		pass(time.Second + length/lease.Grace)
		assert.Equal(t, []lease.Reason{lease.ReasonMaxHold}, h.reasons())
		assert.Empty(t, s.calls())
	})
}
