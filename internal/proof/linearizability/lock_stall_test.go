package linearizability_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

const (
	// shortLease is over when a script that stood still goes on.
	shortLease = 20 * time.Millisecond
	standstill = `local from = redis.call('TIME')
repeat local to = redis.call('TIME') until (to[1] - from[1]) * 1000000 + to[2] - from[2] > 50000
`
)

// A server may stand still inside a script, after it has read its clock: the
// lease counts from that reading, and so must whatever tells that it has lapsed.
// Histories of a busy machine showed a release that was not told (with a seed of
// 3, 15 % of the replies lost).
func TestLeaseCountsFromTheClocksReadingWhereScriptsStandStill(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		stall edit
		lease time.Duration // of the acquisition
		after bool          // another's hold
	}{
		{"in acquire", edit{"acquire", "-- Most calls", standstill + "-- Most calls"}, shortLease, false},
		{"in acquire, after another's hold", edit{"acquire", "local token, waiters = nil", standstill + "local token, waiters = nil"}, shortLease, true},
		{"in renew", edit{"renew", "  -- Counted", standstill + "  -- Counted"}, time.Minute, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			rdb := server.Client(t)
			rdb.AddHook(newRewriter(t, lockScripts, []edit{test.stall}))
			// A wrapped client keeps renewals on its own connections, where the hook is.
			b, err := redislock.New(struct{ redis.UniversalClient }{rdb})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, b.Close()) })
			id := lock.NewID("key")
			if test.after {
				lapse(t, b, id)
			}
			owner := lock.NewOwner()
			reply, err := b.Acquire(t.Context(), id, lock.Claim{Owner: owner, Lease: test.lease})
			require.NoError(t, err)
			require.Equal(t, lock.Acquired, reply.Verdict)
			renewals := []lock.Renewal{{ID: id, Owner: owner, Lease: shortLease}}
			require.NoError(t, b.Renew(t.Context(), renewals)[0].Err)
			kept, err := b.Release(t.Context(), id, owner)
			require.NoError(t, err)
			require.False(t, kept, "the lease had lapsed")
		})
	}
}

// lapse leaves a lock behind whose lease lapsed.
func lapse(t *testing.T, b lock.Backend, id lock.ID) {
	t.Helper()
	claim := lock.Claim{Owner: lock.NewOwner(), Lease: time.Millisecond}
	_, err := b.Acquire(context.WithoutCancel(t.Context()), id, claim)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return b.Renew(t.Context(), []lock.Renewal{{ID: id, Owner: claim.Owner, Lease: time.Millisecond}})[0].Lost
	}, time.Minute, 5*time.Millisecond)
}
