package idempotency_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/store"
)

func TestWithLocker_ALostLockEndsTheHandlersContext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		lose func(l *locks)
	}{
		{"the backend says so", (*locks).revoke},
		{"the backend cannot say", func(l *locks) { l.setDown(true) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, l := newBackend(), newLocks()
				p := locked(t, b, l)
				began := time.Now()
				_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
					tt.lose(l)
					<-ctx.Done()
					assert.Less(t, time.Since(began), lease, "before another could have it")
					assert.ErrorIs(t, context.Cause(ctx), idempotency.ErrLeaseLost)
					assert.ErrorIs(t, context.Cause(ctx), lock.ErrLost)
					assert.ErrorIs(t, idempotency.MarkEffect(ctx), idempotency.ErrLeaseLost)
					return answer(idempotency.ClassRelease, "a")
				})
				require.NoError(t, err)
				_, rec := b.only(t)
				assert.Equal(t, store.Unknown, rec.State, "the handler may have stopped anywhere")
				lost := p.trace.allLost()
				require.Len(t, lost, 1)
				assert.Equal(t, "lock lost", lost[0].Reason)
				assert.EqualValues(t, 1, p.guard.Stats()[0].LeasesLost)
			})
		})
	}
}

// The mark asks the clock, and so knows before the context does.
func TestWithLocker_MarkEffectIsRefusedOnceTheLockHasLapsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLocks()
		locker := &keeping{Locker: newLocker(t, l)}
		p := start(t, newBackend(), idempotency.WithLocker(locker))
		_, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			assert.NoError(t, locker.lease.Release(ctx))
			assert.NoError(t, ctx.Err())
			assert.ErrorIs(t, idempotency.MarkEffect(ctx), idempotency.ErrLeaseLost)
			return recorded("a")
		})
		require.NoError(t, err)
		assert.Zero(t, p.node.count("mark"))
	})
}

// keeping keeps the lease that it gave away last.
type keeping struct {
	idempotency.Locker
	lease *lock.Lease
}

func (k *keeping) TryLock(ctx context.Context, key string) (lease *lock.Lease, err error) {
	k.lease, err = k.Locker.TryLock(ctx, key)
	return k.lease, err
}

// A waiter gets the claim before its predecessor has given the lock back.
func TestWithLocker_WhoFollowsAReleaseWaitsForTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, l := newBackend(), newLocks()
		l.delay("unlock", 100*time.Millisecond)
		policy := idempotency.Policy{Wait: time.Minute}
		first := begin(t.Context(), locked(t, b, l).operation(t, policy), call("k"),
			func(context.Context) idempotency.Answer {
				time.Sleep(time.Second)
				return answer(idempotency.ClassRelease, "a")
			})
		synctest.Wait()
		second := begin(t.Context(), locked(t, b, l).operation(t, policy), call("k"), gives(recorded("b")))
		_, err := first.wait()
		require.NoError(t, err)
		result, err := second.wait()
		require.NoError(t, err)
		assert.Equal(t, idempotency.Executed, result.Outcome)
		assert.Equal(t, 2, result.Attempt)
	})
}

// dead leaves an orphan behind whose process holds the lock a while longer.
func dead(t *testing.T, b *backend, l *locks, key string) {
	t.Helper()
	node := newNode(b)
	guard := guardOn(t, node, idempotency.WithLocker(newLocker(t, l)))
	op, err := guard.Operation("pay", idempotency.Policy{Lease: lease})
	require.NoError(t, err)
	w := newWork(t)
	begin(t.Context(), op, call(key), w.run)
	synctest.Wait()
	require.EqualValues(t, 1, w.runs.Load())
	node.always(lostRequest)
	time.Sleep(lease)
}

func TestWithLocker_TakeOverRunsUnderTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, l := newBackend(), newLocks()
		dead(t, b, l, "k") // and its lock is renewed all the time
		op := locked(t, b, l).operation(t, idempotency.Policy{Orphan: idempotency.OrphanRerun})
		began := time.Now()
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrInProgress)
		assert.LessOrEqual(t, time.Since(began), time.Second)
		_, rec := b.only(t)
		assert.Equal(t, store.Unknown, rec.State, "as it was before the claim that came to nothing")
		assert.Equal(t, 1, rec.Attempt)
	})
}

func TestWithLocker_ReconcileRunsUnderTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, l := newBackend(), newLocks()
		p := locked(t, b, l)
		rerun := idempotency.Policy{Lease: lease}
		asked := 0
		op, err := p.guard.Operation("pay", rerun, idempotency.Reconcile(
			func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
				asked++
				id, _ := b.only(t)
				assert.False(t, l.free(t, id))
				return idempotency.NothingHappened(), nil
			}))
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassUnknown, "a")))
		require.NoError(t, err)
		result, err := op.Execute(t.Context(), call("k"), gives(recorded("b")))
		require.NoError(t, err)
		assert.Equal(t, 1, asked)
		assert.Equal(t, 2, result.Attempt)
		assert.Equal(t, l.count("lock"), l.count("unlock"))
	})
}

func TestWithLocker_TheLockIsHeldUntilTheStoreHasTakenTheEnding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, l := newBackend(), newLocks()
		p := locked(t, b, l)
		p.node.always(lostRequest, "complete")
		result, err := p.operation(t).Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)
		assert.False(t, result.Recorded)
		id, _ := b.only(t)
		assert.False(t, l.free(t, id))
		p.node.repair()
		time.Sleep(lease)
		synctest.Wait()
		assert.True(t, l.free(t, id))
	})
}

func TestWithLocker_ShutdownDuringTheWaitForTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, l := newBackend(), newLocks()
		l.delay("lock", 300*time.Millisecond)
		p := locked(t, b, l)
		r := begin(t.Context(), p.operation(t), call("k"), forbidden(t))
		synctest.Wait()
		require.NoError(t, p.guard.Shutdown(t.Context()))
		_, err := r.wait()
		refusal(t, err, idempotency.ErrDraining)
		id, rec := b.only(t)
		assert.True(t, rec.Void)
		assert.True(t, l.free(t, id))
	})
}

func TestWithLocker_ShutdownThatDoesNotWaitLeavesTheLockToTheHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, l := newBackend(), newLocks()
		p := locked(t, b, l)
		w := newWork(t)
		r := begin(t.Context(), p.operation(t), call("k"), w.run)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, p.guard.Shutdown(ctx))
		require.ErrorIs(t, context.Cause(w.context()), idempotency.ErrDraining)
		id, _ := b.only(t)
		assert.False(t, l.free(t, id), "it still runs")
		w.end <- recorded("a")
		_, err := r.wait()
		require.NoError(t, err)
		assert.True(t, l.free(t, id))
	})
}

// Whoever is gone by the time the lock comes is not started, and holds no lock.
func TestWithLocker_TheCallersEndEndsTheWaitForTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, l := newBackend(), newLocks()
		op := locked(t, b, l).operation(t, idempotency.Policy{Caller: idempotency.CallerAttached})
		_, err := op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassRelease, "a")))
		require.NoError(t, err)
		id, _ := b.only(t)
		owner := lock.NewOwner()
		_, err = l.Backend.Acquire(t.Context(), lock.NewID(id.String()), lock.Claim{Owner: owner, Lease: time.Hour})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err = op.Execute(ctx, call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrNotStarted)
		assert.Equal(t, 50*time.Millisecond, time.Since(began))
		_, err = l.Backend.Release(t.Context(), lock.NewID(id.String()), owner)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		assert.True(t, l.free(t, id))
	})
}

func TestWithLocker_ALockThatComesTooLateIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, l := newBackend(), newLocks()
		l.delay("lock", 700*time.Millisecond)
		op := locked(t, b, l).operation(t)
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrStoreUnavailable)
		id, rec := b.only(t)
		assert.True(t, rec.Void)
		assert.True(t, l.free(t, id))
	})
}

// A locker that does not hear its context may give the lock when nobody waits for it
// any more: the caller has been promised an answer by then.
func TestWithLocker_ALateLockOfALockerThatHearsNothingIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, l := newBackend(), newLocks()
		locker := newLocker(t, l)
		deaf := broken{func() (*lock.Lease, error) {
			time.Sleep(700 * time.Millisecond)
			return locker.TryLock(context.WithoutCancel(t.Context()), "whatever")
		}}
		op := start(t, b, idempotency.WithLocker(deaf)).operation(t)
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrStoreUnavailable)
		_, rec := b.only(t)
		assert.True(t, rec.Void)
		assert.Equal(t, []string{"lock", "unlock"}, l.all())
	})
}
