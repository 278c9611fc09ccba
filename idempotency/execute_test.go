package idempotency_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestFirstExecutionTakesTwoRoundTripsAndReplayOne_R1(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t)

		first, err := op.Execute(t.Context(), call("k"), takes(900*time.Millisecond, "a"))
		require.NoError(t, err)
		assert.Equal(t, idempotency.Executed, first.Outcome)
		assert.True(t, first.Recorded)
		assert.Equal(t, recorded("a"), first.Answer)
		assert.Equal(t, 1, first.Attempt)
		assert.Equal(t, 2, p.node.count(""), "claim and complete; no renewal within a third of the lease")
		finished := time.Now()

		time.Sleep(time.Hour)
		second, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, idempotency.Result{
			Outcome:    idempotency.Replayed,
			Recorded:   true,
			Answer:     recorded("a"),
			Attempt:    1,
			Token:      first.Token,
			RecordedAt: finished.UTC(),
		}, second)
		assert.Equal(t, 3, p.node.count(""))
	})
}

func TestDuplicateWhileRunningIsRefusedInOneRoundTrip_C2(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t)
		w := newWork(t)
		first := begin(t.Context(), op, call("k"), w.run)
		synctest.Wait()

		before := p.node.count("")
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refused := refusal(t, err, idempotency.ErrInProgress)
		assert.Equal(t, before+1, p.node.count(""))
		assert.Equal(t, time.Second, refused.RetryAfter)
		id, _ := p.node.backend.only(t)
		assert.Equal(t, id.Short(), refused.ID)
		assert.Equal(t, "pay", refused.Operation)

		w.end <- recorded("a")
		result, err := first.wait()
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		assert.EqualValues(t, 1, w.runs.Load())
	})
}

func TestRetryAfterIsTheAgeWithinASecondAndTheRestOfTheLease(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		age  time.Duration
		want time.Duration
	}{
		{"young: a second", 10 * time.Millisecond, time.Second},
		{"the age", 7 * time.Second, 7 * time.Second},
		{"no more than the rest of the lease", 25 * time.Second, 5 * time.Second},
		{"no less than a second, though less is left", 29500 * time.Millisecond, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				p.node.always(lostRequest, "renew")
				op := p.operation(t, idempotency.Policy{Lease: 30 * time.Second})
				w := newWork(t)
				first := begin(t.Context(), op, call("k"), w.run)
				time.Sleep(tt.age)

				_, err := op.Execute(t.Context(), call("k"), forbidden(t))
				assert.Equal(t, tt.want, refusal(t, err, idempotency.ErrInProgress).RetryAfter)

				w.end <- recorded("a")
				_, err = first.wait()
				require.NoError(t, err)
			})
		})
	}
}

func TestAHundredDuplicatesAtOnceRunOnce_C1(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		var ops []*idempotency.Operation
		for range 3 {
			ops = append(ops, start(t, b).operation(t))
		}
		var runs atomic.Int32
		executions := make([]*running, 100)
		for i := range executions {
			executions[i] = begin(t.Context(), ops[i%3], call("k"), func(context.Context) idempotency.Answer {
				runs.Add(1)
				time.Sleep(time.Second)
				return recorded("a")
			})
		}
		executed := 0
		for _, e := range executions {
			result, err := e.wait()
			if errors.Is(err, idempotency.ErrInProgress) {
				continue
			}
			require.NoError(t, err)
			assert.Equal(t, recorded("a"), result.Answer)
			if result.Outcome == idempotency.Executed {
				executed++
			}
		}
		assert.EqualValues(t, 1, runs.Load())
		assert.Equal(t, 1, executed)
	})
}

func TestUnexpectedVerdictIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.next("claim", says(store.Ended))
		_, err := p.operation(t).Execute(t.Context(), call("k"), forbidden(t))
		refused := refusal(t, err, idempotency.ErrStoreUnavailable)
		assert.ErrorContains(t, refused, "ended")
	})
}

func TestUnreadableRecordIsLeftAlone_S12(t *testing.T) {
	t.Parallel()
	for _, rule := range []idempotency.StoreDownRule{idempotency.StoreDownClosed, idempotency.StoreDownOpen} {
		t.Run(string(rule), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				p.node.always(unreadable)
				op := p.operation(t, idempotency.Policy{StoreDown: rule})
				_, err := op.Execute(t.Context(), call("k"), forbidden(t))
				refused := refusal(t, err, idempotency.ErrRecordUnreadable)
				assert.ErrorIs(t, refused, store.ErrUnreadable)
				time.Sleep(2 * lease)
				assert.Equal(t, 1, p.node.count(""), "nothing else is sent to it")
			})
		})
	}
}

func TestRetentionCountsFromCompletion_S16_S18(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		op := start(t, newBackend()).operation(t, idempotency.Policy{Retention: 10 * time.Second})
		_, err := op.Execute(t.Context(), call("k"), takes(20*time.Second, "a"))
		require.NoError(t, err)

		time.Sleep(10*time.Second - time.Microsecond)
		last, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, idempotency.Replayed, last.Outcome)
		time.Sleep(time.Microsecond)
		next, err := op.Execute(t.Context(), call("k"), gives(recorded("b")))
		require.NoError(t, err)
		assert.Equal(t, recorded("b"), next.Answer)
		assert.Greater(t, next.Token, last.Token)
	})
}
