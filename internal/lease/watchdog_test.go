package lease_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/lease"
)

func TestNewNamesTheWrongField(t *testing.T) {
	t.Parallel()
	renew := func(context.Context, []int) []lease.Result { return nil }
	tests := []struct {
		name string
		cfg  lease.Config[int]
		want string
	}{
		{"no Renew", lease.Config[int]{}, "Renew"},
		{"negative batch", lease.Config[int]{Renew: renew, MaxBatch: -1}, "MaxBatch"},
		{"negative calls", lease.Config[int]{Renew: renew, MaxCalls: -1}, "MaxCalls"},
		{"negative timeout", lease.Config[int]{Renew: renew, CallTimeout: -1}, "CallTimeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := lease.New(tt.cfg)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestReasonsHaveNames(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "lost", lease.ReasonLost.String())
	assert.Equal(t, "unconfirmed", lease.ReasonUnconfirmed.String())
	assert.Equal(t, "maximum hold", lease.ReasonMaxHold.String())
	assert.Equal(t, "closed", lease.ReasonClosed.String())
	assert.Equal(t, "invalid", lease.Reason(0).String())
}

func TestL1LeaseIsRenewedThroughout(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h := s.holdWith(1, lease.Spec{Confirmed: 7})
		assert.Equal(t, int64(7), h.Confirmed())
		assert.Equal(t, length-margin, h.Deadline().Sub(h.since))

		pass(5 * length)
		assert.True(t, h.Held())
		assert.Empty(t, h.reasons())
		assert.True(t, time.Now().Before(s.end(1)))
		assert.InDelta(t, 13.5, s.renewed(1), 1.5, "one renewal per third of the lease and a little")
		calls := s.calls()
		last := calls[len(calls)-1]
		assert.Equal(t, last.Add(length-margin), h.Deadline())
		assert.Equal(t, last.UnixMicro(), h.Confirmed())

		h.finish()
		count := s.renewed(1)
		pass(2 * length)
		assert.Equal(t, count, s.renewed(1), "an ended lease is not renewed")
		assert.False(t, h.Held())
	})
}

func TestLeaseThatEndsWithinAThirdCausesNoCall(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		long := s.hold(0)
		for item := 1; item <= 300; item++ {
			h := s.hold(item)
			time.AfterFunc(length/3, h.finish)
			pass(137 * time.Millisecond)
		}
		pass(length)
		for item := 1; item <= 300; item++ {
			require.Zero(t, s.renewed(item), "also not in the batch of a neighbour")
		}
		assert.Positive(t, s.renewed(0))
		long.finish()
	})
}

func TestLostAnswerDeposesAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h, other := s.hold(1), s.hold(2)
		s.take(1)
		pass(length / 2)
		assert.Equal(t, []lease.Reason{lease.ReasonLost}, h.reasons())
		assert.Less(t, h.after(), length/2)
		assert.False(t, h.Held())
		assert.False(t, h.End(), "a lost lease cannot be ended any more")
		assert.Empty(t, other.reasons(), "the neighbour in the batch is not concerned")

		pass(5 * length)
		assert.Equal(t, 1, s.renewed(1), "a lost lease is not renewed")
		assert.Len(t, h.reasons(), 1)
		assert.True(t, other.Held())
	})
}

func TestL12F24OneFailureIsRetriedAtOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		before, after error
	}{
		{name: "command failed", before: errDown},
		{name: "reply lost", after: errDown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage) {
				s.setBefore(func(context.Context, []int) error { return firstOnly(s, tt.before) })
				s.setAfter(func(context.Context, []int) error { return firstOnly(s, tt.after) })
				h := s.hold(1)
				pass(length / 2)
				calls := s.calls()
				require.Len(t, calls, 2)
				assert.Equal(t, calls[0], calls[1], "no pause before the first retry")
				assert.Equal(t, calls[1].Add(length-margin), h.Deadline())
				pass(3 * length)
				assert.True(t, h.Held())
				assert.Empty(t, h.reasons())
			})
		})
	}
}

func firstOnly(s *stage, err error) error {
	if len(s.calls()) == 1 {
		return err
	}
	return nil
}

func TestL13UnconfirmedLeaseIsLostBeforeItCanHaveLapsed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		s.setBefore(func(context.Context, []int) error { return errDown })
		h := s.hold(1)
		pass(2 * length)
		assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, h.reasons())
		assert.Equal(t, length-margin, h.after())
		assert.True(t, h.since.Add(h.after()).Before(s.end(1)))

		calls := s.calls()
		assert.Greater(t, len(calls), 6, "tried while there is time")
		assert.Less(t, len(calls), 15, "with a pause that grows")
		for i := 2; i < len(calls); i++ {
			gap := calls[i].Sub(calls[i-1])
			assert.GreaterOrEqual(t, gap, length/60*3/4)
			assert.LessOrEqual(t, gap, length/10*5/4)
		}
	})
}

func TestBackendThatComesBackInTimeSavesTheLease(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h := s.hold(1)
		back := h.Deadline().Add(-length / 5)
		s.setBefore(func(context.Context, []int) error {
			if time.Now().Before(back) {
				return errDown
			}
			return nil
		})
		pass(4 * length)
		assert.True(t, h.Held())
		assert.Empty(t, h.reasons())
	})
}

func TestL14LeasesAfterAnOutageAreServed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		s.setBefore(hang)
		before := s.hold(1)
		pass(2 * length)
		assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, before.reasons())

		s.setBefore(nil)
		h := s.hold(2)
		pass(5 * length)
		assert.True(t, h.Held())
		assert.Empty(t, h.reasons())
	})
}

func TestL15RenewalStopsAtTheMaximumHold(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h := s.holdWith(1, lease.Spec{MaxHold: 2 * length})
		other := s.hold(2)
		pass(5 * length)
		assert.Equal(t, []lease.Reason{lease.ReasonMaxHold}, h.reasons())
		assert.Greater(t, h.after(), 2*length)
		assert.Less(t, h.after(), 3*length)
		assert.InDelta(t, 5, s.renewed(1), 1)
		assert.True(t, other.Held())
	})
}

func TestMaximumHoldShorterThanTheLeaseMeansNoRenewal(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h := s.holdWith(1, lease.Spec{MaxHold: time.Second})
		pass(2 * length)
		assert.Equal(t, []lease.Reason{lease.ReasonMaxHold}, h.reasons())
		assert.Equal(t, length-margin, h.after())
		assert.Empty(t, s.calls())
	})
}

func TestOutageAtTheMaximumHoldIsUnconfirmed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		s.setBefore(hang)
		h := s.holdWith(1, lease.Spec{MaxHold: length / 2})
		pass(2 * length)
		assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, h.reasons())
		for _, at := range s.calls() {
			assert.Less(t, at.Sub(h.since), length/2)
		}
	})
}

func TestCallUnderWayWhenTheLeaseRunsOutIsUnconfirmed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		s.setBefore(hang)
		h := s.holdWith(1, lease.Spec{
			Lease: time.Second, MaxHold: time.Second,
			Since: time.Now().Add(-900 * time.Millisecond),
		})
		pass(time.Second)
		assert.Len(t, s.calls(), 1)
		assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, h.reasons())
	})
}

func TestLeaseCountsFromBeforeTheClaim(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		since    time.Duration
		deadline time.Duration
	}{
		{"slow claim", -length / 2, length/2 - margin},
		{"claim slower than the lease", -2 * length, -margin},
		{"future", time.Hour, length - margin},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage) {
				s.setBefore(hang)
				h := s.holdWith(1, lease.Spec{Since: time.Now().Add(tt.since)})
				assert.Equal(t, tt.deadline, h.Deadline().Sub(h.since))
				pass(length)
				assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, h.reasons())
				assert.Equal(t, max(tt.deadline, 0), h.after())
			})
		})
	}
}

func TestLeaseWithoutLengthOrSinceIsLostAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		var told []lease.Reason
		tell := func(r lease.Reason) { told = append(told, r) }
		noSince := s.dog.Watch(1, lease.Spec{Lease: length, Lost: tell})
		noLength := s.dog.Watch(2, lease.Spec{Since: time.Now(), Lost: tell})
		assert.False(t, noSince.Held())
		assert.False(t, noLength.Held())
		pass(0)
		assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed, lease.ReasonUnconfirmed}, told)
		assert.Empty(t, s.calls())
	})
}

func TestMisbehavingRenewIsAnErrorForTheBatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		renew func() []lease.Result
	}{
		{"panic", func() []lease.Result { panic("boom") }},
		{"no results", func() []lease.Result { return nil }},
		{"too few results", func() []lease.Result { return []lease.Result{{Lost: true}} }},
		{"too many results", func() []lease.Result { return make([]lease.Result, 3) }},
		{"error and lost", func() []lease.Result {
			return []lease.Result{{Lost: true, Err: errDown}, {Lost: true, Err: errDown}}
		}},
		{"goroutine ended", func() []lease.Result { runtime.Goexit(); return nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var s *stage
			renew := func(ctx context.Context, items []int) []lease.Result {
				results := s.renew(ctx, items)
				if len(s.calls()) == 1 {
					return tt.renew()
				}
				return results
			}
			bubbleWith(t, lease.Config[int]{Renew: renew}, func(t *testing.T, st *stage) {
				s = st
				a, b := s.hold(1), s.hold(2)
				pass(length / 2)
				assert.Equal(t, []int{2, 2}, s.sizes(), "tried again, together")
				pass(2 * length)
				assert.True(t, a.Held())
				assert.True(t, b.Held())
				assert.Empty(t, append(a.reasons(), b.reasons()...))
			})
		})
	}
}
