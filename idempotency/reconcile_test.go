package idempotency_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// reconciled registers an operation with a callback, and leaves an attempt of
// unknown outcome behind, by fail or by a lapsed lease.
func reconciled(
	t *testing.T, b *backend, byFail bool, f idempotency.ReconcileFunc, opts ...idempotency.OperationOption,
) (*process, *idempotency.Operation) {
	t.Helper()
	p, _ := startListening(t, b)
	op, err := p.guard.Operation("pay", append([]idempotency.OperationOption{
		idempotency.Policy{Lease: lease}, idempotency.Reconcile(f),
	}, opts...)...)
	require.NoError(t, err)
	if byFail {
		_, err := op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassUnknown, "504")))
		require.NoError(t, err)
		return p, op
	}
	_, err = newNode(b).Apply(t.Context(), p.guard.ID("pay", "tenant", "k"), store.Claim{
		Owner: store.NewOwner(), Fingerprint: fingerprint("body"), Scope: store.NewScopeDigest("tenant"),
		Operation: "pay", Lease: lease, Retention: time.Hour,
	})
	require.NoError(t, err)
	time.Sleep(lease)
	return p, op
}

func TestL5_ReconcileFindsTheAnswer(t *testing.T) {
	t.Parallel()
	for name, byFail := range map[string]bool{"after fail": true, "after a lapse": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend()
				var asked idempotency.Orphaned
				p, op := reconciled(t, b, byFail, func(ctx context.Context, o idempotency.Orphaned) (idempotency.Finding, error) {
					asked = o
					info, ok := idempotency.FromContext(ctx)
					assert.True(t, ok)
					assert.Equal(t, 2, info.Attempt, "it is an attempt of its own")
					assert.True(t, info.TookOver)
					return idempotency.Happened(recorded("found").Answer), nil
				})
				for range 2 {
					result, err := op.Execute(t.Context(), call("k"), forbidden(t))
					require.NoError(t, err)
					assert.Equal(t, idempotency.Replayed, result.Outcome)
					assert.True(t, result.Recorded)
					assert.Equal(t, "found", string(result.Answer.Body))
				}
				id := p.guard.ID("pay", "tenant", "k")
				assert.Equal(t, idempotency.Orphaned{
					Operation: "pay", OperationID: id.String(), Scope: "tenant", Key: "k",
				}, asked)
			})
		})
	}
}

func TestL5_NothingHappenedRunsTheHandlerUnderTheSameClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, op := reconciled(t, newBackend(), true, func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
			return idempotency.NothingHappened(), nil
		})
		claims := p.node.count("claim")
		result, err := op.Execute(t.Context(), call("k"), gives(recorded("b")))
		require.NoError(t, err)
		assert.Equal(t, idempotency.Executed, result.Outcome)
		assert.Equal(t, 2, result.Attempt)
		assert.Equal(t, claims+1, p.node.count("claim"))
	})
}

func TestL5_UnknownStaysUnknownForAWhile(t *testing.T) {
	t.Parallel()
	for name, callback := range map[string]idempotency.ReconcileFunc{
		"do not know": func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
			return idempotency.StillUnknown(), nil
		},
		"an error": func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
			return idempotency.NothingHappened(), errors.New("the provider does not answer")
		},
		"a panic": func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) { panic("oops") },
		"an answer that no store takes": func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
			return idempotency.Happened(store.Answer{}), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int32
				_, op := reconciled(t, newBackend(), true, func(ctx context.Context, o idempotency.Orphaned) (idempotency.Finding, error) {
					asked.Add(1)
					return callback(ctx, o)
				}, idempotency.Policy{Orphan: idempotency.OrphanRerun})
				for range 3 {
					_, err := op.Execute(t.Context(), call("k"), forbidden(t))
					refusal(t, err, idempotency.ErrOutcomeUnknown)
					time.Sleep(9 * time.Second)
				}
				assert.EqualValues(t, 1, asked.Load(), "no question within 30 s")
				time.Sleep(4 * time.Second)
				before := asked.Load()
				_, err := op.Execute(t.Context(), call("k"), forbidden(t))
				refusal(t, err, idempotency.ErrOutcomeUnknown)
				assert.Equal(t, before+1, asked.Load())
			})
		})
	}
}

func TestL5_OneCallbackAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		var running, most atomic.Int32
		callback := func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			time.Sleep(2 * lease) // the watchdog keeps its claim
			return idempotency.Happened(recorded("found").Answer), nil
		}
		_, op := reconciled(t, b, true, callback, waits(time.Minute))
		p, _ := startListening(t, b)
		other, err := p.guard.Operation("pay", idempotency.Policy{Lease: lease}, waits(time.Minute), idempotency.Reconcile(callback))
		require.NoError(t, err)
		all := append(duplicates(t.Context(), 20, op, forbidden(t)), duplicates(t.Context(), 20, other, forbidden(t))...)
		allReplay(t, all, "found")
		assert.EqualValues(t, 1, most.Load())
	})
}

func TestReconcileAfterTheAttemptMarked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		marked := false
		op, err := p.guard.Operation("pay", idempotency.Policy{Lease: lease},
			idempotency.Reconcile(func(_ context.Context, o idempotency.Orphaned) (idempotency.Finding, error) {
				marked = o.Marked
				return idempotency.Happened(recorded("found").Answer), nil
			}))
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			assert.NoError(t, idempotency.MarkEffect(ctx))
			return answer(idempotency.ClassRelease, "500")
		})
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.True(t, marked, "whatever the mark, the callback is asked")
	})
}

func TestReconcileThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		_, op := reconciled(t, b, true, func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
			runtime.Goexit()
			return idempotency.StillUnknown(), nil
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = op.Execute(t.Context(), call("k"), forbidden(t))
		}()
		<-done
		_, rec := b.only(t)
		assert.Equal(t, store.Unknown, rec.State)
		assert.NotZero(t, rec.NotBefore)
	})
}

func TestFoundAnswerThatCannotBeRecordedIsNotGiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, op := reconciled(t, newBackend(), true, func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
			return idempotency.Happened(recorded("found").Answer), nil
		})
		p.node.next("complete", lostRequest)
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrStoreUnavailable)
		time.Sleep(time.Second)
		result, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, "found", string(result.Answer.Body), "it was recorded in the background")
	})
}

func TestLeaseLostWhileReconciling(t *testing.T) {
	t.Parallel()
	for name, finding := range map[string]idempotency.Finding{
		"nothing happened": idempotency.NothingHappened(),
		"an answer":        idempotency.Happened(recorded("found").Answer),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend()
				var p *process
				p, op := reconciled(t, b, true, func(ctx context.Context, _ idempotency.Orphaned) (idempotency.Finding, error) {
					p.node.always(lostRequest, "renew")
					<-ctx.Done()
					assert.ErrorIs(t, context.Cause(ctx), idempotency.ErrLeaseLost)
					time.Sleep(time.Second)
					return finding, nil
				})
				result, err := op.Execute(t.Context(), call("k"), forbidden(t))
				if name == "an answer" { // nobody took over: it is its own to complete
					require.NoError(t, err)
					assert.Equal(t, "found", string(result.Answer.Body))
					return
				}
				refusal(t, err, idempotency.ErrStoreUnavailable)
				_, rec := b.only(t)
				assert.Equal(t, store.Unknown, rec.State, "as it was before")
				assert.Equal(t, 1, rec.Attempt)
			})
		})
	}
}

func TestReconcileIsCheckedAtRegistration(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	never := func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
		return idempotency.StillUnknown(), nil
	}
	_, err := p.guard.Operation("a", idempotency.Reconcile(nil))
	require.ErrorContains(t, err, "the function is nil")
	_, err = p.guard.Operation("a", nil)
	require.ErrorContains(t, err, "nil option")
	_, err = p.guard.Operation("a", idempotency.Reconcile(never), idempotency.Reconcile(never))
	require.ErrorContains(t, err, "given twice")
	_, err = p.guard.Operation("a", idempotency.Reconcile(never))
	require.NoError(t, err)
	_, err = p.guard.Operation("a")
	require.ErrorContains(t, err, "registered already")
	assert.Equal(t, []string{"a"}, p.guard.Operations())
}
