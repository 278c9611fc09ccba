package topology_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
)

// A lock that the replica has outlasts its master, whether that is replaced on
// purpose or dies. Its holder renews it and releases it on the new one, where
// those hear of it who began to wait on the old one.
func TestLockOutlastsFailoversF15(t *testing.T) {
	t.Parallel()
	servers := redistest.StartSentinel(t, 1)
	holder := onRedis(t, servers.Client(t))
	other := onRedis(t, servers.Client(t), lock.Recheck(time.Minute))
	replace := []func(){
		servers.Failover,
		func() { killAtOnce(servers) },
	}
	for round := range rounds() {
		master := servers.Master()
		le := locked(t, holder, "k")
		w := await(t, other, "k")
		awaited(t, master, "k")
		follows(t, master, servers.Replicas()[0])
		replace[round%len(replace)]()
		require.NotSame(t, master, servers.Master())
		extends(t, le, other, "k")
		givenBack(t, le)
		w.getsIt(t, le)
	}
}

// F13, F17: a master stands still and is replaced. Whoever held locks there with
// leases that end before that has heard of it before another gets them.
func TestLocksOfAFrozenMasterAreLostBeforeOthersGetThemF13F17(t *testing.T) {
	t.Parallel()
	servers := redistest.StartSentinel(t, 1)
	holder := onRedis(t, servers.Client(t), lock.LeaseTime(shortLease))
	rival := onRedis(t, servers.Client(t))
	keys := several(10, func(string) bool { return true })
	for range min(rounds(), 3) {
		master := servers.Master()
		c := claim(t, holder, keys)
		renewed(t, c.leases[len(keys)-1])
		follows(t, master, servers.Replicas()[0])
		master.Pause()
		c.loseThem(t, rival)
		master.Resume()
		servers.AwaitFailover(master)
		demoted(t, master)
	}
}

// demoted waits until a server knows that it is a replica, and fit to take over.
func demoted(t *testing.T, server *redistest.Server) {
	t.Helper()
	require.Eventually(t, func() bool {
		role, _ := server.Do("role").([]any)
		return len(role) > 3 && role[0] == "slave" && role[3] == "connected"
	}, backWithin, 10*time.Millisecond)
}
