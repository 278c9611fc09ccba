package quorumlock_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
)

// What redsync by itself does to its users, and must not do to ours.

func claimOf(owner lock.Owner) lock.Claim { return lock.Claim{Owner: owner, Lease: 20 * time.Second} }

// redsync: ErrTaken for a free lock, when go-redis repeats a SET NX whose reply got
// lost; and "already expired" for an unlock that worked.
func TestLostRepliesAreNoFalseAnswers_F23(t *testing.T) {
	for name, retries := range map[string]int{"client repeats": 3, "client does not": -1} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			b := s.open(t, func(o *redis.Options) { o.MaxRetries = retries })
			s.warm(t, b)
			lose := func() {
				masters := s.proxies[:2] // so that all others must agree
				if retries > 0 {
					masters = s.proxies
				}
				for _, p := range masters {
					p.LoseReply("evalsha", 1)
				}
			}
			id, owner := lock.NewID("k"), lock.NewOwner()
			lose()
			reply, err := b.Acquire(t.Context(), id, claimOf(owner))
			require.NoError(t, err)
			require.Equal(t, lock.Acquired, reply.Verdict)
			s.await(t, id, owner, 'H')
			lose()
			held, err := b.Release(t.Context(), id, owner)
			require.NoError(t, err)
			require.True(t, held)
			s.await(t, id, owner, 'T')
		})
	}
}

// redsync: the compensation uses the caller's context, so a deadline during the
// claim leaves the key for the whole expiry (19.6 s of 20 s).
func TestDeadlineLeavesNoKeysBehind_F29(t *testing.T) {
	s := newStage(t)
	s.timeout = time.Second // the connections are set up anew, reply by reply
	b := s.open(t)
	s.warm(t, b)
	id, owner := lock.NewID("k"), lock.NewOwner()
	for _, p := range s.proxies {
		p.DelayReplies(80 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := b.Acquire(ctx, id, claimOf(owner))
	require.Error(t, err)
	require.NotErrorIs(t, err, lock.ErrNotExecuted)
	s.await(t, id, owner, 'T')
	reply, err := b.Acquire(t.Context(), id, claimOf(lock.NewOwner()))
	require.NoError(t, err)
	require.Equal(t, lock.Acquired, reply.Verdict)
}

// redsync: the end of the context is told as ErrFailed.
func TestEndOfTheContextIsToldAsThat(t *testing.T) {
	s := newStage(t)
	l := s.locker(t)
	le, err := l.TryLock(t.Context(), "k")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = l.Lock(ctx, "k")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, lock.ErrHeld)
	require.NotErrorIs(t, err, redsync.ErrFailed)
	require.NoError(t, le.Release(t.Context()))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = l.TryLock(cancelled, "k")
	require.ErrorIs(t, err, context.Canceled)
}

// redsync: a mutex is not made for several goroutines, so that a watchdog that
// extends it races with a handler that reads its end. Fails under -race.
func TestExtensionDoesNotRaceWithReading(t *testing.T) {
	s := newStage(t)
	l := s.locker(t, lock.LeaseTime(300*time.Millisecond), lock.CallTimeout(100*time.Millisecond))
	le, err := l.TryLock(t.Context(), "k")
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			last := le.Deadline()
			for until := time.Now().Add(500 * time.Millisecond); time.Now().Before(until); {
				now := le.Deadline()
				assert.False(t, now.Before(last))
				last = now
				_ = le.Held()
				time.Sleep(time.Millisecond)
			}
		})
		all.Go(func() {
			for range 50 {
				_ = le.Extend(t.Context())
			}
		})
	}
	all.Wait()
	require.NoError(t, le.Release(t.Context()))
}

// redsync with SetNXOnExtend revives a lock that expired, also when somebody else
// held and released it in between.
func TestExtensionRevivesNothing(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	s.warm(t, b)
	id, owner := lock.NewID("k"), lock.NewOwner()
	_, err := b.Acquire(t.Context(), id, claimOf(owner))
	require.NoError(t, err)
	s.await(t, id, owner, 'H')
	renewal := []lock.Renewal{{ID: id, Owner: owner, Lease: time.Second}}
	for _, srv := range s.servers {
		srv.FlushAll()
	}
	require.Equal(t, []lock.RenewResult{{Lost: true}}, b.Renew(t.Context(), renewal), "lost, not stolen")
	other := lock.NewOwner()
	reply, err := b.Acquire(t.Context(), id, claimOf(other))
	require.NoError(t, err)
	require.Equal(t, lock.Acquired, reply.Verdict)
	require.Equal(t, []lock.RenewResult{{Lost: true}}, b.Renew(t.Context(), renewal))
	_, err = b.Release(t.Context(), id, other)
	require.NoError(t, err)
	require.Equal(t, []lock.RenewResult{{Lost: true}}, b.Renew(t.Context(), renewal))
	assert.Zero(t, s.count(id, owner, 'H'))
}

// redsync: TryLock on a taken lock always sends a compensating delete as well.
func TestTryLockOfAHeldLockIsOneRoundTrip(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	s.warm(t, b)
	id := lock.NewID("k")
	owner := lock.NewOwner()
	_, err := b.Acquire(t.Context(), id, claimOf(owner))
	require.NoError(t, err)
	s.await(t, id, owner, 'H')
	for _, p := range s.proxies {
		p.ResetCounts()
	}
	reply, err := b.Acquire(t.Context(), id, claimOf(lock.NewOwner()))
	require.NoError(t, err)
	require.Equal(t, lock.Held, reply.Verdict)
	assert.InDelta(t, 20*time.Second, reply.Left, float64(5*time.Second))
	require.NoError(t, b.Close()) // waits for the rest
	for _, p := range s.proxies {
		assert.LessOrEqual(t, p.RoundTrips(), 1)
	}
}

// redsync: the time limit of one master is a twentieth of the expiry, six minutes
// for a lease of two hours.
func TestLongLeaseMakesNoLongCalls(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	s.warm(t, b)
	for _, srv := range s.servers[:3] {
		srv.Pause()
		defer srv.Resume()
	}
	claim := lock.Claim{Owner: lock.NewOwner(), Lease: 2 * time.Hour}
	var err error
	took := timed(func() { _, err = b.Acquire(t.Context(), lock.NewID("k"), claim) })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, took, 3*nodeTimeout)
	took = timed(func() { _, err = b.Release(t.Context(), lock.NewID("k"), claim.Owner) })
	require.Error(t, err)
	assert.Less(t, took, 3*nodeTimeout)
}

// A thawed master finds the claim and its release in the order in which it likes.
func TestThawedMastersKeepNothing_F28(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	s.warm(t, b)
	id, owner := lock.NewID("k"), lock.NewOwner()
	for _, srv := range s.servers[:3] {
		srv.Pause()
	}
	_, err := b.Acquire(t.Context(), id, claimOf(owner))
	require.Error(t, err)
	for _, srv := range s.servers[:3] {
		srv.Resume()
	}
	s.await(t, id, owner, 'T')
}

// Of several that want the lock at once, each gets it, and one at a time.
func TestContendersAllGetTheLock(t *testing.T) {
	s := newStage(t)
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 3 {
		l := s.locker(t)
		for range 5 {
			all.Go(func() {
				assert.NoError(t, l.Do(t.Context(), "k", func(context.Context) error {
					assert.True(t, mu.TryLock(), fmt.Sprint("two inside, one of ", i))
					defer mu.Unlock()
					time.Sleep(time.Millisecond)
					return nil
				}))
			})
		}
	}
	all.Wait()
}

// redsync: extending and unlocking take no time limit, so that each costs the
// client's read timeout, five seconds, once a majority stands still.
func TestExtensionAndReleaseTakeATimeLimit_F13(t *testing.T) {
	s := newStage(t)
	l := s.locker(t, lock.LeaseTime(30*time.Second), lock.CallTimeout(time.Second))
	le, err := l.TryLock(t.Context(), "k")
	require.NoError(t, err)
	s.awaitAny(t, "k")
	for _, srv := range s.servers[:3] {
		srv.Pause()
		defer srv.Resume()
	}
	assert.Less(t, timed(func() { err = le.Extend(t.Context()) }), 3*nodeTimeout)
	require.ErrorIs(t, err, lock.ErrUnavailable)
	require.True(t, le.Held(), "which by itself ends nothing")
	assert.Less(t, timed(func() { err = le.Release(t.Context()) }), 3*nodeTimeout)
	require.ErrorIs(t, err, lock.ErrUnavailable)
}

// redsync: a lock that the masters do not know any more is "already taken", so that
// nobody can tell what is lost from what somebody else has.
func TestForgottenLockIsLostAndNotTaken(t *testing.T) {
	s := newStage(t)
	l := s.locker(t)
	le, err := l.TryLock(t.Context(), "k")
	require.NoError(t, err)
	s.awaitAny(t, "k")
	for _, srv := range s.servers {
		srv.FlushAll()
	}
	err = le.Extend(t.Context())
	require.ErrorIs(t, err, lock.ErrLost)
	require.NotErrorIs(t, err, lock.ErrHeld)
	require.NotErrorIs(t, err, redsync.ErrExtendFailed)
	var taken *redsync.ErrTaken
	require.NotErrorAs(t, err, &taken)
	require.ErrorIs(t, context.Cause(le.Context()), lock.ErrLost)
	assert.False(t, le.Held())
}

// redsync: nobody extends a lock but its user.
func TestLeaseIsRenewedByItself(t *testing.T) {
	s := newStage(t)
	l := s.locker(t, lock.LeaseTime(time.Second))
	le, err := l.TryLock(t.Context(), "k")
	require.NoError(t, err)
	other := s.locker(t)
	require.Never(t, func() bool {
		_, err := other.TryLock(t.Context(), "k")
		return err == nil || !le.Held()
	}, 2500*time.Millisecond, 100*time.Millisecond)
	require.NoError(t, le.Release(t.Context()))
}

// redsync: one who waits asks every master twice, to claim and to take back, at every
// of its tries, about seven in a second.
func TestWaiterAsksSeldom(t *testing.T) {
	s := newStage(t)
	holder, l := s.locker(t), s.locker(t)
	le, err := holder.TryLock(t.Context(), "k")
	require.NoError(t, err)
	s.awaitAny(t, "k")
	for _, p := range s.proxies {
		p.ResetCounts()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = l.Lock(ctx, "k")
	require.ErrorIs(t, err, lock.ErrHeld)
	for _, p := range s.proxies {
		requests := p.Requests()
		assert.LessOrEqual(t, requests["evalsha"]+requests["eval"], 7)
	}
	require.NoError(t, le.Release(t.Context()))
}
