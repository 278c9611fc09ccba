package conformance_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// heard is what one of a crowd gets.
type heard struct {
	answered

	err error
}

// crowd sends equal calls at once, spread over the nodes; each that is answered is
// told to hear, which may be nil.
func crowd(t *testing.T, calls []callFunc, size int, in orderInput, hear func(heard)) []heard {
	t.Helper()
	all := make([]heard, size)
	var wg sync.WaitGroup
	for i := range size {
		wg.Go(func() {
			all[i].answered, all[i].err = calls[i%len(calls)](t.Context(), in)
			if hear != nil {
				hear(all[i])
			}
		})
	}
	wg.Wait()
	return all
}

func openAll(t *testing.T, l level, guards []*idempotency.Guard, desk orderDesk) []callFunc {
	t.Helper()
	var calls []callFunc
	for _, guard := range guards {
		desk.guard = guard
		calls = append(calls, l.open(t, desk))
	}
	return calls
}

// announce says that a handler runs; only the first is heard.
func announce(started chan<- struct{}) {
	select {
	case started <- struct{}{}:
	default:
	}
}

// begin makes a call beside the test, and returns once its handler runs.
func begin(t *testing.T, call callFunc, in orderInput, started <-chan struct{}) <-chan heard {
	t.Helper()
	owner := make(chan heard, 1)
	go func() {
		got, err := call(t.Context(), in)
		owner <- heard{got, err}
	}()
	select {
	case <-started:
	case got := <-owner:
		require.Fail(t, "the handler did not start", "%v", got.err)
	}
	return owner
}

// pause takes its time, and ends early with its context.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// until waits for what a test does beside a handler.
func until(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(20 * time.Second):
		return errors.New("the test did not go on")
	}
}

// The handler runs until half of the crowd has been answered, so that there are both:
// calls that find it running, and calls that may find it done.
func TestC1_OnEveryLevelAHundredAtOnceOverThreeNodesRunOnce(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 3, func(t *testing.T, l level, guards []*idempotency.Guard) {
		const size, half = 100, 50
		runs, enough := new(atomic.Int64), make(chan struct{})
		calls := openAll(t, l, guards, orderDesk{runs: runs, policy: "wait=none", work: func(ctx context.Context) error {
			return until(ctx, enough)
		}})
		var told atomic.Int64
		all := crowd(t, calls, size, orderOf(newKey()), func(heard) {
			if told.Add(1) == half {
				close(enough)
			}
		})
		executed, replayed, inProgress := 0, 0, 0
		for _, got := range all {
			switch {
			case errors.Is(got.err, idempotency.ErrInProgress):
				inProgress++
				continue
			case got.Replayed:
				replayed++
			default:
				executed++
			}
			require.NoError(t, got.err, "zero others")
			assert.EqualValues(t, 1, got.Run)
		}
		assert.Equal(t, 1, executed)
		assert.GreaterOrEqual(t, inProgress, half)
		assert.Equal(t, size, executed+replayed+inProgress)
		assert.EqualValues(t, 1, runs.Load())
	})
}

// waitOfC3 is how long a caller of C3 waits.
const waitOfC3 = 5 * time.Second

func TestC3_OnEveryLevelAHundredThatWaitGetOneAnswer(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 3, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs := new(atomic.Int64)
		calls := openAll(t, l, guards, orderDesk{runs: runs, policy: "wait=" + waitOfC3.String(), work: func(ctx context.Context) error {
			return pause(ctx, time.Second)
		}})
		all := crowdInTime(t, calls, runs)
		marked := 0
		for _, got := range all {
			require.NoError(t, got.err)
			if got.Replayed {
				marked++
			}
			got.Replayed = all[0].Replayed
			assert.Equal(t, all[0].answered, got.answered, "one answer for all")
		}
		assert.Equal(t, 99, marked)
		assert.Equal(t, runs.Load(), all[0].Run)
	})
}

// crowdInTime sends a hundred calls at once, with a key of their own each time, until
// none of them has waited as long as it may: a second's work takes longer than that
// where the machine has other things to do, and who waits in vain is told so.
func crowdInTime(t *testing.T, calls []callFunc, runs *atomic.Int64) []heard {
	t.Helper()
	for range 10 {
		before := runs.Load()
		began, late := time.Now(), new(atomic.Bool)
		all := crowd(t, calls, 100, orderOf(newKey()), func(got heard) {
			if errors.Is(got.err, idempotency.ErrInProgress) && time.Since(began) >= waitOfC3 {
				late.Store(true)
			}
		})
		require.Equal(t, before+1, runs.Load(), "they ran once")
		if !late.Load() {
			return all
		}
	}
	require.Fail(t, "ten times somebody waited in vain")
	return nil
}

func TestL1_OnEveryLevelALeaseIsRenewedWhileTheHandlerRuns(t *testing.T) {
	t.Parallel()
	onEveryLevelAtOnce(t, 2, 100, func(t *testing.T, l level, guards []*idempotency.Guard) {
		const lease = 1500 * time.Millisecond // longer than a busy machine's hiccups
		runs, started := new(atomic.Int64), make(chan struct{}, 1)
		calls := openAll(t, l, guards, orderDesk{runs: runs, policy: "lease=1500ms,max-hold=1m,wait=none", work: func(ctx context.Context) error {
			announce(started)
			return pause(ctx, 5*lease)
		}})
		in := orderOf(newKey())
		owner := begin(t, calls[0], in, started)
		began, refused := time.Now(), time.Duration(0)
		var first heard
		for over := false; !over; {
			select {
			case first = <-owner:
				over = true
			case <-time.After(lease / 4):
				asked := time.Since(began)
				if _, err := calls[1](t.Context(), in); err != nil {
					require.ErrorIs(t, err, idempotency.ErrInProgress)
					refused = asked
				}
			}
		}
		assert.Greater(t, refused, 3*lease, "renewed: still running after three leases")
		requireFirst(t, 1, first.answered, first.err)
		again, err := calls[1](t.Context(), in)
		requireAgain(t, first.answered, again, err)
		assert.EqualValues(t, 1, runs.Load())
		assert.Zero(t, statsOf(guards[0], l.operation).LeasesLost)
	})
}

// statsOf returns what was counted of an operation.
func statsOf(g *idempotency.Guard, operation string) idempotency.Stats {
	for _, s := range g.Stats() {
		if s.Operation == operation {
			return s
		}
	}
	return idempotency.Stats{}
}
