package idempotency_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

type examinedListening struct {
	*examined
	wire *wire
}

func (n *examinedListening) Watch(id store.ID) store.Watch {
	return (&listeningNode{n.node, n.wire}).Watch(id)
}

func TestStrictCheckAlsoHoldsForThoseWhoWaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		e := &examined{node: newNode(b)}
		heard := newWire()
		b.onEnd(heard.tell)
		g := guardOn(t, &examinedListening{e, heard}, idempotency.StrictCheck())
		synctest.Wait()
		op, err := g.Operation("pay", idempotency.Policy{Lease: lease, Wait: 5 * time.Minute})
		require.NoError(t, err)
		other := start(t, b)
		owner := newWork(t)
		first := begin(t.Context(), other.operation(t), call("k"), owner.run)
		synctest.Wait()
		ran := false
		w := begin(t.Context(), op, call("k"), func(context.Context) idempotency.Answer { ran = true; return recorded("b") })
		time.Sleep(time.Second)
		e.set([]error{errEvicts}, nil)
		time.Sleep(2 * time.Minute)
		_, err = op.Execute(t.Context(), call("other"), forbidden(t))
		refusal(t, err, idempotency.ErrStoreUnavailable)
		owner.end <- answer(idempotency.ClassRelease, "503")
		_, _ = first.wait()
		_, err = w.wait()
		refusal(t, err, idempotency.ErrStoreUnavailable)
		assert.False(t, ran, "a strict guard that found a fault started a handler")
	})
}

func TestL5_FaultyCallbackIsNotAskedByEveryWaiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p, _ := startListening(t, b)
		calls := 0
		op, err := p.guard.Operation("pay", idempotency.Policy{Lease: lease, Wait: time.Minute},
			idempotency.Reconcile(func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
				calls++
				time.Sleep(10 * time.Millisecond)
				return idempotency.Happened(store.Answer{Body: []byte("no codec")}), nil
			}))
		require.NoError(t, err)
		owner := newWork(t)
		first := begin(t.Context(), op, call("k"), owner.run)
		synctest.Wait()
		all := duplicates(t.Context(), 200, op, forbidden(t))
		time.Sleep(time.Second)
		owner.end <- idempotency.Answer{Class: idempotency.ClassUnknown}
		_, _ = first.wait()
		for _, r := range all {
			_, _ = r.wait()
		}
		assert.LessOrEqual(t, calls, 1, "30 s between two callbacks of one operation")
	})
}

func TestReplayNeedsNoRoomToWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend(), idempotency.WithLimits(idempotency.Limits{Waiters: 1}))
		op := p.operation(t, waits(time.Minute))
		_, err := op.Execute(t.Context(), call("done"), gives(recorded("a")))
		require.NoError(t, err)
		owner := begin(t.Context(), op, call("busy"), takes(5*time.Second, "a"))
		synctest.Wait()
		w := begin(t.Context(), op, call("busy"), forbidden(t))
		synctest.Wait()
		p.node.next("claim", slow(10*time.Millisecond))
		one := begin(t.Context(), op, call("done"), forbidden(t))
		synctest.Wait()
		_, err = op.Execute(t.Context(), call("done"), forbidden(t))
		assert.NoError(t, err, "the operation is done, and its answer recorded")
		_, err = one.wait()
		require.NoError(t, err)
		_, _ = w.wait()
		_, _ = owner.wait()
	})
}

func TestStoreThatHasNotAnsweredIsNoConflict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(100*time.Millisecond))
		p.node.always(hang, "claim")
		one := begin(t.Context(), op, call("k"), forbidden(t))
		synctest.Wait()
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		_, first := one.wait()
		refusal(t, first, idempotency.ErrStoreUnavailable)
		refusal(t, err, idempotency.ErrStoreUnavailable)
	})
}

func TestNestedCallWithTheSameKeyDoesNotWaitForItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(10*time.Minute))
		began := time.Now()
		_, err := op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			_, err := op.Execute(ctx, call("k"), forbidden(t))
			assert.ErrorIs(t, err, idempotency.ErrInProgress)
			return recorded("a")
		})
		require.NoError(t, err)
		assert.Less(t, time.Since(began), time.Second, "nobody but itself could have ended the wait")
	})
}

func TestNilContextIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(10*time.Second))
		var none context.Context
		_, err := op.Execute(none, call("k"), forbidden(t))
		require.ErrorContains(t, err, "context is nil")
		began := time.Now()
		_, err = op.Execute(t.Context(), call("k"), gives(recorded("a")))
		assert.NoError(t, err)
		assert.Zero(t, time.Since(began))
	})
}

func TestStoreThatEndsTheGoroutineLeavesTheKeyUsable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(10*time.Second))
		p.node.next("claim", func(context.Context, func() store.Reply) (store.Reply, error) {
			runtime.Goexit()
			return store.Reply{}, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = op.Execute(t.Context(), call("k"), forbidden(t)) })
		wg.Wait()
		_, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
		assert.NoError(t, err)
	})
}

func TestHerdOfKeysIsSpreadAfterAReconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p, heard := startListening(t, b)
		other := start(t, b)
		op, opOther := p.operation(t, waits(time.Minute), idempotency.Policy{Lease: time.Minute}), other.operation(t, idempotency.Policy{Lease: time.Minute})
		const n = 2000
		var all []*running
		key := func(i int) string { return "k" + string(rune('a'+i%26)) + time.Duration(i).String() }
		for i := range n {
			all = append(all, begin(t.Context(), opOther, call(key(i)), takes(20*time.Second, "a")))
		}
		synctest.Wait()
		for i := range n {
			time.Sleep(time.Millisecond) // they come one after the other
			all = append(all, begin(t.Context(), op, call(key(i)), forbidden(t)))
		}
		time.Sleep(5 * time.Second)
		var at sync.Map
		p.node.always(func(_ context.Context, execute func() store.Reply) (store.Reply, error) {
			v, _ := at.LoadOrStore(time.Now().UnixMilli(), new(atomic.Int64))
			count, _ := v.(*atomic.Int64)
			count.Add(1)
			return execute(), nil
		}, "claim")
		heard.mu.Lock() // a reconnect
		for w := range heard.watches {
			heard.signal(w)
		}
		heard.mu.Unlock()
		time.Sleep(7 * time.Second)
		peaks := 0
		at.Range(func(_, v any) bool {
			if c, _ := v.(*atomic.Int64); c.Load() > n/10 {
				peaks++
			}
			return true
		})
		assert.LessOrEqual(t, peaks, 1, "the herd stays a herd")
		for _, r := range all {
			_, err := r.wait()
			require.NoError(t, err)
		}
	})
}

// closedWatch signals without end.
type closedWatch struct{ c chan struct{} }

func (w closedWatch) Signals() <-chan struct{} { return w.c }
func (w closedWatch) Close()                   {}

type stormNode struct{ *node }

func (n *stormNode) Watch(store.ID) store.Watch {
	c := make(chan struct{})
	close(c)
	return closedWatch{c}
}

func TestStormOfSignalsIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &process{node: newNode(newBackend()), trace: &recorder{}, log: &logs{}}
		p.guard = guardOn(t, &stormNode{p.node}, idempotency.WithLogger(p.log.logger()))
		op := p.operation(t, waits(10*time.Second))
		owner := begin(t.Context(), op, call("k"), takes(time.Second, "a"))
		synctest.Wait()
		allReplay(t, duplicates(t.Context(), 5, op, forbidden(t)), "a")
		assert.LessOrEqual(t, p.node.count("claim"), 45, "one in 25 ms at most")
		_, err := owner.wait()
		require.NoError(t, err)
	})
}

// A claim for the crowd is slow on its way; the next one of the same owner wins,
// its winner runs and releases; another comes and goes; then the first arrives.
func TestF28_LateClaimOfACrowdThatWon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		other := start(t, b).operation(t)
		p, _ := startListening(t, b)
		op := p.operation(t, waits(time.Minute))
		owner := newWork(t)
		first := begin(t.Context(), other, call("k"), owner.run)
		synctest.Wait()
		w := begin(t.Context(), op, call("k"), gives(answer(idempotency.ClassRelease, "503")))
		time.Sleep(100 * time.Millisecond)
		p.node.next("claim", late(1500*time.Millisecond))
		owner.end <- answer(idempotency.ClassRelease, "503")
		_, _ = first.wait()
		_, err := w.wait() // wins at the re-check, runs, releases
		require.NoError(t, err)
		_, err = other.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassRelease, "503")))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = other.Execute(t.Context(), call("k"), gives(recorded("b")))
		assert.NoError(t, err, "every attempt that started said that nothing happened")
	})
}

// The same without a crowd: the release of an unanswered claim found nothing and
// is content with its tombstone, which the next attempt replaces.
func TestF28_LateClaimAfterItsTombstoneWasReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p := start(t, b)
		op := p.operation(t)
		p.node.next("claim", late(time.Second))
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrStoreUnavailable)
		time.Sleep(200 * time.Millisecond) // released in the background
		_, err = op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassRelease, "503")))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = op.Execute(t.Context(), call("k"), gives(recorded("b")))
		assert.NoError(t, err)
	})
}
