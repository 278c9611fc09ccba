package conformance_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// Nothing is blocked and nothing replayed; what would have been is counted, and holds
// from the moment when the operation is protected.
func TestShadow_OnEveryLevelNothingIsBlockedNorReplayed(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		guard, runs := guards[0], new(atomic.Int64)
		call := l.open(t, orderDesk{guard: guard, key: "shadow", runs: runs})
		in := orderOf(newKey())
		first, err := call(t.Context(), in)
		requireFirst(t, 1, first, err)
		for i, unheeded := range uncontrolled(in) {
			got, err := call(t.Context(), unheeded)
			requireFirst(t, int64(i+2), got, err)
		}
		assert.Equal(t, idempotency.ShadowStats{Executed: 1, Replayed: 1, Refused: map[idempotency.Code]int64{
			idempotency.ErrKeyReused: 1, idempotency.ErrKeyMissing: 1, idempotency.ErrScopeMissing: 1,
		}}, wouldBe(guard, l.operation))

		require.NoError(t, guard.Override(l.operation, idempotency.Policy{Key: idempotency.KeyRequired}))
		again, err := call(t.Context(), in)
		requireAgain(t, first, again, err)
		requireControlled(t, call, in)
		assert.EqualValues(t, 1+len(uncontrolled(in)), runs.Load())
	})
}
