package redislock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

// hold is one acquisition of a lock of its own.
type hold struct {
	id    lock.ID
	claim lock.Claim
}

func newHold() *hold {
	owner := lock.NewOwner()
	return &hold{id: lock.NewID(owner.String()), claim: lock.Claim{Owner: owner, Lease: time.Minute}}
}

// rival claims the same lock for another owner.
func (h *hold) rival() *hold {
	other := *h
	other.claim.Owner = lock.NewOwner()
	return &other
}

func (h *hold) key() string { return redislock.DefaultNamespace + ":{" + h.id.String() + "}" }

func (h *hold) renewal() lock.Renewal {
	return lock.Renewal{ID: h.id, Owner: h.claim.Owner, Lease: h.claim.Lease}
}

func (h *hold) acquires(t testing.TB, b *redislock.Backend, want lock.Verdict) lock.Reply {
	t.Helper()
	reply, err := b.Acquire(t.Context(), h.id, h.claim)
	require.NoError(t, err)
	require.Equal(t, want, reply.Verdict)
	return reply
}

func (h *hold) renews(t testing.TB, b *redislock.Backend, lost bool) {
	t.Helper()
	results := b.Renew(t.Context(), []lock.Renewal{h.renewal()})
	require.Equal(t, []lock.RenewResult{{Lost: lost}}, results)
}

func (h *hold) releases(t testing.TB, b *redislock.Backend, held bool) {
	t.Helper()
	got, err := b.Release(t.Context(), h.id, h.claim.Owner)
	require.NoError(t, err)
	require.Equal(t, held, got)
}
