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

// The first caller's run is under way when the second comes with the same key and
// body, and a third with the key and another body.
func TestA1_OnEveryLevelScopesAreApart(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs, started, goOn := new(atomic.Int64), make(chan struct{}, 1), make(chan struct{})
		letGo := sync.OnceFunc(func() { close(goOn) })
		defer letGo() // also after a failure
		call := l.open(t, orderDesk{guard: guards[0], runs: runs, policy: "wait=none", work: func(ctx context.Context) error {
			if runs.Load() > 1 {
				return nil
			}
			announce(started)
			return until(ctx, goOn)
		}})
		p1 := orderOf(newKey())
		p2, p3 := p1, p1
		p2.Tenant = "P2"
		p3.Tenant, p3.Amount = "P3", p1.Amount+1
		owner := begin(t, call, p1, started)
		second, err := call(t.Context(), p2)
		requireFirst(t, 2, second, err)
		third, err := call(t.Context(), p3)
		requireFirst(t, 3, third, err)
		letGo()
		first := <-owner
		requireFirst(t, 1, first.answered, first.err)

		for in, want := range map[orderInput]answered{p1: first.answered, p2: second, p3: third} {
			again, err := call(t.Context(), in)
			requireAgain(t, want, again, err)
		}
		assert.EqualValues(t, 3, runs.Load())
	})
}

func TestA3_OnEveryLevelAScopeIsChosenAtConstruction(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 2, func(t *testing.T, l level, guards []*idempotency.Guard) {
		if l.unscoped == nil {
			requireScopeInCalls(t, l, guards[0])
			return
		}
		runs := new(atomic.Int64)
		_, err := l.unscoped(t, orderDesk{guard: guards[0], runs: runs}, false)
		require.ErrorContains(t, err, "no scope")

		call, err := l.unscoped(t, orderDesk{guard: guards[1], runs: runs}, true)
		require.NoError(t, err)
		in := orderOf(newKey())
		first, err := call(t.Context(), in)
		requireFirst(t, 1, first, err)
		in.Tenant = "P2"
		again, err := call(t.Context(), in)
		requireAgain(t, first, again, err)
		assert.EqualValues(t, 1, runs.Load(), "one scope for all, as was said")
	})
}

func TestA4_OnEveryLevelNothingRunsWithoutAScope(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		requireScopeInCalls(t, l, guards[0])
	})
}

// requireScopeInCalls asserts that a call without a scope is refused, and leaves nothing.
func requireScopeInCalls(t *testing.T, l level, guard *idempotency.Guard) {
	t.Helper()
	runs := new(atomic.Int64)
	call := l.open(t, orderDesk{guard: guard, runs: runs})
	in := orderOf(newKey())
	in.Tenant = ""
	for range 2 {
		_, err := call(t.Context(), in)
		require.ErrorIs(t, err, idempotency.ErrScopeMissing)
	}
	assert.Zero(t, runs.Load())
	assert.Empty(t, recordsOf(t, guard), "no shared anonymous bucket")
}
