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
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/store"
)

func TestWithLocker_NilIsRefused(t *testing.T) {
	t.Parallel()
	for name, locker := range map[string]idempotency.Locker{"nil": nil, "nil pointer": (*lock.Locker)(nil)} {
		_, err := idempotency.New(newNode(newBackend()), idempotency.WithLocker(locker))
		require.ErrorContains(t, err, "WithLocker", name)
	}
}

func TestWithLocker_ClaimThenLockThenStartThenEndThenUnlock(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer idempotency.Answer
		ending string
	}{
		{"recorded", recorded("a"), "complete"},
		{"released", answer(idempotency.ClassRelease, "a"), "release"},
		{"unknown", answer(idempotency.ClassUnknown, "a"), "fail"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLocks()
				p := locked(t, newBackend(), l)
				l.noted(p.node)
				_, err := p.operation(t).Execute(t.Context(), call("k"), func(context.Context) idempotency.Answer {
					l.note("handler")
					return tt.answer
				})
				require.NoError(t, err)
				assert.Equal(t, []string{"claim", "lock", "handler", tt.ending, "unlock"}, l.all())
			})
		})
	}
}

// The key of the lock is the record's digest, and the first attempt does not wait.
func TestWithLocker_LocksAreNamedByTheDigest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		n := &naming{Locker: newLocker(t, newLocks())}
		op := start(t, b, idempotency.WithLocker(n)).operation(t)
		for range 2 {
			_, err := op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassRelease, "a")))
			require.NoError(t, err)
		}
		id, _ := b.only(t)
		assert.Equal(t, []string{"try " + id.String(), "wait " + id.String()}, n.all())
	})
}

func TestWithLocker_ReplaysAndWaitersTakeNoLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLocks()
		op := locked(t, newBackend(), l).operation(t, idempotency.Policy{Wait: time.Minute})
		first := begin(t.Context(), op, call("k"), takes(time.Second, "a"))
		synctest.Wait()
		waiter := begin(t.Context(), op, call("k"), forbidden(t))
		_, err := first.wait()
		require.NoError(t, err)
		result, err := waiter.wait()
		require.NoError(t, err)
		assert.Equal(t, idempotency.Replayed, result.Outcome)
		_, err = op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, 1, l.count("lock"))
	})
}

func TestWithLocker_ShadowAndOffTakeNoLock(t *testing.T) {
	t.Parallel()
	for _, mode := range []idempotency.KeyRule{idempotency.KeyShadow, idempotency.KeyOff} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLocks()
				op := locked(t, newBackend(), l).operation(t, idempotency.Policy{Key: mode})
				_, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
				require.NoError(t, err)
				assert.Empty(t, l.all())
			})
		})
	}
}

// lostRecord is an attempt whose record the store has forgotten, and another
// process that may be asked for the same.
type lostRecord struct {
	first     *running
	w, others *work
	locks     *locks
	other     *process
}

// loseRecord sets the scene, with a locker in both processes or without.
func loseRecord(t *testing.T, withLocker bool, test func(t *testing.T, s lostRecord)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		shared, s := newBackend(), lostRecord{locks: newLocks(), w: newWork(t), others: newWork(t)}
		join := func() *process {
			if withLocker {
				return locked(t, shared, s.locks)
			}
			return start(t, shared)
		}
		s.first = begin(t.Context(), join().operation(t), call("k"), s.w.run)
		s.other = join()
		time.Sleep(time.Second)
		shared.flush()
		test(t, s)
	})
}

func TestWithLocker_NoTwoAttemptsAtOnceThoughTheRecordIsLost(t *testing.T) {
	t.Parallel()
	loseRecord(t, true, func(t *testing.T, s lostRecord) {
		op := s.other.operation(t, idempotency.Policy{Conflict: idempotency.Conflict425})
		_, err := op.Execute(t.Context(), call("k"), s.others.run)
		refused := refusal(t, err, idempotency.ErrInProgress)
		require.ErrorIs(t, err, lock.ErrHeld)
		assert.Equal(t, idempotency.Conflict425, refused.Conflict)
		assert.Positive(t, refused.RetryAfter)
		assert.Zero(t, s.others.runs.Load())

		s.w.end <- recorded("a")
		result, err := s.first.wait()
		require.NoError(t, err)
		assert.True(t, result.Recorded, "a claim that never started is no obstacle")
		result, err = op.Execute(t.Context(), call("k"), s.others.run)
		require.NoError(t, err)
		assert.Equal(t, idempotency.Replayed, result.Outcome)
		assert.EqualValues(t, 1, s.other.guard.Stats()[0].LocksRefused)
	})
}

func TestWithoutALockerTheSameLossRunsTwoAtOnce(t *testing.T) {
	t.Parallel()
	loseRecord(t, false, func(t *testing.T, s lostRecord) {
		second := begin(t.Context(), s.other.operation(t), call("k"), s.others.run)
		synctest.Wait()
		assert.EqualValues(t, 1, s.w.runs.Load())
		assert.EqualValues(t, 1, s.others.runs.Load(), "beside the first one, which still runs")
		s.others.end <- recorded("b")
		s.w.end <- recorded("a")
		_, _ = s.first.wait()
		_, _ = second.wait()
	})
}

// A claim that is just finding out that it may not start does not cost the running
// attempt its answer.
func TestWithLocker_AnAnswerRefusedByAClaimThatCannotStartIsOfferedAgain(t *testing.T) {
	t.Parallel()
	loseRecord(t, true, func(t *testing.T, s lostRecord) {
		s.locks.delay("lock", 100*time.Millisecond)
		second := begin(t.Context(), s.other.operation(t), call("k"), s.others.run)
		synctest.Wait() // it has the claim now
		s.w.end <- recorded("a")
		result, err := s.first.wait()
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		_, err = second.wait()
		refusal(t, err, idempotency.ErrInProgress)
	})
}

// However many ask: each gives way once, and then the answer is recorded.
func TestWithLocker_DuplicatesThatMayWaitGiveWayToo(t *testing.T) {
	t.Parallel()
	loseRecord(t, true, func(t *testing.T, s lostRecord) {
		s.locks.delay("lock", 10*time.Millisecond)
		op := s.other.operation(t, idempotency.Policy{Wait: time.Minute})
		var duplicates []*running
		for range 10 {
			duplicates = append(duplicates, begin(t.Context(), op, call("k"), s.others.run))
		}
		synctest.Wait()
		s.w.end <- recorded("a")
		result, err := s.first.wait()
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		for _, d := range duplicates {
			if result, err := d.wait(); err == nil {
				assert.Equal(t, recorded("a"), result.Answer)
			} else {
				refusal(t, err, idempotency.ErrInProgress)
			}
		}
		assert.Zero(t, s.others.runs.Load())
	})
}

func TestWithLocker_NothingRunsWhenTheLockerCannotSay(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		locker func(t *testing.T) idempotency.Locker
	}{
		{"down", func(t *testing.T) idempotency.Locker {
			l := newLocks()
			l.setDown(true)
			return newLocker(t, l)
		}},
		{"closed", func(t *testing.T) idempotency.Locker {
			l := newLocker(t, newLocks())
			require.NoError(t, l.Close())
			return l
		}},
		{"panics", func(*testing.T) idempotency.Locker {
			return broken{func() (*lock.Lease, error) { panic("broken") }}
		}},
		{"says nothing", func(*testing.T) idempotency.Locker {
			return broken{func() (*lock.Lease, error) { return nil, nil }} //nolint:nilnil // what is broken about it
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend()
				p := start(t, b, idempotency.WithLocker(tt.locker(t)))
				op := p.operation(t, idempotency.Policy{StoreDown: idempotency.StoreDownOpen})
				_, err := op.Execute(t.Context(), call("k"), forbidden(t))
				refused := refusal(t, err, idempotency.ErrStoreUnavailable)
				assert.Positive(t, refused.RetryAfter)
				_, rec := b.only(t)
				assert.Equal(t, store.Released, rec.State)
				assert.True(t, rec.Void)
				assert.Zero(t, rec.Attempt)
				assert.EqualValues(t, 1, p.guard.Stats()[0].LocksRefused)
			})
		})
	}
}

func TestWithLocker_ALockerThatEndsTheGoroutineLeavesNoClaimBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		exits := broken{func() (*lock.Lease, error) { runtime.Goexit(); return nil, nil }} //nolint:nilnil // never reached
		op := start(t, b, idempotency.WithLocker(exits)).operation(t)
		<-begin(t.Context(), op, call("k"), forbidden(t)).done
		_, rec := b.only(t)
		assert.True(t, rec.Void)
	})
}

func TestWithLocker_AHandlerThatDoesNotReturnGivesTheLockBack(t *testing.T) {
	t.Parallel()
	ends := map[string]func(context.Context) idempotency.Answer{
		"panic":  func(context.Context) idempotency.Answer { panic("boom") },
		"Goexit": func(context.Context) idempotency.Answer { runtime.Goexit(); return idempotency.Answer{} },
	}
	for name, run := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, l := newBackend(), newLocks()
				op := locked(t, b, l).operation(t)
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { _ = recover() }()
					_, _ = op.Execute(t.Context(), call("k"), run)
				}()
				<-done
				id, rec := b.only(t)
				assert.Equal(t, store.Unknown, rec.State)
				assert.True(t, l.free(t, id))
			})
		})
	}
}
