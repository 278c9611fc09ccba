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

// mostInShadow is how long a request in shadow waits for the store, in all.
const mostInShadow = 100 * time.Millisecond

func inShadow(over idempotency.Policy) idempotency.Policy {
	return idempotency.Policy{Key: idempotency.KeyShadow}.Override(over)
}

// runsInShadow executes a call whose handler must run, and returns what would have
// been.
func runsInShadow(t *testing.T, p *process, op *idempotency.Operation, c idempotency.Call, a idempotency.Answer) idempotency.Finished {
	t.Helper()
	before := len(p.trace.allFinished())
	runs := 0
	result, err := op.Execute(t.Context(), c, func(ctx context.Context) idempotency.Answer {
		runs++
		_, protected := idempotency.FromContext(ctx)
		assert.False(t, protected)
		assert.NoError(t, idempotency.MarkEffect(ctx))
		return a
	})
	require.NoError(t, err)
	assert.Equal(t, 1, runs)
	assert.Equal(t, idempotency.Result{Outcome: idempotency.Unprotected, Answer: a}, result)
	all := p.trace.allFinished()
	require.Len(t, all, before+1)
	assert.True(t, all[before].Shadow)
	return all[before]
}

func TestShadowRecordsTheFirstAnswerAndCountsDuplicates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, inShadow(idempotency.Policy{}))
		first := runsInShadow(t, p, op, call("a"), recorded("first"))
		assert.Equal(t, idempotency.Executed, first.Outcome)
		assert.Equal(t, "complete", first.Ending)
		assert.True(t, first.Recorded)

		assert.Equal(t, idempotency.Replayed, runsInShadow(t, p, op, call("a"), recorded("second")).Outcome)
		other := call("a")
		other.Fingerprint = fingerprint("other")
		assert.Equal(t, idempotency.ErrKeyReused, runsInShadow(t, p, op, other, recorded("other")).Code)
		assert.Equal(t, idempotency.ErrKeyMissing, runsInShadow(t, p, op, call(""), recorded("x")).Code)
		noScope := call("a")
		noScope.Scope = ""
		assert.Equal(t, idempotency.ErrScopeMissing, runsInShadow(t, p, op, noScope, recorded("x")).Code)

		stats := p.guard.Stats()[0]
		assert.Equal(t, idempotency.ShadowStats{Executed: 1, Replayed: 1, Refused: map[idempotency.Code]int64{
			idempotency.ErrKeyReused: 1, idempotency.ErrKeyMissing: 1, idempotency.ErrScopeMissing: 1,
		}}, stats.Shadow)
		assert.Equal(t, int64(5), stats.Unprotected)
		assert.Zero(t, stats.Executed)
		assert.Empty(t, stats.Refused)

		require.NoError(t, p.guard.Override("pay", idempotency.Policy{Key: idempotency.KeyRequired}))
		result, err := op.Execute(t.Context(), call("a"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, "first", string(result.Answer.Body), "once required, what was recorded in shadow is replayed")
	})
}

func TestShadowOfADuplicateOfARunningAttemptRunsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, inShadow(idempotency.Policy{Wait: time.Minute}))
		w := newWork(t)
		first := begin(t.Context(), op, call("a"), w.run)
		synctest.Wait()
		began := time.Now()
		assert.Equal(t, idempotency.ErrInProgress, runsInShadow(t, p, op, call("a"), recorded("second")).Code)
		assert.Equal(t, began, time.Now(), "it does not wait")
		w.end <- recorded("first")
		_, err := first.wait()
		require.NoError(t, err)
	})
}

func TestShadowOfUnknownOutcomes(t *testing.T) {
	t.Parallel()
	reconciled := func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
		assert.Fail(t, "the callback is not asked in shadow")
		return idempotency.StillUnknown(), nil
	}
	tests := []struct {
		name    string
		orphan  idempotency.Orphan
		options []idempotency.OperationOption
		code    idempotency.Code
		outcome idempotency.Outcome
	}{
		{"refuse", idempotency.OrphanRefuse, nil, idempotency.ErrOutcomeUnknown, 0},
		{"rerun unmarked, marked", idempotency.OrphanRerunUnmarked, nil, idempotency.ErrOutcomeUnknown, 0},
		{"rerun", idempotency.OrphanRerun, nil, "", idempotency.Executed},
		{"reconcile", idempotency.OrphanRefuse, []idempotency.OperationOption{idempotency.Reconcile(reconciled)}, idempotency.ErrOutcomeUnknown, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				opts := append(tt.options, inShadow(idempotency.Policy{Lease: lease, Orphan: tt.orphan}))
				op, err := p.guard.Operation("pay", opts...)
				require.NoError(t, err)
				failed := runsInShadow(t, p, op, call("a"), answer(idempotency.ClassRelease, "broken after its mark"))
				assert.Equal(t, "fail", failed.Ending, "its own mark counts")
				would := runsInShadow(t, p, op, call("a"), recorded("second"))
				assert.Equal(t, tt.code, would.Code)
				assert.Equal(t, tt.outcome, would.Outcome)
			})
		})
	}
}

// Whatever the store does, a request in shadow loses no more than a little time.
func TestShadowLosesNothingByTheStore(t *testing.T) {
	t.Parallel()
	deaf := func(context.Context, func() store.Reply) (store.Reply, error) {
		time.Sleep(400 * time.Millisecond) // a client that heeds no context
		return store.Reply{}, store.ErrUnavailable
	}
	tests := []struct {
		name  string
		fault fault
		down  idempotency.StoreDownRule
		most  time.Duration
		want  idempotency.Finished
	}{
		{"refuses connections", lostRequest, "", 0, idempotency.Finished{Code: idempotency.ErrStoreUnavailable}},
		{"hangs", hang, "", mostInShadow, idempotency.Finished{Code: idempotency.ErrStoreUnavailable}},
		{"hangs and does not heed the context", deaf, "", mostInShadow, idempotency.Finished{Code: idempotency.ErrStoreUnavailable}},
		{"hangs, the policy is open", hang, idempotency.StoreDownOpen, mostInShadow, idempotency.Finished{Outcome: idempotency.Unprotected}},
		{"cannot be read", unreadable, "", 0, idempotency.Finished{Code: idempotency.ErrRecordUnreadable}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t, inShadow(idempotency.Policy{StoreDown: tt.down}))
				p.node.always(tt.fault, "claim")
				began := time.Now()
				would := runsInShadow(t, p, op, call("a"), recorded("done"))
				assert.Equal(t, tt.most, time.Since(began))
				assert.Equal(t, tt.want.Code, would.Code)
				assert.Equal(t, tt.want.Outcome, would.Outcome)
				p.node.repair()
			})
		})
	}
}

// The time is one budget: a store that is slow at each call does not take it
// three times. What it has not answered by then is sent in the background.
func TestShadowWaitsOnceForAClaimAMarkAndAnEnding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p := start(t, b)
		op := p.operation(t, inShadow(idempotency.Policy{}))
		p.node.always(slow(60*time.Millisecond), "claim", "mark", "complete")
		began := time.Now()
		would := runsInShadow(t, p, op, call("a"), recorded("done"))
		assert.Equal(t, mostInShadow, time.Since(began))
		assert.Equal(t, idempotency.Executed, would.Outcome)
		assert.False(t, would.Recorded)
		time.Sleep(time.Second)
		_, rec := b.only(t)
		assert.Equal(t, store.Completed, rec.State)
		assert.Equal(t, "done", string(rec.Answer.Body))
	})
}

// A claim whose answer came too late is given back, so that nothing is left behind
// as running.
func TestShadowGivesALateClaimBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p := start(t, b)
		op := p.operation(t, inShadow(idempotency.Policy{}))
		p.node.next("claim", slow(300*time.Millisecond))
		assert.Equal(t, idempotency.ErrStoreUnavailable, runsInShadow(t, p, op, call("a"), recorded("first")).Code)
		time.Sleep(time.Second)
		_, rec := b.only(t)
		assert.Equal(t, store.Released, rec.State)
		assert.Equal(t, idempotency.Executed, runsInShadow(t, p, op, call("a"), recorded("second")).Outcome)
	})
}

func TestShadowLosesItsLeaseAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, inShadow(idempotency.Policy{}))
		p.node.always(lostRequest, "renew")
		result, err := op.Execute(t.Context(), call("a"), func(ctx context.Context) idempotency.Answer {
			time.Sleep(2 * lease)
			assert.NoError(t, ctx.Err())
			assert.NoError(t, idempotency.MarkEffect(ctx))
			assert.NoError(t, idempotency.RetainFor(ctx, 1))
			return recorded("done")
		})
		require.NoError(t, err)
		assert.Equal(t, "done", string(result.Answer.Body))
		assert.Len(t, p.trace.allLost(), 1)
		assert.Equal(t, int64(1), p.guard.Stats()[0].LeasesLost)
	})
}

func TestShadowDeposedIsLeaseLostInTheCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p, other := start(t, b), start(t, b)
		op := p.operation(t, inShadow(idempotency.Policy{}))
		taker := other.operation(t, idempotency.Policy{Orphan: idempotency.OrphanRerun})
		p.node.always(lostRequest, "renew")
		result, err := op.Execute(t.Context(), call("a"), func(context.Context) idempotency.Answer {
			time.Sleep(2 * lease)
			_, err := taker.Execute(t.Context(), call("a"), gives(recorded("other")))
			assert.NoError(t, err)
			return recorded("own")
		})
		require.NoError(t, err)
		assert.Equal(t, "own", string(result.Answer.Body), "the caller gets the handler's own answer")
		assert.Equal(t, idempotency.ErrLeaseLost, p.trace.allFinished()[0].Code)
	})
}

// The handler's context is the caller's own, as on an unprotected route; what a
// handler leaves that was interrupted is not recorded as an answer.
func TestShadowEndsWithItsCallerAndRecordsNoHalfAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p := start(t, b)
		op := p.operation(t, inShadow(idempotency.Policy{}))
		ctx, cancel := context.WithCancel(t.Context())
		_, err := op.Execute(ctx, call("a"), func(ctx context.Context) idempotency.Answer {
			cancel()
			assert.ErrorIs(t, ctx.Err(), context.Canceled)
			return recorded("half")
		})
		require.NoError(t, err)
		_, rec := b.only(t)
		assert.Equal(t, store.Unknown, rec.State)
	})
}

func TestShadowRunsWhatLimitsAndADrainingGuardWouldRefuse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend(), idempotency.WithLimits(idempotency.Limits{InFlight: 1}))
		op := p.operation(t, inShadow(idempotency.Policy{}))
		w := newWork(t)
		first := begin(t.Context(), op, call("a"), w.run)
		synctest.Wait()
		assert.Equal(t, idempotency.ErrOverloaded, runsInShadow(t, p, op, call("b"), recorded("second")).Code)
		w.end <- recorded("first")
		_, err := first.wait()
		require.NoError(t, err)
		require.NoError(t, p.guard.Shutdown(t.Context()))
		assert.Equal(t, idempotency.ErrDraining, runsInShadow(t, p, op, call("c"), recorded("third")).Code)
	})
}

func TestShadowOfAPanicIsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p := start(t, b)
		op := p.operation(t, inShadow(idempotency.Policy{}))
		assert.PanicsWithValue(t, "boom", func() {
			_, _ = op.Execute(t.Context(), call("a"), func(context.Context) idempotency.Answer { panic("boom") })
		})
		_, rec := b.only(t)
		assert.Equal(t, store.Unknown, rec.State)
		assert.True(t, p.trace.allFinished()[0].Shadow)
		assert.Equal(t, "fail", p.trace.allFinished()[0].Ending)
	})
}

// That a handler marked counts for how it ends, whether the store has heard of it
// or not.
func TestShadowHeedsAMarkThatTheStoreDidNotTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, inShadow(idempotency.Policy{}))
		p.node.always(lostRequest, "mark")
		assert.Equal(t, "fail", runsInShadow(t, p, op, call("a"), answer(idempotency.ClassRelease, "busy")).Ending)
	})
}

// What a handler says of its answer holds for the record: a secret is not kept.
func TestShadowHeedsWhatTheHandlerSaysOfItsAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p := start(t, b)
		op := p.operation(t, inShadow(idempotency.Policy{}))
		_, err := op.Execute(t.Context(), call("a"), func(ctx context.Context) idempotency.Answer {
			idempotency.OmitBody(ctx)
			return recorded("secret")
		})
		require.NoError(t, err)
		_, rec := b.only(t)
		assert.Equal(t, store.BodySecret, rec.Answer.Omitted)
		assert.Empty(t, rec.Answer.Body)
	})
}

func TestShadowDoesNotAskTheReplayGuard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, inShadow(idempotency.Policy{}))
		c := call("a")
		c.MayReplay = func(idempotency.Recorded) error { panic("nothing is replayed") }
		runsInShadow(t, p, op, c, recorded("first"))
		assert.Equal(t, idempotency.Replayed, runsInShadow(t, p, op, c, recorded("second")).Outcome)
	})
}
