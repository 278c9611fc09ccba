package idempotency_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestF79_WaitersThatVanishLeaveNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, heard := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		owner := newWork(t)
		first := begin(t.Context(), op, call("k"), owner.run)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		all := duplicates(ctx, 20, op, forbidden(t))
		synctest.Wait()
		cancel()
		for _, r := range all {
			_, err := r.wait()
			refusal(t, err, idempotency.ErrInProgress)
		}
		synctest.Wait()
		assert.Zero(t, heard.listening())
		claims := p.node.count("claim")
		time.Sleep(10 * time.Second)
		assert.Equal(t, claims, p.node.count("claim"), "nobody asks any more")
		owner.end <- recorded("a")
		_, err := first.wait()
		require.NoError(t, err)
	})
}

// The last waiter leaves while the claim that would have been its own is on its
// way.
func TestClaimThatNobodyWantsAnyMoreIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p, _ := startListening(t, b)
		op := p.operation(t, waits(time.Minute))
		owner := newWork(t)
		first := begin(t.Context(), op, call("k"), owner.run)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		waiting := begin(ctx, op, call("k"), forbidden(t))
		time.Sleep(100 * time.Millisecond)
		p.node.next("claim", slow(300*time.Millisecond))
		owner.end <- answer(idempotency.ClassRelease, "503")
		_, err := first.wait()
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
		cancel()
		_, err = waiting.wait()
		refusal(t, err, idempotency.ErrInProgress)
		time.Sleep(400 * time.Millisecond)
		_, rec := b.only(t)
		assert.Equal(t, store.Released, rec.State)
		assert.Equal(t, 1, rec.Attempt, "the number of an attempt that never started is given back")
	})
}

func TestClaimGoesToTheNextWhoIsStillThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		owner := newWork(t)
		first := begin(t.Context(), op, call("k"), owner.run)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		gone := begin(ctx, op, call("k"), forbidden(t))
		time.Sleep(100 * time.Millisecond)
		stays := begin(t.Context(), op, call("k"), gives(recorded("b")))
		synctest.Wait()
		p.node.next("claim", slow(300*time.Millisecond))
		owner.end <- answer(idempotency.ClassRelease, "503")
		_, err := first.wait()
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
		cancel()
		_, err = gone.wait()
		refusal(t, err, idempotency.ErrInProgress)
		result, err := stays.wait()
		require.NoError(t, err)
		assert.Equal(t, idempotency.Executed, result.Outcome)
		assert.Equal(t, 2, result.Attempt)
	})
}

// A claim for the crowd whose reply is lost was executed: nobody may be left
// behind as running, and the one who gets it is its owner.
func TestLostReplyToTheCrowdsClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		owner := newWork(t)
		first := begin(t.Context(), op, call("k"), owner.run)
		synctest.Wait()
		all := duplicates(t.Context(), 3, op, gives(recorded("b")))
		time.Sleep(100 * time.Millisecond)
		p.node.next("claim", lostReply)
		owner.end <- answer(idempotency.ClassRelease, "503")
		_, err := first.wait()
		require.NoError(t, err)
		began := time.Now()
		for _, r := range all {
			result, err := r.wait()
			require.NoError(t, err)
			assert.Equal(t, "b", string(result.Answer.Body))
			assert.Equal(t, 2, result.Attempt)
		}
		assert.LessOrEqual(t, time.Since(began), 2*time.Second)
	})
}

func TestLostReplyToTheClaimOfACrowdThatLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p, _ := startListening(t, b)
		op := p.operation(t, waits(time.Second))
		owner := newWork(t)
		first := begin(t.Context(), op, call("k"), owner.run)
		synctest.Wait()
		all := duplicates(t.Context(), 3, op, forbidden(t))
		time.Sleep(100 * time.Millisecond)
		p.node.next("claim", lostReply)
		p.node.always(lostRequest, "claim")
		owner.end <- answer(idempotency.ClassRelease, "503")
		_, err := first.wait()
		require.NoError(t, err)
		for _, r := range all {
			_, err := r.wait()
			refusal(t, err, idempotency.ErrStoreUnavailable)
		}
		time.Sleep(time.Second)
		_, rec := b.only(t)
		assert.Equal(t, store.Released, rec.State, "released in the background")
	})
}

func TestStoreOutageWhileTheyWait(t *testing.T) {
	t.Parallel()
	for name, repaired := range map[string]bool{"that ends": true, "that does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, heard := startListening(t, newBackend())
				op := p.operation(t, waits(6*time.Second), idempotency.Policy{Lease: time.Minute})
				owner := begin(t.Context(), op, call("k"), takes(time.Second, "a"))
				synctest.Wait()
				all := duplicates(t.Context(), 5, op, forbidden(t))
				time.Sleep(100 * time.Millisecond)
				p.node.always(lostRequest)
				time.Sleep(2 * time.Second)
				if repaired {
					p.node.repair()
					allReplay(t, all, "a")
				}
				for _, r := range all {
					_, err := r.wait()
					if !repaired {
						assert.Equal(t, time.Second, refusal(t, err, idempotency.ErrStoreUnavailable).RetryAfter)
					}
				}
				p.node.repair()
				_, err := owner.wait()
				require.NoError(t, err)
				synctest.Wait()
				assert.Zero(t, heard.listening())
			})
		})
	}
}

func TestS1_OutageAtTheFirstClaimIsToldToAllWhoJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, heard := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		p.node.always(hang, "claim")
		began := time.Now()
		all := duplicates(t.Context(), 100, op, forbidden(t))
		for _, r := range all {
			_, err := r.wait()
			refusal(t, err, idempotency.ErrStoreUnavailable)
		}
		assert.Equal(t, time.Second, time.Since(began), "two calls that hang")
		assert.Equal(t, 2, p.node.count("claim"))
		time.Sleep(time.Second)
		assert.GreaterOrEqual(t, p.node.count("release"), 2, "two claims were sent, two are released")
		assert.Zero(t, heard.listening())
	})
}

func TestRecordThatTurnsUnreadableIsToldToAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		owner := begin(t.Context(), op, call("k"), takes(5*time.Second, "a"))
		synctest.Wait()
		all := duplicates(t.Context(), 5, op, forbidden(t))
		synctest.Wait()
		p.node.always(unreadable, "claim")
		for _, r := range all {
			_, err := r.wait()
			refusal(t, err, idempotency.ErrRecordUnreadable)
		}
		_, err := owner.wait()
		require.NoError(t, err)
	})
}

func TestP6_DrainSendsWaitersAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, heard := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		owner := begin(t.Context(), op, call("k"), takes(5*time.Second, "a"))
		synctest.Wait()
		all := duplicates(t.Context(), 5, op, forbidden(t))
		time.Sleep(time.Second)
		began := time.Now()
		down := make(chan error)
		go func() { down <- p.guard.Shutdown(t.Context()) }()
		for _, r := range all {
			_, err := r.wait()
			assert.Equal(t, time.Second, refusal(t, err, idempotency.ErrDraining).RetryAfter)
		}
		assert.Zero(t, time.Since(began))
		require.NoError(t, <-down)
		assert.Equal(t, 4*time.Second, time.Since(began), "the one that runs finishes")
		_, err := owner.wait()
		require.NoError(t, err)
		assert.Zero(t, heard.listening())
	})
}

// The first herd also makes the runtime's own structures grow, which it keeps;
// the second must not leave anything.
func TestF78_TenThousandDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, heard := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		var before uint64
		for _, key := range []string{"first", "second"} {
			before = heapInUse()
			claims := p.node.count("claim")
			herd(t, op, call(key))
			assert.LessOrEqual(t, p.node.count("claim")-claims, 12, "a constant number, and one in two seconds")
			assert.Zero(t, heard.listening())
			p.trace.finished = nil
		}
		assert.Less(t, heapInUse(), before+1<<20, "memory is back to what it was")
	})
}

func herd(t *testing.T, op *idempotency.Operation, c idempotency.Call) {
	t.Helper()
	owner := begin(t.Context(), op, c, takes(10*time.Second, "a"))
	synctest.Wait()
	all := make([]*running, 10_000)
	for i := range all {
		all[i] = begin(t.Context(), op, c, forbidden(t))
	}
	allReplay(t, all, "a")
	_, err := owner.wait()
	require.NoError(t, err)
	synctest.Wait()
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func panics(context.Context, func() store.Reply) (store.Reply, error) { panic("a bug in the store") }

func TestStoreThatPanicsEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		p.node.next("claim", panics)
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrStoreUnavailable)
		assert.Contains(t, p.log.String(), "a bug in the store")

		owner := begin(t.Context(), op, call("l"), takes(time.Second, "a"))
		synctest.Wait()
		waiting := begin(t.Context(), op, call("l"), forbidden(t))
		synctest.Wait()
		p.node.next("claim", panics, panics)
		p.node.next("complete", panics)
		allReplay(t, []*running{waiting}, "a")
		_, err = owner.wait()
		require.NoError(t, err)
	})
}

// A process that has just started may take too long for its first call, while
// many duplicates arrive.
func TestOneSlowCallDoesNotFailAllWhoJoined(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]fault{"and was executed": hangAfter, "and was not": hang} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, _ := startListening(t, newBackend())
				op := p.operation(t, waits(time.Minute))
				p.node.next("claim", first)
				leader := begin(t.Context(), op, call("k"), forbidden(t))
				synctest.Wait()
				w := newWork(t)
				all := duplicates(t.Context(), 99, op, w.run)
				_, err := leader.wait()
				refusal(t, err, idempotency.ErrStoreUnavailable)
				w.end <- recorded("b")
				for _, r := range all {
					result, err := r.wait()
					require.NoError(t, err)
					require.Equal(t, "b", string(result.Answer.Body))
				}
				assert.EqualValues(t, 1, w.runs.Load())
			})
		})
	}
}

func hangAfter(ctx context.Context, execute func() store.Reply) (store.Reply, error) {
	execute()
	return hang(ctx, execute)
}
