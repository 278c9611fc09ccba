package quorumlock_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/locktest"
	"github.com/reprise-go/reprise/lock/quorumlock"
)

func TestConformance(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	s.warm(t, b)
	locktest.Run(t, func(*testing.T) locktest.Harness { return locktest.Harness{Backend: b, Majority: true} })
}

func TestNewRefusesWhatIsNoQuorum(t *testing.T) {
	t.Parallel()
	client := func(addr string) redis.UniversalClient {
		c := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		return c
	}
	deaf := redis.NewClient(&redis.Options{Addr: "127.0.0.1:4"})
	t.Cleanup(func() { require.NoError(t, deaf.Close()) })
	one, two, three := client("127.0.0.1:1"), client("127.0.0.1:2"), client("127.0.0.1:3")
	tests := []struct {
		name    string
		masters []redis.UniversalClient
		opts    []quorumlock.Option
		want    string
	}{
		{"none", nil, nil, "0 masters"},
		{"two", []redis.UniversalClient{one, two}, nil, "2 masters"},
		{"nil", []redis.UniversalClient{one, two, nil}, nil, "master 2"},
		{"same client", []redis.UniversalClient{one, two, one}, nil, "master 2 is the same client"},
		{"same server", []redis.UniversalClient{one, two, client("127.0.0.1:1")}, nil, "master 2 is the same server"},
		{"no deadlines", []redis.UniversalClient{one, deaf, two}, nil, "master 1"},
		{"nil option", []redis.UniversalClient{one, two, three}, []quorumlock.Option{nil}, "nil option"},
		{"timeout", []redis.UniversalClient{one, two, three}, []quorumlock.Option{quorumlock.NodeTimeout(0)}, "NodeTimeout"},
		{"namespace", []redis.UniversalClient{one, two, three}, []quorumlock.Option{quorumlock.Namespace("{}")}, "Namespace"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := quorumlock.New(tt.masters, tt.opts...)
			require.ErrorContains(t, err, tt.want)
		})
	}
	b, err := quorumlock.New([]redis.UniversalClient{one, deaf, two}, quorumlock.AllowNoContextTimeout())
	require.NoError(t, err)
	require.NoError(t, b.Close())
}

// timed returns how long a call takes.
func timed(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}

// Two of five masters may crash or stand still. redsync alone takes five seconds
// for each call beside one frozen master.
func TestMinorityOfMastersIsNotMissed(t *testing.T) {
	for _, end := range []string{"killed", "frozen"} {
		t.Run(end, func(t *testing.T) {
			s := newStage(t)
			l := s.locker(t, lock.LeaseTime(3*time.Second), lock.CallTimeout(time.Second))
			before, err := l.TryLock(t.Context(), "before")
			require.NoError(t, err)
			s.awaitAny(t, "before")
			for _, srv := range s.servers[:2] {
				if end == "killed" {
					srv.Kill()
				} else {
					srv.Pause()
					defer srv.Resume()
				}
			}
			for range 5 {
				var le *lock.Lease
				took := timed(func() { le, err = l.TryLock(t.Context(), "k") })
				require.NoError(t, err)
				assert.Less(t, took, nodeTimeout, "TryLock")
				assert.Less(t, timed(func() { require.NoError(t, le.Extend(t.Context())) }), nodeTimeout, "Extend")
				took = timed(func() { _, err = l.TryLock(t.Context(), "k") })
				require.ErrorIs(t, err, lock.ErrHeld)
				assert.Less(t, took, 2*nodeTimeout, "TryLock of a held lock")
				assert.Less(t, timed(func() { require.NoError(t, le.Release(t.Context())) }), nodeTimeout, "Release")
			}
			require.Never(t, func() bool { return !before.Held() }, 4*time.Second, 50*time.Millisecond, "it is renewed")
			require.NoError(t, before.Release(t.Context()))
		})
	}
}

// Three of five: nothing can be decided, and that is said in time.
func TestMajorityOfMastersIsMissedInTime(t *testing.T) {
	for _, end := range []string{"killed", "frozen"} {
		t.Run(end, func(t *testing.T) {
			s := newStage(t)
			l := s.locker(t, lock.LeaseTime(3*time.Second), lock.CallTimeout(time.Second))
			held, err := l.TryLock(t.Context(), "held")
			require.NoError(t, err)
			s.awaitAny(t, "held")
			for _, srv := range s.servers[:3] {
				if end == "killed" {
					srv.Kill()
				} else {
					srv.Pause()
					defer srv.Resume()
				}
			}
			took := timed(func() { _, err = l.TryLock(t.Context(), "k") })
			require.ErrorIs(t, err, lock.ErrUnavailable)
			assert.Less(t, took, time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			took = timed(func() { _, err = l.TryLock(ctx, "k") })
			require.ErrorIs(t, err, lock.ErrUnavailable)
			assert.Less(t, took, 200*time.Millisecond)
			require.ErrorIs(t, held.Extend(t.Context()), lock.ErrUnavailable)
			<-held.Context().Done()
			require.ErrorIs(t, context.Cause(held.Context()), lock.ErrLost)
		})
	}
}

// Masters that restart empty are outvoted, and given the lock again.
func TestLockOutlastsAMastersLossOfMemory(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	s.warm(t, b)
	id, owner := lock.NewID("k"), lock.NewOwner()
	reply, err := b.Acquire(t.Context(), id, claimOf(owner))
	require.NoError(t, err)
	require.Equal(t, lock.Acquired, reply.Verdict)
	s.await(t, id, owner, 'H')
	for _, srv := range s.servers[:2] {
		srv.Kill()
		srv.Restart()
	}
	reply, err = s.open(t).Acquire(t.Context(), id, claimOf(lock.NewOwner()))
	require.NoError(t, err)
	require.Equal(t, lock.Held, reply.Verdict)
	require.Eventually(t, func() bool {
		results := b.Renew(t.Context(), []lock.Renewal{{ID: id, Owner: owner, Lease: 20 * time.Second}})
		assert.Equal(t, []lock.RenewResult{{}}, results)
		return s.count(id, owner, 'H') == len(s.servers)
	}, 5*time.Second, 50*time.Millisecond)
	held, err := b.Release(t.Context(), id, owner)
	require.NoError(t, err)
	require.True(t, held)
	s.await(t, id, owner, 'T')
}

func TestWaiterIsWokenByTheRelease(t *testing.T) {
	s := newStage(t)
	l, other := s.locker(t, lock.Recheck(time.Minute)), s.locker(t)
	le, err := other.TryLock(t.Context(), "k")
	require.NoError(t, err)
	time.AfterFunc(500*time.Millisecond, func() { assert.NoError(t, le.Release(context.Background())) })
	var second *lock.Lease
	assert.Less(t, timed(func() { second, err = l.Lock(t.Context(), "k") }), 5*time.Second)
	require.NoError(t, err)
	require.NoError(t, second.Release(t.Context()))
}

func TestClosedBackendSendsNothing_F80(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	_, err := b.Acquire(t.Context(), lock.NewID("k"), lock.Claim{Owner: lock.NewOwner(), Lease: time.Second})
	require.ErrorIs(t, err, redis.ErrClosed)
	_, err = b.Release(t.Context(), lock.NewID("k"), lock.NewOwner())
	require.ErrorIs(t, err, lock.ErrNotExecuted)
	require.ErrorIs(t, b.Renew(t.Context(), make([]lock.Renewal, 1))[0].Err, redis.ErrClosed)
	b.Watch(lock.NewID("k")).Close()
}
