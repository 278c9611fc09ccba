package redislock_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
)

// F61: a server without a battery for its clock, whose time in seconds has nine
// digits.
func TestServerClockBefore2001_F61(t *testing.T) {
	t.Parallel()
	mr := miniredis.RunT(t)
	mr.SetTime(time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC))
	rdb := redis.NewClient(&redis.Options{Addr: mr.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	b := open(t, rdb)
	h := newHold()
	reply, err := b.Acquire(t.Context(), h.id, h.claim)
	require.NoError(t, err)
	require.Equal(t, lock.Acquired, reply.Verdict)
	rival := h.rival()
	held, err := b.Acquire(t.Context(), rival.id, rival.claim)
	require.NoError(t, err)
	require.Equal(t, lock.Held, held.Verdict)
	renewed := b.Renew(t.Context(), []lock.Renewal{h.renewal()})[0]
	require.NoError(t, renewed.Err)
	require.False(t, renewed.Lost)
	kept, err := b.Release(t.Context(), h.id, h.claim.Owner)
	require.NoError(t, err)
	require.True(t, kept)
	next, err := b.Acquire(t.Context(), rival.id, rival.claim)
	require.NoError(t, err)
	require.Equal(t, lock.Acquired, next.Verdict)
	require.Greater(t, next.Token, reply.Token)
}
