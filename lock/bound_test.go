package lock_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/memlock"
)

// witness keeps the contexts of all calls.
type witness struct {
	*memlock.Backend

	mu   sync.Mutex
	seen []context.Context
	left []time.Duration // of each, when the call began
}

func (w *witness) note(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now()
	}
	w.seen, w.left = append(w.seen, ctx), append(w.left, time.Until(deadline))
}

func (w *witness) Acquire(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
	w.note(ctx)
	return w.Backend.Acquire(ctx, id, claim)
}

func (w *witness) Release(ctx context.Context, id lock.ID, owner lock.Owner) (bool, error) {
	w.note(ctx)
	return w.Backend.Release(ctx, id, owner)
}

type valueKey struct{}

// Calls share time limits, and still each has the call timeout, nearly, and nothing
// of another call's context.
func TestCallsAreBoundedWhoeverTheyShareTheirLimitWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const timeout = 320 * time.Millisecond
		w := &witness{Backend: memlock.New()}
		l, err := lock.New(w, lock.CallTimeout(timeout))
		require.NoError(t, err)
		for i := range 100 {
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), valueKey{}, i))
			le, err := l.TryLock(ctx, "k")
			require.NoError(t, err)
			time.Sleep(3 * time.Millisecond)
			cancel()
			require.NoError(t, le.Release(ctx))
			assert.Equal(t, i, w.seen[2*i].Value(valueKey{}))
			assert.Equal(t, i, w.seen[2*i+1].Value(valueKey{}))
			assert.NoError(t, w.seen[2*i+1].Err(), "the caller's end ends no release")
		}
		for _, left := range w.left {
			assert.LessOrEqual(t, left, timeout)
			assert.GreaterOrEqual(t, left, timeout-timeout/32)
		}
		child, cancel := context.WithCancel(w.seen[len(w.seen)-1])
		defer cancel()
		began := time.Now()
		<-child.Done()
		assert.LessOrEqual(t, time.Since(began), timeout)
		require.ErrorIs(t, context.Cause(child), context.DeadlineExceeded)
		require.NoError(t, l.Close())
	})
}

// A caller's deadline that comes earlier bounds a claim, and no other call.
func TestEarlierDeadlineOfTheCallerBoundsTheClaimAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{Backend: memlock.New()}
		l, err := lock.New(w, lock.CallTimeout(time.Second))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		le, err := l.TryLock(ctx, "k")
		require.NoError(t, err)
		require.NoError(t, le.Release(ctx))
		assert.Equal(t, []time.Duration{10 * time.Millisecond, time.Second}, w.left)
		require.NoError(t, l.Close())
	})
}
