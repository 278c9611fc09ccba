package topology_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
)

// heardLease is long enough to tell the next renewal from the end of the lease.
const heardLease = 6 * time.Second

// F12, F14: a lock that Redis forgot can be given to another at once: no holder can
// know before it asks. It hears of it at its next renewal, long before its lease
// would have ended, its token is the smaller one, and its release frees nothing.
func TestForgottenLockIsLostAtTheNextRenewalF12F14(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		forget func(srv *redistest.Server)
	}{
		{"flushed", (*redistest.Server).FlushAll},
		{"deleted", func(srv *redistest.Server) { srv.Do("del", nameOf("k")) }},
		{"restarted empty", func(srv *redistest.Server) { srv.Kill(); srv.Restart() }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			holder := onRedis(t, srv.Client(t), lock.LeaseTime(heardLease))
			rival := onRedis(t, srv.Client(t))
			hears(t, holder, rival, func() { test.forget(srv) })
		})
	}
}

// F15: a lock that its master took with it.
func TestLockLostByAFailoverIsHeardOfF15(t *testing.T) {
	t.Parallel()
	servers := redistest.StartSentinel(t, 1)
	holder := onRedis(t, servers.Client(t), lock.LeaseTime(heardLease))
	rival := onRedis(t, servers.Client(t))
	var le *lock.Lease
	killBehindTheBack(servers, func() { le = locked(t, holder, "k") })
	taken(t, le, rival)
}

// hears takes a lock, has it forgotten and given to another, and wants its holder
// to be told.
func hears(t *testing.T, holder, rival *lock.Locker, forget func()) {
	t.Helper()
	le := locked(t, holder, "k")
	_, err := rival.TryLock(t.Context(), "k")
	require.ErrorIs(t, err, lock.ErrHeld)
	forget()
	taken(t, le, rival)
}

func taken(t *testing.T, le *lock.Lease, rival *lock.Locker) {
	t.Helper()
	next := locked(t, rival, "k")
	began := time.Now()
	<-le.Context().Done()
	require.ErrorIs(t, context.Cause(le.Context()), lock.ErrLost)
	require.Less(t, time.Since(began), heardLease/2)
	require.Greater(t, next.Token(), le.Token())
	require.ErrorIs(t, le.Release(t.Context()), lock.ErrLost)
	extends(t, next, rival, "k")
	require.NoError(t, next.Release(t.Context()))
}
