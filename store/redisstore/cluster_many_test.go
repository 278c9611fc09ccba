package redisstore_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// startMasters runs a cluster of two masters that share the slots.
func startMasters(t *testing.T) (*redis.ClusterClient, [2]*redistest.Server) {
	t.Helper()
	var nodes [2]*redistest.Server
	var buses [2]string
	slots := [2][2]string{{"0", "8191"}, {"8192", "16383"}}
	for i := range nodes {
		bus, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		_, buses[i], err = net.SplitHostPort(bus.Addr().String())
		require.NoError(t, err)
		require.NoError(t, bus.Close())
		nodes[i] = redistest.Start(t, redistest.Args("--cluster-enabled", "yes", "--cluster-port", buses[i]))
		nodes[i].Do("cluster", "set-config-epoch", i+1)
		nodes[i].Do("cluster", "addslotsrange", slots[i][0], slots[i][1])
	}
	host, port, err := net.SplitHostPort(nodes[1].Addr())
	require.NoError(t, err)
	nodes[0].Do("cluster", "meet", host, port, buses[1])
	for _, node := range nodes {
		eventually(t, func() bool {
			info := fmt.Sprint(node.Do("cluster", "info"))
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_size:2")
		}, "the cluster did not form")
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{nodes[0].Addr(), nodes[1].Addr()}, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return rdb, nodes
}

func TestWatchAndListOnACluster(t *testing.T) {
	t.Parallel()
	rdb, nodes := startMasters(t)
	s := newStore(t, rdb)

	// One connection hears what is published on any node.
	requests := make([]*request, 20)
	watches := make([]store.Watch, len(requests))
	for i := range requests {
		r := newRequest(t)
		r.claims(t, s, store.Claimed)
		waiter := r.duplicate()
		waiter.claim.Wait = true
		waiter.claims(t, s, store.InProgress)
		requests[i], watches[i] = r, s.Watch(r.id)
		defer watches[i].Close()
	}
	for i, w := range watches {
		awaits(t, w)
		requests[i].applies(t, s, requests[i].complete(answerOf("x")), store.Done)
		awaits(t, w)
	}
	require.Equal(t, 1, subscribers(nodes[0])+subscribers(nodes[1]))

	// Each node's records are listed, with the time of that node.
	ids := records(t, rdb, redisstore.DefaultNamespace, 500, 10)
	for _, r := range requests {
		ids = append(ids, r.id)
	}
	for _, node := range nodes {
		require.NotEmpty(t, node.Keys("*"))
	}
	for _, limit := range []int{1, 30, 1000} {
		listAll(t, s, limit, nil).requires(t, ids)
	}
	_, err := s.Inspect(t.Context(), ids[0])
	require.NoError(t, err)

	// The node that was listened to is gone: the watch asks the other one.
	for i, node := range nodes {
		if subscribers(node) == 0 {
			continue
		}
		other := nodes[1-i]
		node.Do("config", "set", "cluster-require-full-coverage", "no")
		other.Do("config", "set", "cluster-require-full-coverage", "no")
		node.Kill()
		eventually(t, func() bool { return s.Stats().ListenFailures > 0 }, "it did not notice")
		eventually(t, func() bool { return subscribers(other) == 1 }, "it did not turn to the other node")
		break
	}
}
