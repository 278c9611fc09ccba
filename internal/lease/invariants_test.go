package lease_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/internal/lease"
)

// chaos decides at random what happens to a call.
type chaos struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (c *chaos) float() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.Float64()
}

func (c *chaos) upTo(d time.Duration) time.Duration { return time.Duration(c.float() * float64(d)) }

// disturb delays a batch, hangs with or without regard to its context, or fails.
// In every third half-minute the backend is much worse.
func (c *chaos) disturb(ctx context.Context, _ []int) error {
	bad := 0.15
	if time.Now().Unix()/30%3 == 2 {
		bad = 0.8
	}
	time.Sleep(c.upTo(50 * time.Millisecond))
	if c.float() > bad {
		return nil
	}
	return c.trouble(ctx)
}

func (c *chaos) trouble(ctx context.Context) error {
	switch int(c.float() * 4) {
	case 0:
		return hang(ctx, nil)
	case 1:
		time.Sleep(c.upTo(40 * time.Second))
		return nil
	case 2:
		time.Sleep(c.upTo(2 * time.Second))
		return errDown
	}
	return errDown
}

func TestInvariantsUnderRandomFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *stage) { randomRun(t, s, seed) })
		})
	}
}

// randomRun holds leases of random lengths for random times on a backend that
// misbehaves, and asserts all along that no lease lapses behind its holder's
// back. The backend and the holders' callbacks assert the same.
func randomRun(t *testing.T, s *stage, seed uint64) {
	c := &chaos{rng: rand.New(rand.NewPCG(seed, 1))}
	s.setBefore(c.disturb)
	s.setAfter(c.disturb)
	var holders []*holder
	for item := range 150 {
		h := s.holdWith(item, lease.Spec{
			Lease:   100*time.Millisecond + c.upTo(30*time.Second),
			MaxHold: 10*time.Second + c.upTo(2*time.Minute),
		})
		holders = append(holders, h)
		time.AfterFunc(c.upTo(3*time.Minute), h.finish)
		if c.float() < 0.05 {
			time.AfterFunc(c.upTo(time.Minute), func() { s.take(item) })
		}
		pass(c.upTo(2 * time.Second))
		s.check()
	}
	for range 4 * 60 * 5 {
		pass(200 * time.Millisecond)
		s.check()
	}
	assertOutcomes(t, holders)
}

// assertOutcomes keeps the test honest: each kind of end must have occurred.
func assertOutcomes(t *testing.T, holders []*holder) {
	t.Helper()
	count := map[lease.Reason]int{}
	for _, h := range holders {
		reasons := h.reasons()
		assert.LessOrEqual(t, len(reasons), 1, "told at most once")
		assert.True(t, h.over())
		for _, r := range reasons {
			count[r]++
		}
	}
	assert.Positive(t, count[lease.ReasonUnconfirmed])
	assert.Positive(t, count[lease.ReasonMaxHold])
	assert.Less(t, count[lease.ReasonUnconfirmed], len(holders), "some get through")
}
