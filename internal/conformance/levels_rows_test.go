package conformance_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// requireFirst asserts that the call was answered by the handler's run of that number.
func requireFirst(t *testing.T, run int64, got answered, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Equal(t, run, got.Run)
	require.False(t, got.Replayed, "this is no replay")
}

// requireAgain asserts that the call was answered with the first answer, to the byte,
// and that this is said.
func requireAgain(t *testing.T, first, got answered, err error) {
	t.Helper()
	require.NoError(t, err)
	first.Replayed = true
	require.Equal(t, first, got)
}

func TestR1_OnEveryLevelTheFirstAnswerIsGivenAgain(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs := new(atomic.Int64)
		call := l.open(t, orderDesk{guard: guards[0], runs: runs})
		key := newKey()
		first, err := call(t.Context(), orderOf(key))
		requireFirst(t, 1, first, err)
		assert.Equal(t, 7, first.Amount)
		for range 2 {
			again, err := call(t.Context(), orderOf(key))
			requireAgain(t, first, again, err)
		}
		assert.EqualValues(t, 1, runs.Load())

		other, err := call(t.Context(), orderOf(newKey()))
		requireFirst(t, 2, other, err)
	})
}

func TestF1_OnEveryLevelAKeyIsBoundToItsRequest(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs := new(atomic.Int64)
		call := l.open(t, orderDesk{guard: guards[0], runs: runs})
		in := orderOf(newKey())
		first, err := call(t.Context(), in)
		requireFirst(t, 1, first, err)
		before := recordOf(t, guards[0])
		other := in
		other.Amount++
		for range 2 {
			_, err = call(t.Context(), other)
			require.ErrorIs(t, err, idempotency.ErrKeyReused)
		}
		assert.Equal(t, before, recordOf(t, guards[0]), "the stored answer is untouched")
		again, err := call(t.Context(), in)
		requireAgain(t, first, again, err)
		assert.EqualValues(t, 1, runs.Load())
	})
}

// recordOf is what is known of the one record that the guard's store holds.
func recordOf(t *testing.T, guard *idempotency.Guard) idempotency.Status {
	t.Helper()
	records := recordsOf(t, guard)
	require.Len(t, records, 1)
	records[0].Now, records[0].Expires = time.Time{}, time.Time{} // counted from when it was asked
	return records[0]
}

func recordsOf(t *testing.T, guard *idempotency.Guard) (records []idempotency.Status) {
	t.Helper()
	for cursor, more := "", true; more; more = cursor != "" {
		page, err := guard.List(t.Context(), idempotency.Query{Cursor: cursor})
		require.NoError(t, err)
		records, cursor = append(records, page.Records...), page.Next
	}
	return records
}

func TestF14_OnEveryLevelAnExcludedFieldMayChange(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs := new(atomic.Int64)
		call := l.open(t, orderDesk{guard: guards[0], runs: runs})
		in := orderOf(newKey())
		in.TraceID = "trace-0"
		first, err := call(t.Context(), in)
		requireFirst(t, 1, first, err)
		require.Equal(t, "trace-0", first.Trace, "the field reaches the handler, so that it does change")
		for i := range 2 {
			in.TraceID = fmt.Sprint("trace-", i+1)
			again, err := call(t.Context(), in)
			requireAgain(t, first, again, err)
		}
		assert.EqualValues(t, 1, runs.Load())

		in.ID = newKey()
		other, err := call(t.Context(), in)
		requireFirst(t, 2, other, err)
		assert.Equal(t, "trace-2", other.Trace)
	})
}

func TestF15_OnEveryLevelAWrongDeclarationFailsAtConstruction(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		for _, m := range l.mistakes {
			err := m.declare(t, guards[0])
			require.Error(t, err, m.name)
			for _, name := range m.names {
				assert.ErrorContains(t, err, name, m.name)
			}
		}
		assert.Empty(t, recordsOf(t, guards[0]), "nothing was claimed")
	})
}
