package redislock_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
)

// successors is how many may have held a lock since, for a release that is sent
// again to be recognised.
const successors = 2

// F26: the reply to a release gets lost, a waiter has the lock before the client
// sends the release again by itself. It is still a release and no loss.
func TestReleaseSentAgainAfterASuccessorIsNoLoss_F26(t *testing.T) {
	t.Parallel()
	b, proxy, srv := proxied(t, repeating)
	l, next := newLocker(t, b), newLocker(t, open(t, srv.Client(t)))
	le, err := l.TryLock(t.Context(), "k")
	require.NoError(t, err)
	proxy.LoseReply("evalsha", 1)
	again := proxy.Hold("evalsha", 2)
	released := make(chan error, 1)
	go func() { released <- le.Release(context.WithoutCancel(t.Context())) }()
	<-again.First()
	other, err := next.TryLock(t.Context(), "k")
	require.NoError(t, err)
	again.Deliver()
	require.NoError(t, <-released)
	require.NoError(t, other.Extend(t.Context()), "it keeps the lock")
	require.NoError(t, other.Release(t.Context()))
}

// A release is recognised for as long as the next two holders are there or gone,
// however those came and went.
func TestReleaseIsRecognisedAfterSeveralSuccessors(t *testing.T) {
	t.Parallel()
	b := open(t, shared.Server(t).Client(t))
	first := newHold()
	first.acquires(t, b, lock.Acquired)
	first.releases(t, b, true)
	lapsing := first.rival()
	lapsing.claim.Lease = 1
	lapsing.acquires(t, b, lock.Acquired) // ends without a release, so it takes no place
	never := first.rival()
	never.releases(t, b, false) // nor does one that never held it
	for range successors {
		next := first.rival()
		next.acquires(t, b, lock.Acquired)
		first.releases(t, b, true)
		lapsing.releases(t, b, false)
		never.releases(t, b, false)
		next.renews(t, b, false)
		next.releases(t, b, true)
		first.releases(t, b, true)
		next.releases(t, b, true)
		first.acquires(t, b, lock.Ended)
	}
	last := first.rival()
	last.acquires(t, b, lock.Acquired)
	first.releases(t, b, false) // one more, and it is forgotten
	last.renews(t, b, false)
}

// The release of a hold that somebody waited for goes the long way through the
// script, as all do on Redis 6, which has no PEXPIRE LT. It leaves the same trace.
func TestReleaseTheLongWayLeavesTheSameTrace(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	b := open(t, srv.Client(t))
	short, long := newHold(), newHold()
	long.claim.Wait = true
	for _, h := range []*hold{short, long} {
		former := h.rival()
		former.acquires(t, b, lock.Acquired)
		former.releases(t, b, true)
		h.acquires(t, b, lock.Acquired)
		h.releases(t, b, true)
		record, _ := srv.Do("get", h.key()).(string)
		require.Len(t, record, 119)
		assert.Equal(t, h.claim.Owner.String(), record[55:87])
		assert.Equal(t, former.claim.Owner.String()[16:], record[87:103])
		former.releases(t, b, true)
	}
}
