package idempotency_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// deposed starts an attempt on one process, whose renewals fail, and one that
// takes it over on another. It returns both, still running.
func deposed(t *testing.T, a, b *process) (old, successor *running, oldWork, newOne *work) {
	t.Helper()
	rerun := idempotency.Policy{Orphan: idempotency.OrphanRerun}
	a.node.always(lostRequest, "renew")
	oldWork, newOne = newWork(t), newWork(t)
	old = begin(t.Context(), a.operation(t, rerun), call("k"), oldWork.run)
	time.Sleep(lease)
	successor = begin(t.Context(), b.operation(t, rerun), call("k"), newOne.run)
	synctest.Wait()
	require.EqualValues(t, 1, newOne.runs.Load())
	assert.ErrorIs(t, context.Cause(oldWork.context()), idempotency.ErrLeaseLost)
	a.node.repair()
	return old, successor, oldWork, newOne
}

func TestDeposedOwnerGetsTheRecordedAnswer_L8_L10(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		backend := newBackend()
		a, b := start(t, backend), start(t, backend)
		old, successor, oldWork, newWork := deposed(t, a, b)
		newWork.end <- recorded("b")
		taken, err := successor.wait()
		require.NoError(t, err)
		assert.True(t, taken.Recorded)

		a.node.next("lookup", slow(100*time.Millisecond))
		oldWork.end <- recorded("a")
		result, err := old.wait()
		require.NoError(t, err)
		assert.Equal(t, idempotency.Replayed, result.Outcome)
		assert.Equal(t, recorded("b"), result.Answer)
		assert.Equal(t, 2, result.Attempt)
		assert.Equal(t, taken.Token, result.Token)
		assert.False(t, result.RecordedAt.IsZero())
	})
}

func TestTimeSpentWaitingForTheStoreIncludesTheLookupOfADeposedOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		backend := newBackend()
		a, b := start(t, backend), start(t, backend)
		old, successor, oldWork, newWork := deposed(t, a, b)
		newWork.end <- recorded("b")
		_, err := successor.wait()
		require.NoError(t, err)
		a.node.next("lookup", slow(100*time.Millisecond))
		oldWork.end <- recorded("a")
		_, err = old.wait()
		require.NoError(t, err)
		assert.Equal(t, 100*time.Millisecond, a.trace.allFinished()[0].Store)
	})
}

func TestDeposedOwnerWithoutARecordedAnswerHasNone_L10(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(t *testing.T, a *process, newWork *work, successor *running)
	}{
		{"the successor still runs", func(*testing.T, *process, *work, *running) {}},
		{"the successor's outcome is unknown", func(_ *testing.T, _ *process, w *work, s *running) {
			w.end <- answer(idempotency.ClassUnknown, "502")
			_, _ = s.wait()
		}},
		{"the successor released", func(_ *testing.T, _ *process, w *work, s *running) {
			w.end <- answer(idempotency.ClassRelease, "503")
			_, _ = s.wait()
		}},
		{"the recorded answer cannot be read", func(_ *testing.T, a *process, w *work, s *running) {
			w.end <- recorded("b")
			_, _ = s.wait()
			a.node.next("lookup", lostRequest)
		}},
		{"the recorded answer is to another request", func(t *testing.T, a *process, w *work, s *running) {
			w.end <- recorded("b")
			_, _ = s.wait()
			a.node.backend.flush()
			other := call("k")
			other.Fingerprint = fingerprint("other")
			_, err := a.operation(t, idempotency.Policy{Orphan: idempotency.OrphanRerun}).
				Execute(t.Context(), other, gives(recorded("to another")))
			require.NoError(t, err)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				backend := newBackend()
				a, b := start(t, backend), start(t, backend)
				old, successor, oldWork, newWork := deposed(t, a, b)
				tt.prepare(t, a, newWork, successor)
				_, before := backend.only(t)

				oldWork.end <- recorded("a")
				result, err := old.wait()
				assert.Equal(t, time.Second, refusal(t, err, idempotency.ErrLeaseLost).RetryAfter)
				assert.Zero(t, result)
				_, after := backend.only(t)
				assert.Equal(t, before, after, "I4: a deposed owner changes nothing")
				select {
				case <-successor.done:
				default:
					newWork.end <- recorded("b")
					_, err = successor.wait()
					require.NoError(t, err)
				}
			})
		})
	}
}

func TestDeposedOwnersReleaseIsRefused_L8(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		backend := newBackend()
		a, b := start(t, backend), start(t, backend)
		old, successor, oldWork, newWork := deposed(t, a, b)
		require.ErrorIs(t, idempotency.MarkEffect(oldWork.context()), idempotency.ErrLeaseLost)
		idempotency.Release(oldWork.context())
		oldWork.end <- recorded("a")
		result, err := old.wait()
		require.NoError(t, err)
		assert.False(t, result.Recorded)
		newWork.end <- recorded("b")
		taken, err := successor.wait()
		require.NoError(t, err)
		assert.True(t, taken.Recorded)
		assert.Empty(t, b.trace.allLost())
	})
}
