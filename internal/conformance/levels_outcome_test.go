package conformance_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// sickness is what a handler suffers from. The zero value is health.
type sickness struct {
	marks bool
	fails trouble
}

// suffer fails as it is told to.
func suffer(now *atomic.Pointer[sickness]) func(context.Context) error {
	return func(ctx context.Context) error {
		ill := now.Load()
		if ill == nil {
			return nil
		}
		if ill.marks {
			if err := idempotency.MarkEffect(ctx); err != nil {
				return err
			}
		}
		return ill.fails
	}
}

func TestO1_OnEveryLevelAPassingFailureIsNotRecorded(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		var ill atomic.Pointer[sickness]
		runs := new(atomic.Int64)
		call := l.open(t, orderDesk{guard: guards[0], runs: runs, work: suffer(&ill)})
		for _, failure := range l.passing {
			in := orderOf(newKey())
			runs.Store(0)
			ill.Store(&sickness{fails: failure})
			for range 2 {
				_, err := call(t.Context(), in)
				require.ErrorIs(t, err, failure, "the handler's own, each time")
			}
			ill.Store(nil)
			first, err := call(t.Context(), in)
			requireFirst(t, 3, first, err)
			again, err := call(t.Context(), in)
			requireAgain(t, first, again, err)

			requireUnknown(t, call, runs, &ill, sickness{marks: true, fails: failure})
		}
		for _, failure := range l.fatal {
			requireUnknown(t, call, runs, &ill, sickness{fails: failure})
		}
	})
}

// requireUnknown asserts that after this nobody knows what happened, and nothing runs.
func requireUnknown(t *testing.T, call callFunc, runs *atomic.Int64, ill *atomic.Pointer[sickness], now sickness) {
	t.Helper()
	in := orderOf(newKey())
	runs.Store(0)
	ill.Store(&now)
	_, err := call(t.Context(), in)
	require.ErrorIs(t, err, now.fails)
	ill.Store(nil)
	for range 2 {
		_, err = call(t.Context(), in)
		require.ErrorIs(t, err, idempotency.ErrOutcomeUnknown, "%+v", now)
	}
	assert.EqualValues(t, 1, runs.Load())
}
