package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/lease"
)

const many = 10_000

func TestL17ManyLeasesShareCalls(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		apart   time.Duration
		perCall float64 // the least leases per call, on average
	}{
		{"claimed at once", 0, 125},
		{"claimed over two thirds of a lease", 2 * time.Millisecond, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage) {
				s.setBefore(func(context.Context, []int) error {
					time.Sleep(5 * time.Millisecond)
					return nil
				})
				holders := make([]*holder, many)
				for item := range holders {
					holders[item] = s.hold(item)
					time.Sleep(tt.apart)
				}
				pass(5 * length)
				for _, h := range holders {
					require.True(t, h.Held())
					require.Empty(t, h.reasons())
				}
				assertBatches(t, s, tt.perCall)
			})
		})
	}
}

func assertBatches(t *testing.T, s *stage, perCall float64) {
	t.Helper()
	total := 0
	for _, size := range s.sizes() {
		require.LessOrEqual(t, size, 128)
		total += size
	}
	t.Logf("%d renewals in %d calls", total, len(s.sizes()))
	assert.GreaterOrEqual(t, float64(total)/float64(len(s.sizes())), perCall)
	perLease := float64(total) / many
	assert.InDelta(t, 14, perLease, 2, "each is renewed once per third of its lease and a little")
}

func TestL17RenewalsOfManyLeasesAreNotLate(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		var worst time.Duration
		holders := make([]*holder, many)
		for item := range holders {
			holders[item] = s.hold(item)
		}
		s.setBefore(func(_ context.Context, items []int) error {
			s.mu.Lock()
			for _, item := range items {
				due := s.ends[item].Add(-fast(length)).Add(length / 3 * 21 / 20)
				worst = max(worst, time.Since(due))
			}
			s.mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		pass(5 * length)
		for _, h := range holders {
			require.True(t, h.Held())
			h.finish()
		}
		assert.Positive(t, worst)
		assert.Less(t, worst, length/10)
		t.Logf("worst lag %v", worst)
		pass(length)
	})
}

func TestOneLeaseIsSmall(t *testing.T) {
	t.Parallel()
	assert.LessOrEqual(t, int(lease.Size), 250)
}
