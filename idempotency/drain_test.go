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

// shutdown begins a shutdown and returns where its result will be.
func shutdown(ctx context.Context, guard *idempotency.Guard) <-chan error {
	done := make(chan error, 1)
	go func() { done <- guard.Shutdown(ctx) }()
	synctest.Wait()
	return done
}

func refusesAll(t *testing.T, op *idempotency.Operation, p *process) {
	t.Helper()
	before := p.node.count("")
	for _, key := range []string{"replay", "running", "new"} {
		_, err := op.Execute(t.Context(), call(key), forbidden(t))
		assert.Equal(t, time.Second, refusal(t, err, idempotency.ErrDraining).RetryAfter)
	}
	assert.Equal(t, before, p.node.count(""), "no call to the store")
	assert.ErrorIs(t, p.guard.Health(t.Context()), idempotency.ErrDraining)
}

func TestShutdownLetsRunningAttemptsFinishAndNobodyIn_P6_F10(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p := start(t, b)
		op := p.operation(t)
		_, err := op.Execute(t.Context(), call("replay"), gives(recorded("old")))
		require.NoError(t, err)
		w := newWork(t)
		first := begin(t.Context(), op, call("running"), w.run)
		synctest.Wait()

		done := shutdown(t.Context(), p.guard)
		refusesAll(t, op, p)
		time.Sleep(5 * lease)
		assert.NoError(t, w.context().Err(), "renewed until it is done")
		select {
		case <-done:
			assert.Fail(t, "Shutdown did not wait")
		default:
		}
		w.end <- recorded("a")
		result, err := first.wait()
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		assert.NoError(t, <-done)

		refusesAll(t, op, p)
		assert.NoError(t, p.guard.Shutdown(t.Context()), "a second time")
		again, err := start(t, b).operation(t).Execute(t.Context(), call("running"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, recorded("a"), again.Answer)
	})
}

func TestShutdownGivesClaimsBackThatDidNotStart_P6(t *testing.T) {
	t.Parallel()
	for name, giveBack := range map[string]fault{"taken": noFault, "not taken at once": lostRequest, "reply lost": lostReply} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				p.node.next("claim", slow(200*time.Millisecond))
				p.node.next("release", giveBack)
				e := begin(t.Context(), p.operation(t), call("k"), forbidden(t))
				synctest.Wait()
				assert.NoError(t, <-shutdown(t.Context(), p.guard))
				_, err := e.wait()
				refusal(t, err, idempotency.ErrDraining)
				_, rec := p.node.backend.only(t)
				assert.Equal(t, store.Released, rec.State)
				assert.Zero(t, rec.Attempt, "nothing ever started")
			})
		})
	}
}

func TestShutdownWaitsForEndingsInTheBackground_P6_S4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.always(lostRequest, "complete")
		_, err := p.operation(t).Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)
		done := shutdown(t.Context(), p.guard)
		time.Sleep(lease / 3)
		p.node.repair()
		assert.NoError(t, <-done)
		_, rec := p.node.backend.only(t)
		assert.Equal(t, store.Completed, rec.State)
	})
}

func TestShutdownWaitsForTheReleaseOfAnUnclearClaim_P6_L16(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.next("claim", lostReply)
		p.node.next("release", lostRequest, lostRequest)
		_, err := p.operation(t).Execute(t.Context(), call("k"), forbidden(t))
		require.ErrorIs(t, err, idempotency.ErrStoreUnavailable)
		assert.NoError(t, p.guard.Shutdown(t.Context()))
		_, rec := p.node.backend.only(t)
		assert.Equal(t, store.Released, rec.State)
	})
}

// A release that the store refuses is tried again in case that the claim is
// still on its way; that alone must not keep a process from ending.
func TestShutdownDoesNotWaitOnceTheStoreHasAnswered_P6(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, idempotency.Policy{Lease: time.Minute})
		_, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)
		p.node.next("claim", lostRequest)
		_, err = op.Execute(t.Context(), call("k"), forbidden(t))
		require.ErrorIs(t, err, idempotency.ErrStoreUnavailable)
		began := time.Now()
		assert.NoError(t, p.guard.Shutdown(t.Context()))
		assert.Less(t, time.Since(began), time.Second)
		settled := p.trace.allLateEndings()
		require.Len(t, settled, 1)
		assert.NoError(t, settled[0].Err)
	})
}

func TestDrainDeadlineCancelsWhatStillRuns_P7(t *testing.T) {
	t.Parallel()
	eachOrphan(t, func(t *testing.T, p *process, op *idempotency.Operation, marked, rerun bool) {
		stopped := begin(t.Context(), op, call("k"), func(ctx context.Context) idempotency.Answer {
			if marked {
				mark(t, ctx)
			}
			<-ctx.Done()
			assert.ErrorIs(t, context.Cause(ctx), idempotency.ErrDraining)
			return answer(idempotency.ClassRelease, "503")
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 2*lease)
		defer cancel()
		began := time.Now()
		assert.ErrorIs(t, p.guard.Shutdown(ctx), context.DeadlineExceeded)
		assert.Equal(t, 2*lease, time.Since(began))
		result, err := stopped.wait()
		require.NoError(t, err)
		assert.False(t, result.Recorded)
		assert.Equal(t, "closed", p.trace.allLost()[0].Reason)
		assert.NoError(t, p.guard.Shutdown(t.Context()), "now there is nothing left")

		policy := op.Policy()
		other, err := start(t, p.node.backend).guard.Operation("pay", policy)
		require.NoError(t, err)
		afterOrphan(t, other, rerun, result.Token)
	})
}

func TestDeafHandlerDoesNotHoldAShutdownUp_P7(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		w := newWork(t)
		first := begin(t.Context(), p.operation(t), call("k"), w.run)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, p.guard.Shutdown(ctx), context.DeadlineExceeded)
		assert.ErrorIs(t, p.guard.Shutdown(ctx), context.DeadlineExceeded, "still running")
		renewals := p.node.count("renew")
		time.Sleep(2 * lease)
		assert.Equal(t, renewals, p.node.count("renew"), "renewals stop")

		w.end <- recorded("a")
		result, err := first.wait()
		require.NoError(t, err)
		assert.True(t, result.Recorded, "nobody took over, so the answer is still taken")
		assert.NoError(t, p.guard.Shutdown(t.Context()))
	})
}

func TestDrainDeadlineGivesPendingEndingsUp_P7(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t)
		_, err := op.Execute(t.Context(), call("k"), func(context.Context) idempotency.Answer {
			p.node.always(hang)
			return recorded("a")
		})
		require.NoError(t, err)
		w := newWork(t)
		p.node.repair()
		running := begin(t.Context(), op, call("l"), w.run)
		synctest.Wait()
		p.node.always(hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		assert.ErrorIs(t, p.guard.Shutdown(ctx), context.DeadlineExceeded)
		assert.LessOrEqual(t, time.Since(began), 2*time.Second, "calls under way have their own limit")

		w.end <- recorded("b") // an ending that fails after the end has no background any more
		result, err := running.wait()
		require.NoError(t, err)
		assert.False(t, result.Recorded)
		settled := p.trace.allLateEndings()
		require.Len(t, settled, 2)
		for _, s := range settled {
			assert.ErrorContains(t, s.Err, "shut down")
		}
	})
}

func TestShutdownOfAnIdleGuardNeedsNoTime_F80(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		assert.NoError(t, p.guard.Shutdown(ctx), "nothing to wait for")
		refusesAll(t, p.operation(t), p)
	})
}

func TestConcurrentShutdowns_F80(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		w := newWork(t)
		first := begin(t.Context(), p.operation(t), call("k"), w.run)
		synctest.Wait()
		one, two := shutdown(t.Context(), p.guard), shutdown(t.Context(), p.guard)
		w.end <- recorded("a")
		assert.NoError(t, <-one)
		assert.NoError(t, <-two)
		_, err := first.wait()
		require.NoError(t, err)
	})
}
