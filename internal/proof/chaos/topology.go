package chaos

import (
	"slices"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
)

// sentinelMemory is a master that its replicas replace, one after the other.
type sentinelMemory struct {
	t       testing.TB
	cfg     *Config
	servers *redistest.Sentinel
}

func newSentinelMemory(t testing.TB, cfg *Config) *sentinelMemory {
	t.Helper()
	m := &sentinelMemory{t, cfg, redistest.StartSentinel(t, 2)}
	m.bless()
	return m
}

func (m *sentinelMemory) connect() (url string, line *faultproxy.Proxy) { return m.servers.URL(), nil }

func (m *sentinelMemory) suffer(f Fault, _ dice) {
	switch f {
	case ScriptFlush:
		m.servers.Master().ScriptFlush()
	case Failover:
		old := m.servers.Master()
		old.Kill()
		m.servers.AwaitFailover(old)
		m.bless() // what was acknowledged is not lost: a replica had it
		m.servers.Rejoin(old)
	}
}

func (m *sentinelMemory) lose(int) { m.t.Errorf("chaos: no %s with Sentinel", MemoryLoss) }

func (m *sentinelMemory) bless() { bless(m.t, m.cfg, m.servers.Client(m.t)) }

func (m *sentinelMemory) holding(text string) []string { return m.servers.Master().Holding(text) }

// clusterMemory is three masters. Their slots move, and their replicas replace
// them.
type clusterMemory struct {
	t       testing.TB
	servers *redistest.Cluster
}

func newClusterMemory(t testing.TB) *clusterMemory {
	t.Helper()
	return &clusterMemory{t, redistest.StartCluster(t)}
}

func (m *clusterMemory) connect() (url string, line *faultproxy.Proxy) { return m.servers.URL(), nil }

func (m *clusterMemory) suffer(f Fault, d dice) {
	switch f {
	case ScriptFlush:
		for _, master := range m.servers.Masters() {
			master.ScriptFlush()
		}
	case Failover:
		key := m.record(d)
		old, _ := m.servers.MasterOf(key)
		old.Kill()
		m.servers.AwaitFailover(old, key)
		m.servers.Rejoin(old)
	case SlotMove:
		m.moveSlot(m.record(d), d)
	}
}

// record draws the name of a record.
func (m *clusterMemory) record(d dice) string {
	for _, i := range d.Perm(len(m.servers.Masters())) {
		if names := m.servers.Masters()[i].Keys(namespace + ":{*"); len(names) > 0 {
			return names[d.IntN(len(names))]
		}
	}
	return namespace
}

// moveSlot takes its time: requests come before, between and after.
func (m *clusterMemory) moveSlot(key string, d dice) {
	from, _ := m.servers.MasterOf(key)
	others := slices.DeleteFunc(m.servers.Masters(), func(s *redistest.Server) bool { return s == from })
	move := m.servers.BeginMigration(key, others[d.IntN(len(others))])
	time.Sleep(d.between(0, 300*time.Millisecond))
	move.MoveKeys()
	time.Sleep(d.between(0, 300*time.Millisecond))
	move.Finish()
}

func (m *clusterMemory) lose(int) { m.t.Errorf("chaos: no %s on a cluster", MemoryLoss) }

func (m *clusterMemory) bless() {}

func (m *clusterMemory) holding(text string) []string {
	masters := m.servers.Masters()
	names := make([][]string, len(masters))
	for i, master := range masters {
		names[i] = master.Holding(text)
	}
	return slices.Concat(names...)
}
