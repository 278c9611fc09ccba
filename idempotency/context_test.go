package idempotency_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestCallerThatGoesAway_Z8_F51(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule   idempotency.CallerRule
		cancel bool
	}{
		{idempotency.CallerDetached, false},
		{idempotency.CallerAttached, true},
	}
	for _, tt := range tests {
		t.Run(string(tt.rule), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t, idempotency.Policy{Caller: tt.rule})
				ctx, hangUp := context.WithCancel(t.Context())
				result, err := op.Execute(ctx, call("k"), func(ctx context.Context) idempotency.Answer {
					hangUp()
					assert.Equal(t, tt.cancel, ctx.Err() != nil)
					return recorded("a")
				})
				require.NoError(t, err)
				assert.True(t, result.Recorded, "the result is not lost")

				ctx, hangUp = context.WithCancel(t.Context())
				_, err = op.Execute(ctx, call("l"), func(context.Context) idempotency.Answer {
					hangUp()
					return answer(idempotency.ClassRelease, "503")
				})
				require.NoError(t, err)
				_, err = op.Execute(t.Context(), call("l"), gives(recorded("b")))
				if tt.cancel {
					refusal(t, err, idempotency.ErrOutcomeUnknown)
				} else {
					assert.NoError(t, err, "its context had not ended")
				}
			})
		})
	}
}

// A caller who has set a deadline goes away by it: that is not the handler's.
func TestACallersOwnDeadlineEndsAnAttachedHandlerOnly(t *testing.T) {
	t.Parallel()
	for _, rule := range []idempotency.CallerRule{idempotency.CallerDetached, idempotency.CallerAttached} {
		t.Run(string(rule), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t, idempotency.Policy{Caller: rule, MaxHold: time.Minute})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				own := call("k")
				own.CallerDeadline = true
				attached := rule == idempotency.CallerAttached
				result, err := op.Execute(ctx, own, func(ctx context.Context) idempotency.Answer {
					time.Sleep(2 * time.Second)
					assert.Equal(t, attached, ctx.Err() != nil)
					_, has := ctx.Deadline()
					assert.Equal(t, attached, has)
					return recorded("a")
				})
				require.NoError(t, err)
				assert.True(t, result.Recorded)
				result, err = op.Execute(t.Context(), call("k"), forbidden(t))
				require.NoError(t, err)
				assert.Equal(t, idempotency.Replayed, result.Outcome)

				late := call("l")
				late.CallerDeadline = true
				_, err = op.Execute(ctx, late, forbidden(t))
				refusal(t, err, idempotency.ErrNotStarted)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				_, err = op.Execute(t.Context(), call("l"), gives(recorded("b")))
				assert.NoError(t, err, "nothing is left of the claim that was not used")
			})
		})
	}
}

// No lease bounds a handler that runs unprotected, and nothing of it is recorded.
func TestACallersDeadlineIsThatOfAHandlerThatRunsUnprotected_S2(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.always(lostRequest)
		op := p.operation(t, idempotency.Policy{StoreDown: idempotency.StoreDownOpen})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		own := call("k")
		own.CallerDeadline = true
		result, err := op.Execute(ctx, own, func(ctx context.Context) idempotency.Answer {
			<-ctx.Done()
			assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
			return answer(idempotency.ClassUnknown, "504")
		})
		require.NoError(t, err)
		assert.Equal(t, idempotency.Unprotected, result.Outcome)
	})
}

// The handler's limit is then the policy's.
func TestMaxHoldEndsAHandlerWhoseCallersDeadlineHasPassed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, idempotency.Policy{Lease: lease, MaxHold: 2 * lease})
		ctx, cancel := context.WithTimeout(t.Context(), lease)
		defer cancel()
		own := call("k")
		own.CallerDeadline = true
		began := time.Now()
		_, _ = op.Execute(ctx, own, func(ctx context.Context) idempotency.Answer {
			<-ctx.Done()
			assert.ErrorIs(t, context.Cause(ctx), idempotency.ErrLeaseLost)
			return answer(idempotency.ClassUnknown, "504")
		})
		assert.Greater(t, time.Since(began), lease)
		assert.LessOrEqual(t, time.Since(began), 3*lease, "the last renewal is at MaxHold")
	})
}

func TestDeadlineAndValuesStay(t *testing.T) {
	t.Parallel()
	type key struct{}
	for _, rule := range []idempotency.CallerRule{idempotency.CallerDetached, idempotency.CallerAttached} {
		t.Run(string(rule), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				op := start(t, newBackend()).operation(t, idempotency.Policy{Caller: rule})
				ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "value"), time.Second)
				defer cancel()
				_, err := op.Execute(ctx, call("k"), func(inside context.Context) idempotency.Answer {
					assert.Equal(t, "value", inside.Value(key{}))
					want, _ := ctx.Deadline()
					got, ok := inside.Deadline()
					assert.True(t, ok)
					assert.Equal(t, want, got)
					<-inside.Done()
					assert.ErrorIs(t, inside.Err(), context.DeadlineExceeded)
					assert.NotErrorIs(t, context.Cause(inside), idempotency.ErrLeaseLost)
					return recorded("a")
				})
				require.NoError(t, err)
			})
		})
	}
}

func TestHandlersContextEndsWithTheAttempt_I8(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var inside context.Context
		_, err := start(t, newBackend()).operation(t).Execute(t.Context(), call("k"),
			func(ctx context.Context) idempotency.Answer {
				inside = ctx
				return recorded("a")
			})
		require.NoError(t, err)
		assert.ErrorIs(t, inside.Err(), context.Canceled)
		assert.NotErrorIs(t, context.Cause(inside), idempotency.ErrLeaseLost)
	})
}

func TestFromContextTellsTheAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		var info idempotency.Info
		result, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			info, _ = idempotency.FromContext(ctx)
			return recorded("a")
		})
		require.NoError(t, err)
		assert.Equal(t, idempotency.Info{
			Operation:   "pay",
			OperationID: store.NewID("tenant", "pay", "k").String(),
			Attempt:     1,
			Token:       int64(result.Token),
		}, info)
	})
}

func TestAttemptInsideAnAttemptIsItsOwn_P5(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		outer := p.operation(t)
		inner, err := p.guard.Operation("inner", idempotency.Policy{})
		require.NoError(t, err)
		result, err := outer.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			_, err := inner.Execute(ctx, call("k"), func(ctx context.Context) idempotency.Answer {
				info, _ := idempotency.FromContext(ctx)
				assert.Equal(t, "inner", info.Operation)
				idempotency.Release(ctx)
				return recorded("inner")
			})
			assert.NoError(t, err)
			_, err = outer.Execute(ctx, call("k"), forbidden(t))
			assert.ErrorIs(t, err, idempotency.ErrInProgress, "no self-deadlock")
			return recorded("outer")
		})
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		again, err := inner.Execute(t.Context(), call("k"), gives(recorded("second")))
		require.NoError(t, err)
		assert.Equal(t, 2, again.Attempt)
	})
}
