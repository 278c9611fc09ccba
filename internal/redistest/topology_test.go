package redistest_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
)

func TestSentinelReplacesADeadMasterAndTakesItBack(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t, 1)
	rdb := s.Client(t)
	master := s.Master()
	require.NoError(t, rdb.Set(t.Context(), "k", "v", 0).Err())
	require.EqualValues(t, 1, rdb.Wait(t.Context(), 1, 5*time.Second).Val())
	require.Len(t, s.Replicas(), 1)
	opts, err := redis.ParseFailoverURL(s.URL())
	require.NoError(t, err)
	byURL := redis.NewFailoverClient(opts)
	t.Cleanup(func() { assert.NoError(t, byURL.Close()) })
	require.Equal(t, "v", byURL.Get(t.Context(), "k").Val())

	master.Kill()
	promoted := s.AwaitFailover(master)
	require.NotSame(t, master, promoted)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, "v", rdb.Get(t.Context(), "k").Val())
	}, 10*time.Second, 20*time.Millisecond, "the client follows")
	s.Rejoin(master)
	require.Same(t, promoted, s.Master())
	require.Equal(t, []string{"k"}, master.Keys("*"))

	s.Failover()
	require.Same(t, master, s.Master())
}

func TestCutReplicaDoesNotGetWhatIsWrittenWhileItIsPaused(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t, 1)
	master, replica := s.Master(), s.Replicas()[0]
	master.Do("set", "before", "v")
	require.EqualValues(t, 1, master.Do("wait", 1, 5000))
	replica.Pause()
	master.CutReplicas()
	master.Do("set", "lost", "v")
	master.Kill()
	replica.Resume()
	require.Same(t, replica, s.AwaitFailover(master))
	require.Equal(t, []string{"before"}, replica.Keys("*"))
}

func TestClusterMovesSlotsAndReplacesADeadMaster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	rdb := c.Client(t, func(o *redis.ClusterOptions) {
		o.MaxRedirects, o.ClusterStateReloadInterval = 8, time.Second
	})
	require.NoError(t, rdb.Set(t.Context(), "k", "v", 0).Err())
	opts, err := redis.ParseClusterURL(c.URL())
	require.NoError(t, err)
	byURL := redis.NewClusterClient(opts)
	t.Cleanup(func() { assert.NoError(t, byURL.Close()) })
	require.Equal(t, "v", byURL.Get(t.Context(), "k").Val())
	from, replicas := c.MasterOf("k")
	require.Len(t, replicas, 1)
	require.Len(t, c.Masters(), 3)
	to := c.Masters()[0]
	if to == from {
		to = c.Masters()[1]
	}

	move := c.BeginMigration("k", to)
	require.Equal(t, "v", rdb.Get(t.Context(), "k").Val())
	move.MoveKeys()
	require.Equal(t, "v", rdb.Get(t.Context(), "k").Val(), "by ASK")
	move.Finish()
	require.Equal(t, "v", rdb.Get(t.Context(), "k").Val(), "by MOVED")
	owner, _ := c.MasterOf("k")
	require.Same(t, to, owner)

	require.EqualValues(t, 1, to.Do("wait", 1, 5000))
	to.Kill()
	promoted := c.AwaitFailover(to, "k")
	require.EventuallyWithT(t, func(ct *assert.CollectT) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.Equal(ct, "v", rdb.Get(ctx, "k").Val())
	}, 10*time.Second, 50*time.Millisecond)
	c.Rejoin(to)
	owner, _ = c.MasterOf("k")
	require.Same(t, promoted, owner)
}
