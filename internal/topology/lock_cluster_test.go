package topology_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
)

// F18: the slot of a lock that is held moves. It is renewed before, between (ASK)
// and after (MOVED), nobody else gets it, and its release is heard.
func TestLockWhoseSlotMovesF18(t *testing.T) {
	t.Parallel()
	servers := redistest.StartCluster(t)
	holder := onRedis(t, servers.Client(t), lock.LeaseTime(shortLease))
	other := onRedis(t, servers.Client(t), lock.Recheck(time.Minute))
	for range rounds() {
		le := locked(t, holder, "k")
		w := await(t, other, "k")
		from, _ := servers.MasterOf(nameOf("k"))
		awaited(t, from, "k")
		to := without(servers.Masters(), from)[0]
		move := servers.BeginMigration(nameOf("k"), to)
		renewed(t, le)
		move.MoveKeys()
		renewed(t, le)
		extends(t, le, other, "k")
		move.Finish()
		renewed(t, le)
		extends(t, le, other, "k")
		owner, _ := servers.MasterOf(nameOf("k"))
		require.Same(t, to, owner)
		givenBack(t, le)
		w.getsIt(t, le)
	}
}

// F20: the master of a lock crashes. The lock is on the replica that takes over,
// and is renewed there as soon as that does, though nothing makes the client look
// at the map of slots for a minute; and its release is heard.
func TestLockOutlastsAClusterMasterF20(t *testing.T) {
	t.Parallel()
	servers := redistest.StartCluster(t)
	holder := onRedis(t, servers.Client(t))
	other := onRedis(t, servers.Client(t), lock.Recheck(time.Minute))
	for range rounds() {
		le := locked(t, holder, "k")
		w := await(t, other, "k")
		master, replica := pairOf(t, servers, "k")
		awaited(t, master, "k")
		follows(t, master, replica)
		master.Kill()
		servers.AwaitFailover(master, nameOf("k"))
		began := time.Now()
		extends(t, le, other, "k")
		require.Less(t, time.Since(began), failoverWithin)
		givenBack(t, le)
		w.getsIt(t, le)
		servers.Rejoin(master)
	}
}

// F13: the locks of a cluster's master that stands still are lost before others
// get them from the one that takes over.
func TestLocksOfAFrozenClusterMasterAreLostBeforeOthersGetThemF13(t *testing.T) {
	t.Parallel()
	servers := redistest.StartCluster(t)
	holder := onRedis(t, servers.Client(t), lock.LeaseTime(shortLease))
	rival := onRedis(t, servers.Client(t))
	for range min(rounds(), 3) {
		master, replica := pairOf(t, servers, "lock-0")
		keys := several(5, func(key string) bool {
			owner, _ := servers.MasterOf(nameOf(key))
			return owner == master
		})
		c := claim(t, holder, keys)
		renewed(t, c.leases[len(keys)-1])
		follows(t, master, replica)
		master.Pause()
		c.loseThem(t, rival)
		master.Resume()
		servers.AwaitFailover(master, nameOf("lock-0"))
		demoted(t, master)
		servers.AwaitOK()
	}
}

// pairOf returns the master of a lock and its replica, once there is one.
func pairOf(t *testing.T, servers *redistest.Cluster, key string) (master, replica *redistest.Server) {
	t.Helper()
	for limit := time.Now().Add(backWithin); ; {
		master, replicas := servers.MasterOf(nameOf(key))
		if len(replicas) == 1 {
			return master, replicas[0]
		}
		require.True(t, time.Now().Before(limit), "the master has no replica")
	}
}
