package conformance_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// Off at run time, while an attempt is under way, and back on.
func TestOverride_OnEveryLevelIsAKillSwitch(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		guard, runs := guards[0], new(atomic.Int64)
		started, goOn := make(chan struct{}, 1), make(chan struct{})
		letGo := sync.OnceFunc(func() { close(goOn) })
		defer letGo() // also after a failure
		call := l.open(t, orderDesk{guard: guard, runs: runs, policy: "wait=none", work: func(ctx context.Context) error {
			if runs.Load() > 1 {
				return nil
			}
			announce(started)
			return until(ctx, goOn)
		}})
		in := orderOf(newKey())
		owner := begin(t, call, in, started)
		_, err := call(t.Context(), in)
		require.ErrorIs(t, err, idempotency.ErrInProgress)

		require.NoError(t, guard.Override(l.operation, idempotency.Policy{Key: idempotency.KeyOff}))
		for i, unheeded := range uncontrolled(in) {
			got, err := call(t.Context(), unheeded)
			requireFirst(t, int64(i+2), got, err)
		}
		letGo()
		first := <-owner
		requireFirst(t, 1, first.answered, first.err)
		off := int64(len(uncontrolled(in)))
		assert.Equal(t, off+1, runs.Load())
		assert.Len(t, recordsOf(t, guard), 1, "what ran while it was off left nothing")

		require.NoError(t, guard.Override(l.operation, idempotency.Policy{}))
		again, err := call(t.Context(), in)
		requireAgain(t, first.answered, again, err)
		requireControlled(t, call, in)
		assert.Equal(t, off+1, runs.Load())
		stats := statsOf(guard, l.operation)
		assert.EqualValues(t, 1, stats.Executed)
		assert.EqualValues(t, 1, stats.Replayed)
	})
}

// uncontrolled are a duplicate, and what is refused where an operation is protected.
func uncontrolled(in orderInput) []orderInput {
	other, keyless, scopeless := in, in, in
	other.Amount++
	keyless.ID = ""
	scopeless.Tenant = ""
	return []orderInput{in, other, keyless, scopeless}
}

// requireControlled asserts that what is refused where an operation is protected is.
func requireControlled(t *testing.T, call callFunc, in orderInput) {
	t.Helper()
	for i, want := range []error{idempotency.ErrKeyReused, idempotency.ErrKeyMissing, idempotency.ErrScopeMissing} {
		_, err := call(t.Context(), uncontrolled(in)[i+1])
		require.ErrorIs(t, err, want)
	}
}
