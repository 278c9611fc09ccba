package redistest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

const (
	masterName    = "main"
	sentinelCount = 3
)

// Sentinel is a master with replicas, watched by three sentinels. Its servers
// are in the hands of the test: pause them, kill them, cut them off. Methods are
// for the test's own goroutine.
type Sentinel struct {
	t         testing.TB
	servers   []*Server
	sentinels []*Server
}

// StartSentinel runs one master, so many replicas and three sentinels, and
// returns when all know each other: half a second on a quiet machine. A dead
// master is replaced after one and a half to two seconds. The options are for
// the servers, not for the sentinels.
func StartSentinel(t testing.TB, replicas int, opts ...Option) *Sentinel {
	t.Helper()
	node := newConfig(append(slices.Clip(opts),
		Args("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")))
	configs := make([]config, 1+replicas)
	for i := range configs {
		configs[i] = node
	}
	s := &Sentinel{t: t, servers: startAll(t, configs)}
	for _, replica := range s.servers[1:] {
		replica.ReplicaOf(s.servers[0])
	}
	s.watch()
	return s
}

// watch starts the sentinels.
func (s *Sentinel) watch() {
	s.t.Helper()
	cfg := config{sentinel: fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 2\n"+
		"sentinel down-after-milliseconds %[1]s 400\n"+
		"sentinel failover-timeout %[1]s 1500\n", masterName, s.servers[0].in.port)}
	s.sentinels = startAll(s.t, []config{cfg, cfg, cfg})
	for _, sentinel := range s.sentinels {
		// They say hello every two seconds and look at their servers every ten;
		// a test has no time for that.
		sentinel.Do("sentinel", "debug",
			"info-period", 200, "ping-period", 100, "ask-period", 100, "publish-period", 200)
	}
	s.awaitKnown()
	for _, sentinel := range s.sentinels {
		// Four of these is how long they bear with a replica that calls itself a
		// master. The one that promotes it notices that after up to a second, and
		// only then tells the others, who must not have demoted it again by then.
		sentinel.Do("sentinel", "debug", "publish-period", 500)
	}
}

// awaitKnown waits until every sentinel knows the others, and all replicas as
// fit to take over.
func (s *Sentinel) awaitKnown() {
	s.t.Helper()
	for _, sentinel := range s.sentinels {
		await(s.t, "the sentinels know each other and the replicas", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
			defer cancel()
			return s.knowsAll(ctx, sentinel)
		})
	}
}

func (s *Sentinel) knowsAll(ctx context.Context, sentinel *Server) bool {
	c := redis.NewSentinelClient(sentinel.in.options())
	defer func() { _ = c.Close() }()
	others, err := c.Sentinels(ctx, masterName).Result()
	if err != nil || len(others) != sentinelCount-1 {
		return false
	}
	replicas, err := c.Replicas(ctx, masterName).Result()
	if err != nil {
		return false
	}
	fit := 0
	for _, r := range replicas {
		if r["flags"] == "slave" && r["master-link-status"] == "ok" {
			fit++
		}
	}
	return fit == len(s.servers)-1
}

// Client returns a client that follows the master, with ContextTimeoutEnabled
// and without repeats, changed by the mutators. It is closed at the end of the
// test that is given.
func (s *Sentinel) Client(t testing.TB, mutators ...func(*redis.FailoverOptions)) *redis.Client {
	t.Helper()
	var o redis.UniversalOptions
	quietClient(&o)
	o.MasterName, o.Addrs = masterName, addrsOf(s.sentinels)
	opts := o.Failover()
	for _, mutate := range mutators {
		mutate(opts)
	}
	rdb := redis.NewFailoverClient(opts)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// URL returns the sentinels' addresses in the form that [redis.ParseFailoverURL]
// reads.
func (s *Sentinel) URL() string {
	return urlOf(addrsOf(s.sentinels), "master_name="+masterName)
}

// Master returns the server that the sentinels call the master.
func (s *Sentinel) Master() *Server {
	s.t.Helper()
	var master *Server
	await(s.t, "the sentinels name a master", func() bool {
		master = s.masterOf(s.sentinels[0])
		return master != nil
	})
	return master
}

func (s *Sentinel) masterOf(sentinel *Server) *Server {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	addr, err := sentinel.in.admin.Do(ctx, "sentinel", "get-master-addr-by-name", masterName).StringSlice()
	if err != nil || len(addr) != 2 {
		return nil
	}
	return byAddr(s.servers, net.JoinHostPort(addr[0], addr[1]))
}

// Replicas returns all servers but the master, also those that are down.
func (s *Sentinel) Replicas() []*Server {
	s.t.Helper()
	master := s.Master()
	replicas := make([]*Server, 0, len(s.servers)-1)
	for _, server := range s.servers {
		if server != master {
			replicas = append(replicas, server)
		}
	}
	return replicas
}

// Failover has the sentinels replace the master although nothing is wrong with
// it, and returns when they have.
func (s *Sentinel) Failover() {
	s.t.Helper()
	was := s.Master()
	await(s.t, "a sentinel begins to fail over", func() bool {
		return strings.EqualFold(s.sentinels[0].look("sentinel", "failover", masterName), "ok")
	})
	s.AwaitFailover(was)
}

// AwaitFailover returns the new master once all sentinels agree that it is
// another than the one given, and it takes writes.
func (s *Sentinel) AwaitFailover(from *Server) *Server {
	s.t.Helper()
	var master *Server
	for _, sentinel := range s.sentinels {
		await(s.t, "the sentinels agree on a new master", func() bool {
			master = s.masterOf(sentinel)
			return master != nil && master != from && master.info("role") == "master"
		})
	}
	return master
}

// Rejoin brings a killed server back, empty unless it keeps a file, as a
// replica of the present master. It returns when it has all the data and the
// sentinels would promote it.
func (s *Sentinel) Rejoin(server *Server) {
	s.t.Helper()
	server.Restart()
	server.ReplicaOf(s.Master())
	s.awaitKnown()
}
