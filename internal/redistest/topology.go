package redistest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// settleWithin bounds what several processes have to agree on: that they
	// know each other, who is the master now.
	settleWithin = 90 * time.Second
	settleTick   = 20 * time.Millisecond
	// lookTimeout bounds one look at one of them.
	lookTimeout = time.Second
)

// startAll starts servers side by side, one for each configuration.
func startAll(t testing.TB, configs []config) []*Server {
	t.Helper()
	need(t)
	servers := make([]*Server, len(configs))
	failures := make([]error, len(configs))
	var starting sync.WaitGroup
	for i, cfg := range configs {
		dir := t.TempDir()
		starting.Go(func() {
			in, err := launch(dir, cfg)
			servers[i], failures[i] = &Server{t: t, in: in}, err
		})
	}
	starting.Wait()
	for i, err := range failures {
		if err == nil {
			t.Cleanup(servers[i].in.close)
		}
	}
	for _, err := range failures {
		if err != nil {
			t.Fatalf("redistest: %v", err)
		}
	}
	return servers
}

// await waits until something is so.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	limit := time.Now().Add(settleWithin)
	for !so() {
		if time.Now().After(limit) {
			t.Fatalf("redistest: %s: not within %v", what, settleWithin)
		}
		time.Sleep(settleTick)
	}
}

// look asks a server that may be down, with "" for no answer.
func (s *Server) look(words ...any) string {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	text, _ := s.in.admin.Do(ctx, words...).Text()
	return text
}

// info returns a field of INFO replication, "" for none or no answer.
func (s *Server) info(field string) string {
	for line := range strings.Lines(s.look("info", "replication")) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Up reports whether the process runs. One that is paused does.
func (s *Server) Up() bool { return !s.in.proc.ended() }

// ReplicaOf makes the server a replica of another, and returns when it has all
// the data.
func (s *Server) ReplicaOf(master *Server) {
	s.t.Helper()
	s.ownOnly("ReplicaOf")
	s.do("replicaof", "127.0.0.1", master.in.port)
	s.awaitLinked()
}

// awaitLinked waits until the server is a replica that is connected.
func (s *Server) awaitLinked() {
	s.t.Helper()
	await(s.t, "a replica is connected", func() bool { return s.info("master_link_status") == "up" })
}

// CutReplicas makes the server's replicas lose their connections, so that what
// is written next does not reach those of them that are paused.
func (s *Server) CutReplicas() {
	s.t.Helper()
	s.do("client", "kill", "type", "replica")
}

// byAddr returns the server with an address, or nil.
func byAddr(servers []*Server, addr string) *Server {
	i := slices.IndexFunc(servers, func(s *Server) bool { return s.Addr() == addr })
	if i < 0 {
		return nil
	}
	return servers[i]
}

// addrsOf returns the addresses of all servers.
func addrsOf(servers []*Server) []string {
	addrs := make([]string, len(servers))
	for i, s := range servers {
		addrs[i] = s.Addr()
	}
	return addrs
}

// urlOf returns a URL of several addresses, with further parameters.
func urlOf(addrs []string, parameters ...string) string {
	for _, addr := range addrs[1:] {
		parameters = append(parameters, "addr="+addr)
	}
	return "redis://" + addrs[0] + "?" + strings.Join(parameters, "&")
}

// quietClient are the settings of a client whose errors a test wants to see at
// once: no repeats, one dial.
func quietClient(o *redis.UniversalOptions) {
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, -1, 1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = lookTimeout, lookTimeout, lookTimeout
}
