package lease_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/lease"
)

// The one test in real time: everything at once, for the race detector.
func TestEverythingAtOnceIsFreeOfRaces(t *testing.T) {
	t.Parallel()
	dog, err := lease.New(lease.Config[int]{
		MaxBatch: 4,
		Renew: func(_ context.Context, items []int) []lease.Result {
			results := make([]lease.Result, len(items))
			for i := range results {
				results[i] = lease.Result{Lost: rand.N(10) == 0}
			}
			if rand.N(5) == 0 {
				panic("boom")
			}
			return results
		},
	})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 200 {
				use(t, dog, worker*1000+i)
			}
		})
	}
	wg.Go(func() {
		wait(t, 100*time.Millisecond)
		assert.NoError(t, dog.Close())
	})
	wg.Wait()
	require.NoError(t, dog.Close())
}

// use watches a lease so short that it is renewed within the test, and asserts
// that it was either ended or lost.
func use(t *testing.T, dog *lease.Watchdog[int], item int) {
	told := make(chan lease.Reason, 2)
	l := dog.Watch(item, lease.Spec{
		Lease: 6 * time.Millisecond, Since: time.Now(),
		Lost: func(r lease.Reason) { told <- r },
	})
	for range rand.N(4) {
		_, _, _ = l.Held(), l.Deadline(), l.Confirmed()
		wait(t, time.Millisecond)
	}
	if l.End() {
		assert.Empty(t, told)
		return
	}
	assert.NotZero(t, <-told)
}

func wait(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
