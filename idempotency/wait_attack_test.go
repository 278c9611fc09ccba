package idempotency_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestShutdownThatRunsOutOfTimeGivesTheCrowdsClaimBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		other := start(t, b) // another process, whose attempt releases
		p, _ := startListening(t, b)
		op := p.operation(t, waits(time.Minute))
		owner := newWork(t)
		first := begin(t.Context(), other.operation(t), call("k"), owner.run)
		synctest.Wait()
		waiting := begin(t.Context(), op, call("k"), forbidden(t))
		time.Sleep(100 * time.Millisecond)
		p.node.next("claim", slow(300*time.Millisecond))
		owner.end <- answer(idempotency.ClassRelease, "503")
		_, err := first.wait()
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond) // the claim for the crowd is executed, its reply on its way
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, p.guard.Shutdown(ctx), context.DeadlineExceeded)
		_, err = waiting.wait()
		refusal(t, err, idempotency.ErrDraining)
		time.Sleep(time.Minute)
		_, err = other.operation(t).Execute(t.Context(), call("k"), gives(recorded("b")))
		assert.NoError(t, err, "no handler had started")
	})
}

func TestShutdownThatRunsOutOfTimeGivesAClaimBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		other := start(t, b)
		p, _ := startListening(t, b)
		p.node.next("claim", slow(300*time.Millisecond))
		waiting := begin(t.Context(), p.operation(t, waits(time.Minute)), call("k"), forbidden(t))
		time.Sleep(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, p.guard.Shutdown(ctx), context.DeadlineExceeded)
		_, err := waiting.wait()
		refusal(t, err, idempotency.ErrDraining)
		time.Sleep(time.Minute)
		_, err = other.operation(t).Execute(t.Context(), call("k"), gives(recorded("b")))
		assert.NoError(t, err, "no handler had started")
	})
}

func TestNothingRunsUnprotectedForACallerThatHasGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute), idempotency.Policy{StoreDown: idempotency.StoreDownOpen, Lease: time.Minute})
		owner := begin(t.Context(), op, call("k"), takes(10*time.Second, "a"))
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		var runs atomic.Int32
		waiting := begin(ctx, op, call("k"), func(context.Context) idempotency.Answer { runs.Add(1); return recorded("x") })
		time.Sleep(100 * time.Millisecond)
		p.node.always(lostRequest, "claim")
		time.Sleep(2 * time.Second)
		cancel()
		_, err := waiting.wait()
		refusal(t, err, idempotency.ErrStoreUnavailable)
		assert.Zero(t, runs.Load(), "ran for a caller that has gone, beside the attempt that this process runs")
		p.node.repair()
		_, _ = owner.wait()
	})
}

func TestSurplusAsksAStoreThatDidNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute), idempotency.Policy{StoreDown: idempotency.StoreDownOpen, Lease: time.Minute, MaxWaiters: 1})
		owner := begin(t.Context(), op, call("k"), takes(10*time.Second, "a"))
		synctest.Wait()
		w := begin(t.Context(), op, call("k"), forbidden(t))
		time.Sleep(600 * time.Millisecond)
		before := p.node.count("claim")
		p.node.next("claim", lostRequest) // one single claim fails
		for p.node.count("claim") == before {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(501 * time.Millisecond) // the store's time-out; the next try comes later
		claims := p.node.count("claim")
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrInProgress)
		assert.Equal(t, claims+1, p.node.count("claim"))
		allReplay(t, []*running{w}, "a")
		_, _ = owner.wait()
	})
}

func TestNothingRunsUnprotectedBesideAnAttemptThatIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(2*time.Second), idempotency.Policy{StoreDown: idempotency.StoreDownOpen, Lease: time.Minute})
		owner := begin(t.Context(), op, call("k"), takes(10*time.Second, "a"))
		synctest.Wait()
		var runs atomic.Int32
		all := duplicates(t.Context(), 20, op, func(context.Context) idempotency.Answer { runs.Add(1); return recorded("x") })
		time.Sleep(1 * time.Second)
		p.node.next("claim", lostRequest) // one single claim fails
		for _, r := range all {
			_, _ = r.wait()
		}
		assert.Zero(t, runs.Load(), "one lost claim, and all who waited run beside the attempt")
		_, _ = owner.wait()
	})
}

// panickyNotifier is a wrapper around a store that does not notify.
type panickyNotifier struct {
	*node
	store.Notifier // nil
}

func TestNotifierThatPanicsEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &process{node: newNode(newBackend()), trace: &recorder{}, log: &logs{}}
		p.guard = guardOn(t, panickyNotifier{node: p.node}, idempotency.WithLogger(p.log.logger()))
		op := p.operation(t, waits(10*time.Second))
		owner := begin(t.Context(), op, call("k"), takes(time.Second, "a"))
		synctest.Wait()
		allReplay(t, duplicates(t.Context(), 5, op, forbidden(t)), "a")
		assert.Contains(t, p.log.String(), "notifier panicked")
		_, err := owner.wait()
		require.NoError(t, err)
	})
}

func TestNoHandlerIsStartedWithAnEndedContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		started := false
		_, err := op.Execute(ctx, call("k"), func(ctx context.Context) idempotency.Answer {
			started = true
			if ctx.Err() != nil { // what every driver does first
				return answer(idempotency.ClassRelease, "503")
			}
			return recorded("a")
		})
		refusal(t, err, idempotency.ErrNotStarted)
		assert.False(t, started, "started with a context that has ended already")
		_, err = op.Execute(t.Context(), call("k"), gives(recorded("b")))
		assert.NoError(t, err, "nothing had happened")
	})
}

func TestNoHandlerIsStartedForAnAttachedCallerThatHasGone(t *testing.T) {
	t.Parallel()
	bad := 0
	for range 40 {
		synctest.Test(t, func(t *testing.T) {
			p, _ := startListening(t, newBackend())
			op := p.operation(t, waits(time.Minute), idempotency.Policy{Caller: idempotency.CallerAttached})
			owner := newWork(t)
			first := begin(t.Context(), op, call("k"), owner.run)
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			gone := begin(ctx, op, call("k"), func(ctx context.Context) idempotency.Answer {
				if ctx.Err() != nil {
					bad++
				}
				return answer(idempotency.ClassRelease, "503")
			})
			time.Sleep(100 * time.Millisecond)
			p.node.next("claim", func(_ context.Context, execute func() store.Reply) (store.Reply, error) {
				r := execute()
				time.Sleep(time.Millisecond)
				cancel()
				return r, nil
			})
			owner.end <- answer(idempotency.ClassRelease, "503")
			_, _ = first.wait()
			_, _ = gone.wait()
		})
	}
	assert.Zero(t, bad, "started with an ended context")
}

// 5

// A claim that finds its owner's attempt ended says nothing against the store.
func TestLateClaimOfACrowdIsNoOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(time.Second), idempotency.Policy{StoreDown: idempotency.StoreDownOpen, Lease: time.Minute})
		owner := begin(t.Context(), op, call("k"), takes(10*time.Second, "a"))
		synctest.Wait()
		waiting := begin(t.Context(), op, call("k"), forbidden(t))
		time.Sleep(100 * time.Millisecond)
		p.node.always(says(store.Ended), "claim")
		_, err := waiting.wait()
		refusal(t, err, idempotency.ErrInProgress)
		p.node.repair()
		_, err = owner.wait()
		require.NoError(t, err)
	})
}
