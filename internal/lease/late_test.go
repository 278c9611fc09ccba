package lease_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/lease"
)

func TestF29LateReplyCountsFromWhenItWasSent(t *testing.T) {
	t.Parallel()
	// The client ignores its context, so the call outlives its time and another
	// is on its way when the reply comes.
	bubble(t, func(t *testing.T, s *stage) {
		s.setAfter(func(context.Context, []int) error {
			time.Sleep(length * 2 / 5)
			return nil
		})
		h := s.hold(1)
		previous := h.Deadline()
		for range 10 * 30 {
			pass(100 * time.Millisecond)
			deadline := h.Deadline()
			require.False(t, deadline.Before(previous), "the deadline moved backwards")
			previous = deadline
			if deadline.Equal(h.since.Add(length - margin)) {
				continue
			}
			sent := deadline.Add(margin - length)
			require.True(t, slices.ContainsFunc(s.calls(), sent.Equal), "not a time at which a call was sent")
			require.GreaterOrEqual(t, time.Since(sent), length*2/5)
		}
		assert.Empty(t, h.reasons())
		assert.True(t, h.Held())
		h.finish()
		pass(length)
	})
}

func TestLateFailureOfAnAbandonedCallMeansNothing(t *testing.T) {
	t.Parallel()
	bubbleWith(t, lease.Config[int]{CallTimeout: 3200 * time.Millisecond}, func(t *testing.T, s *stage) {
		s.setBefore(func(context.Context, []int) error {
			if len(s.calls()) == 1 {
				time.Sleep(3700 * time.Millisecond)
				return errDown
			}
			time.Sleep(3 * time.Second)
			return nil
		})
		h := s.hold(1)
		for len(s.calls()) < 2 {
			pass(10 * time.Millisecond)
		}
		assert.Equal(t, 3600*time.Millisecond, s.calls()[1].Sub(s.calls()[0]), "a timeout and an eighth")
		pass(5 * time.Second)
		assert.Len(t, s.calls(), 2, "no third while the second is within its time")
		assert.Equal(t, s.calls()[1].Add(length-margin), h.Deadline())
		h.finish()
		pass(length)
	})
}

func TestF30LatencyAboveTheLeaseGivesItUp(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		s.setAfter(func(context.Context, []int) error {
			time.Sleep(length * 3 / 2)
			return nil
		})
		h := s.hold(1)
		pass(3 * length)
		assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, h.reasons())
		assert.Equal(t, length-margin, h.after())
	})
}

func TestF21HangingCallStopsNobodyElse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		hang func(ctx context.Context, release chan struct{})
	}{
		{"heeds its context", func(ctx context.Context, _ chan struct{}) { <-ctx.Done() }},
		{"ignores its context", func(_ context.Context, release chan struct{}) { <-release }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage) {
				release := make(chan struct{})
				s.setBefore(func(ctx context.Context, items []int) error {
					if !slices.Contains(items, 1) {
						return nil
					}
					tt.hang(ctx, release)
					return errDown
				})
				h := s.hold(1)
				pass(length / 6)
				other := s.hold(2)
				pass(2 * length)
				assert.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, h.reasons())
				assert.Equal(t, length-margin, h.after())
				assert.True(t, other.Held())
				assert.Empty(t, other.reasons())
				close(release)
			})
		})
	}
}

func TestDeafCallsAreBoundedAndLeasesLostInTime(t *testing.T) {
	t.Parallel()
	bubbleWith(t, lease.Config[int]{MaxBatch: 1}, func(t *testing.T, s *stage) {
		release := make(chan struct{})
		s.setBefore(func(context.Context, []int) error {
			<-release
			return nil
		})
		var holders []*holder
		for item := range 200 {
			holders = append(holders, s.hold(item))
		}
		pass(length)
		assert.Len(t, s.calls(), 64)
		for _, h := range holders {
			require.Equal(t, []lease.Reason{lease.ReasonUnconfirmed}, h.reasons())
			require.Equal(t, length-margin, h.after())
		}

		late := s.hold(1000)
		pass(length / 2)
		assert.Zero(t, s.renewed(1000), "no room for another call")
		close(release)
		pass(2 * length)
		assert.True(t, late.Held(), "served once the calls came back")
	})
}

func TestCallsSideBySideAreBounded(t *testing.T) {
	t.Parallel()
	bubbleWith(t, lease.Config[int]{MaxBatch: 1, MaxCalls: 3}, func(t *testing.T, s *stage) {
		running := make(chan struct{}, 3)
		s.setBefore(func(context.Context, []int) error {
			select {
			case running <- struct{}{}:
			default:
				assert.Fail(t, "a fourth call")
			}
			time.Sleep(100 * time.Millisecond)
			<-running
			return nil
		})
		var holders []*holder
		for item := range 30 {
			holders = append(holders, s.hold(item))
		}
		pass(2 * length)
		for _, h := range holders {
			require.True(t, h.Held())
			require.Positive(t, s.renewed(h.item))
			h.finish()
		}
		pass(length)
	})
}

func TestCallTimeoutFollowsTheShortestLease(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		leases []time.Duration
		want   time.Duration
	}{
		{"long lease", []time.Duration{length}, 500 * time.Millisecond},
		{"short lease", []time.Duration{600 * time.Millisecond}, 200 * time.Millisecond},
		{"both", []time.Duration{630 * time.Millisecond, 600 * time.Millisecond}, 200 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage) {
				var got []time.Duration
				s.setBefore(func(ctx context.Context, items []int) error {
					until, _ := ctx.Deadline()
					if len(items) == len(tt.leases) {
						got = append(got, time.Until(until))
					}
					return nil
				})
				for item, d := range tt.leases {
					s.holdWith(item, lease.Spec{Lease: d})
				}
				pass(length)
				require.NotEmpty(t, got)
				assert.Equal(t, tt.want, got[0])
			})
		})
	}
}

func TestReplyForAnEndedLeaseIsIgnored(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		take bool
	}{
		{name: "confirmed"},
		{name: "lost", take: true},
		{name: "error", err: errDown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage) {
				s.setBefore(func(context.Context, []int) error {
					time.Sleep(300 * time.Millisecond)
					return tt.err
				})
				h := s.hold(1)
				if tt.take {
					s.take(1)
				}
				for len(s.calls()) == 0 {
					pass(100 * time.Millisecond)
				}
				deadline := h.Deadline()
				h.finish()
				pass(2 * length)
				assert.Len(t, s.calls(), 1)
				assert.Equal(t, deadline, h.Deadline())
				assert.Empty(t, h.reasons())
				assert.True(t, h.End(), "ending twice gives the same answer")
			})
		})
	}
}
