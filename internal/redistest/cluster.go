package redistest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

const (
	clusterMasters = 3
	slotCount      = 16384
)

// Cluster is a Redis Cluster of three masters with a replica each. Its servers
// are in the hands of the test. Methods are for the test's own goroutine.
type Cluster struct {
	t       testing.TB
	servers []*Server // the masters of the beginning come first
	ids     map[*Server]string
}

// StartCluster runs three masters and three replicas and returns when the
// cluster takes writes: about two seconds, which is how long a node waits after
// its start by itself. A dead master is replaced after two to three seconds.
func StartCluster(t testing.TB, opts ...Option) *Cluster {
	t.Helper()
	node := newConfig(append(slices.Clip(opts), Args(
		"--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0",
		"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")))
	node.cluster = true
	configs := make([]config, 2*clusterMasters)
	for i := range configs {
		configs[i] = node
	}
	c := &Cluster{t: t, servers: startAll(t, configs), ids: make(map[*Server]string)}
	for _, server := range c.servers {
		c.ids[server], _ = server.Do("cluster", "myid").(string)
	}
	c.assemble()
	return c
}

// assemble makes a cluster of the nodes. It does by hand what redis-cli does,
// in a third of the time.
func (c *Cluster) assemble() {
	c.t.Helper()
	for i, server := range c.servers {
		server.Do("cluster", "set-config-epoch", i+1)
		if i < clusterMasters {
			server.Do("cluster", "addslotsrange", i*slotCount/clusterMasters, (i+1)*slotCount/clusterMasters-1)
		}
		for _, other := range c.servers[:i] {
			server.Do("cluster", "meet", "127.0.0.1", other.in.port, other.in.bus)
		}
	}
	for _, server := range c.servers {
		await(c.t, "the nodes know each other", func() bool {
			return strings.Count(server.look("cluster", "nodes"), " connected") == len(c.servers)
		})
	}
	for i, replica := range c.servers[clusterMasters:] {
		replica.Do("cluster", "replicate", c.ids[c.servers[i]])
		replica.awaitLinked()
	}
	c.AwaitOK()
}

// AwaitOK returns when every node that runs says that the cluster serves all
// slots.
func (c *Cluster) AwaitOK() {
	c.t.Helper()
	for _, server := range c.servers {
		if !server.Up() {
			continue
		}
		await(c.t, "the cluster serves all slots", func() bool {
			return strings.Contains(server.look("cluster", "info"), "cluster_state:ok")
		})
	}
}

// Client returns a client of the cluster, with ContextTimeoutEnabled and
// without repeats, changed by the mutators. It is closed at the end of the test
// that is given.
func (c *Cluster) Client(t testing.TB, mutators ...func(*redis.ClusterOptions)) *redis.ClusterClient {
	t.Helper()
	var o redis.UniversalOptions
	quietClient(&o)
	o.Addrs = addrsOf(c.servers)
	opts := o.Cluster()
	for _, mutate := range mutators {
		mutate(opts)
	}
	rdb := redis.NewClusterClient(opts)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// URL returns the nodes' addresses in the form that [redis.ParseClusterURL] reads.
func (c *Cluster) URL() string { return urlOf(addrsOf(c.servers)) }

// Slot returns the slot of a key.
func (c *Cluster) Slot(key string) int {
	c.t.Helper()
	slot, _ := c.alive().Do("cluster", "keyslot", key).(int64)
	return int(slot)
}

// MasterOf returns the master that has a key's slot, as a node that runs sees
// it, and its replicas.
func (c *Cluster) MasterOf(key string) (master *Server, replicas []*Server) {
	c.t.Helper()
	owners := c.owners(c.alive(), c.Slot(key))
	if len(owners) == 0 || owners[0] == nil {
		c.t.Fatalf("redistest: no master has the slot of %q", key)
	}
	return owners[0], owners[1:]
}

// owners returns the master of a slot and its replicas, as one node sees it.
func (c *Cluster) owners(asked *Server, slot int) []*Server {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	ranges, err := asked.in.admin.ClusterSlots(ctx).Result() //nolint:staticcheck // CLUSTER SHARDS came with Redis 7.0
	if err != nil {
		return nil
	}
	for _, r := range ranges {
		if slot < r.Start || slot > r.End {
			continue
		}
		owners := make([]*Server, 0, len(r.Nodes))
		for _, node := range r.Nodes {
			owners = append(owners, byAddr(c.servers, node.Addr))
		}
		return owners
	}
	return nil
}

// alive returns a node that answers.
func (c *Cluster) alive() *Server {
	c.t.Helper()
	for _, server := range c.servers {
		if server.Up() && server.look("ping") == "PONG" {
			return server
		}
	}
	c.t.Fatal("redistest: no node of the cluster answers")
	return nil
}

// Masters returns the masters that have slots, as a node that runs sees it.
func (c *Cluster) Masters() []*Server {
	c.t.Helper()
	var masters []*Server
	asked := c.alive()
	for i := range clusterMasters {
		owners := c.owners(asked, i*slotCount/clusterMasters+1)
		if len(owners) > 0 && owners[0] != nil && !slices.Contains(masters, owners[0]) {
			masters = append(masters, owners[0])
		}
	}
	return masters
}

// AwaitFailover returns when another node than the one that was killed has the
// slot of a key and takes writes, in the eyes of all nodes that run.
func (c *Cluster) AwaitFailover(dead *Server, key string) *Server {
	c.t.Helper()
	slot := c.Slot(key)
	var master *Server
	for _, server := range c.servers {
		if !server.Up() {
			continue
		}
		await(c.t, "a replica takes over", func() bool {
			owners := c.owners(server, slot)
			if len(owners) == 0 || owners[0] == nil || owners[0] == dead {
				return false
			}
			master = owners[0]
			return true
		})
	}
	c.AwaitOK()
	return master
}

// Rejoin brings a killed node back, empty, as the replica of whatever took its
// place, and returns when it has all the data.
func (c *Cluster) Rejoin(server *Server) {
	c.t.Helper()
	server.Restart()
	server.awaitLinked()
	c.AwaitOK()
	for _, asked := range c.servers {
		await(c.t, "the nodes take the replica for healthy", func() bool { return !asked.Up() || c.counts(asked, server) })
	}
}

// counts reports whether one node counts on another one to serve.
func (c *Cluster) counts(asked, server *Server) bool {
	for i := range clusterMasters {
		if slices.Contains(c.owners(asked, i*slotCount/clusterMasters+1), server) {
			return true
		}
	}
	return false
}

// Migration is a slot on its way from one master to another.
type Migration struct {
	c        *Cluster
	slot     int
	from, to *Server
}

// BeginMigration opens the move of a key's slot to another master. From now on
// the old one sends requests for keys that it does not have to the new one, for
// one time (ASK).
func (c *Cluster) BeginMigration(key string, to *Server) *Migration {
	c.t.Helper()
	from, _ := c.MasterOf(key)
	m := &Migration{c: c, slot: c.Slot(key), from: from, to: to}
	to.Do("cluster", "setslot", m.slot, "importing", c.ids[from])
	from.Do("cluster", "setslot", m.slot, "migrating", c.ids[to])
	return m
}

// MoveKeys moves all keys that are in the slot by now.
func (m *Migration) MoveKeys() {
	m.c.t.Helper()
	for {
		keys, _ := m.from.Do("cluster", "getkeysinslot", m.slot, 100).([]any)
		if len(keys) == 0 {
			return
		}
		words := append([]any{"migrate", "127.0.0.1", m.to.in.port, "", 0, 5000, "keys"}, keys...)
		m.from.Do(words...)
	}
}

// Finish moves what is left and gives the slot to its new master. It returns when
// all nodes agree on that.
func (m *Migration) Finish() {
	m.c.t.Helper()
	m.MoveKeys()
	for _, server := range append([]*Server{m.to, m.from}, m.c.Masters()...) {
		server.Do("cluster", "setslot", m.slot, "node", m.c.ids[m.to])
	}
	await(m.c.t, "all nodes know the slot's new master", func() bool {
		return !slices.ContainsFunc(m.c.servers, func(s *Server) bool { return s.Up() && !m.known(s) })
	})
}

// known reports whether a node knows the new master, and by its present epoch:
// without that, the next migration could end with an epoch that is there already,
// and news of this one that come late would undo it. A node that such news have
// misled is told again.
func (m *Migration) known(asked *Server) bool {
	owners := m.c.owners(asked, m.slot)
	if len(owners) == 0 {
		return false
	}
	if owners[0] != m.to {
		_ = asked.look("cluster", "setslot", m.slot, "node", m.c.ids[m.to]) // a replica refuses it
		return false
	}
	return m.c.epoch(asked, m.to) == m.c.epoch(m.to, m.to)
}

// epoch returns the configuration epoch of a node, as another one sees it.
func (c *Cluster) epoch(asked, node *Server) string {
	text := asked.look("cluster", "nodes")
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 6 && fields[0] == c.ids[node] {
			return fields[6]
		}
	}
	return ""
}
