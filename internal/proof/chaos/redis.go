package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store/redisstore"
)

const (
	// namespace is the prefix of all records.
	namespace = "chaos"
	// quarantine is longer than any run: somebody has to bless the memory.
	quarantine = time.Hour
	// blessWithin bounds how long that may take after a start.
	blessWithin = 20 * time.Second
)

// memory is the Redis of a run. Its methods are for one goroutine at a time.
type memory interface {
	// connect returns the URL under which one more server finds Redis, and the line
	// that is between them, nil for none.
	connect() (url string, line *faultproxy.Proxy)
	// suffer has a fault befall Redis, and leaves it in order.
	suffer(f Fault, d dice)
	// lose has it forget everything, in one of its ways.
	lose(way int)
	// bless accepts the memory as it is, if anybody watches it.
	bless()
	// holding returns the names of records that contain a text.
	holding(text string) []string
}

// newMemory starts the Redis that the configuration wants.
func newMemory(t testing.TB, cfg *Config) memory {
	t.Helper()
	switch cfg.Topology {
	case Sentinel:
		return newSentinelMemory(t, cfg)
	case Cluster:
		return newClusterMemory(t)
	}
	return newSingleMemory(t, cfg)
}

// singleMemory is one server, which writes down all that it acknowledges.
type singleMemory struct {
	t      testing.TB
	cfg    *Config
	server *redistest.Server
}

func newSingleMemory(t testing.TB, cfg *Config) *singleMemory {
	t.Helper()
	m := &singleMemory{t, cfg, redistest.Start(t, redistest.AOF())}
	m.bless()
	return m
}

func (m *singleMemory) connect() (url string, line *faultproxy.Proxy) {
	line = faultproxy.Start(m.t, m.server.Addr())
	return fmt.Sprintf("redis://%s/0", line.Addr()), line
}

func (m *singleMemory) suffer(f Fault, d dice) {
	switch f {
	case RedisPause:
		m.server.Pause()
		time.Sleep(redisPause(d, m.cfg.Lease))
		m.server.Resume()
	case RedisKill:
		m.server.Kill()
		time.Sleep(d.between(0, m.cfg.Lease/2))
		m.server.Restart()
		m.bless() // nothing is lost, and nobody but its owner can know
	case ScriptFlush:
		m.server.ScriptFlush()
	}
}

// redisPause draws how long Redis stands still: now and then longer than a
// lease. Claims of that time are executed when it goes on; those of a server
// that is killed meanwhile leave unknown outcomes, so most pauses are short.
func redisPause(d dice, lease time.Duration) time.Duration {
	if d.chance(0.25) {
		return beyond(d, lease)
	}
	return d.between(lease/5, lease*6/10)
}

func (m *singleMemory) lose(way int) {
	if way%2 == 0 {
		m.server.FlushAll()
		return
	}
	m.server.Kill()
	files, err := filepath.Glob(filepath.Join(m.server.Dir(), "appendonly*"))
	if err != nil || len(files) == 0 {
		m.t.Errorf("chaos: no append-only file to lose: %v", err)
	}
	for _, file := range files {
		if err := os.RemoveAll(file); err != nil {
			m.t.Errorf("chaos: %v", err)
		}
	}
	m.server.Restart()
}

func (m *singleMemory) bless() {
	bless(m.t, m.cfg, redis.NewClient(&redis.Options{Addr: m.server.Addr(), ContextTimeoutEnabled: true}))
}

func (m *singleMemory) holding(text string) []string { return m.server.Holding(text) }

// bless tells the guard, if there is one, that the memory is all right, and closes
// the client.
func bless(t testing.TB, cfg *Config, rdb *redis.Client) {
	defer func() { _ = rdb.Close() }()
	if !cfg.guarded() {
		return
	}
	store, err := redisstore.New(rdb, redisstore.Namespace(namespace), redisstore.MemoryGuard(quarantine))
	if err != nil {
		t.Errorf("chaos: %v", err)
		return
	}
	defer func() { _ = store.Close() }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), blessWithin)
	defer cancel()
	for err = store.Bless(ctx); err != nil && ctx.Err() == nil; err = store.Bless(ctx) {
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		t.Errorf("chaos: the memory cannot be blessed: %v", err)
	}
}
