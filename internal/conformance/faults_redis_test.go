package conformance_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
)

// sendPatiently sends a call until the store is there, as a client would that is told
// 503 with Retry-After.
func sendPatiently(t *testing.T, url string, c call) (got response) {
	t.Helper()
	eventually(t, "the store is there", func() bool {
		got = send(t, url, c)
		return got.Status != 503
	})
	return got
}

// With an append-only file a crash of Redis loses nothing of what it has
// acknowledged: neither answers nor that an attempt runs.
func TestF11_KilledRedisWithItsFileForgetsNothing(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.AOF())
	handler, started, goOn := blocking(t)
	s := newService(t, setup{redis: srv.Client(t)})
	slow := newService(t, setup{
		redis: srv.Client(t), handler: handler, policy: idempotency.Policy{Lease: 30 * time.Second},
		guard: []idempotency.Option{idempotency.WithStoreTimeout(5 * time.Second)},
	})
	answers := make(map[string]response)
	for range 20 {
		c := call{key: newKey()}
		answers[c.key] = sendPatiently(t, s.URL, c)
		requireExecuted(t, answers[c.key])
	}
	c := call{key: newKey()}
	running := background(t, slow.URL, c)
	<-started

	srv.Kill()
	srv.Restart()
	for key, first := range answers {
		requireReplay(t, first, sendPatiently(t, s.URL, call{key: key}))
	}
	eventually(t, "the attempt is known", func() bool { return send(t, slow.URL, c).Status == 409 })
	close(goOn)
	first := next(t, "the answer", running)
	requireExecuted(t, first)
	requireReplay(t, first, send(t, slow.URL, c))
	assert.Equal(t, 20, s.Runs())
	assert.Equal(t, 1, slow.Runs())
}

// A replica that has lost its master and may not serve what it has.
func TestF36_ReplicaWithoutItsMasterIsUnavailable(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	raw := srv.Client(t, withoutRetries)
	s := newService(t, setup{redis: srv.Client(t)})
	c := call{key: newKey()}
	first := sendPatiently(t, s.URL, c)
	requireExecuted(t, first)
	srv.Config("replica-serve-stale-data", "no")
	srv.Do("replicaof", "127.0.0.1", "1")
	require.True(t, redis.HasErrorPrefix(raw.Get(t.Context(), "x").Err(), "MASTERDOWN"))
	requireDown(t, s.URL, call{key: newKey()}, 5*time.Second)
	requireDown(t, s.URL, c, 5*time.Second)
	assert.Equal(t, 1, s.Runs())
	srv.Do("replicaof", "no", "one")
	requireReplay(t, first, sendPatiently(t, s.URL, c))
}

// Somebody else's script occupies Redis.
func TestF38_BusyRedisIsUnavailable(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	raw := srv.Client(t, withoutRetries)
	s := newService(t, setup{redis: srv.Client(t)})
	c := call{key: newKey()}
	first := sendPatiently(t, s.URL, c)
	requireExecuted(t, first)
	srv.Config("lua-time-limit", "20")
	killed := make(chan error, 1)
	endless := srv.Client(t, withoutRetries, func(o *redis.Options) { o.ReadTimeout = time.Minute })
	go func() { killed <- endless.Eval(t.Context(), "while true do end", nil).Err() }()
	eventually(t, "Redis is busy", func() bool { return redis.HasErrorPrefix(raw.Ping(t.Context()).Err(), "BUSY") })

	requireDown(t, s.URL, call{key: newKey()}, 5*time.Second)
	requireDown(t, s.URL, c, 5*time.Second)
	assert.Equal(t, 1, s.Runs())
	require.NoError(t, raw.ScriptKill(t.Context()).Err())
	require.Error(t, next(t, "the foreign script's end", killed))
	requireReplay(t, first, sendPatiently(t, s.URL, c))
}

// A Redis that cannot write to its disk takes no writes, and says MISCONF. What was
// recorded is replayed.
func TestF93_DiskThatTakesNothing(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	raw := srv.Client(t)
	s := newService(t, setup{redis: srv.Client(t)})
	c := call{key: newKey()}
	first := sendPatiently(t, s.URL, c)
	requireExecuted(t, first)
	snapshot := filepath.Join(srv.Dir(), "dump.rdb")
	require.NoError(t, os.Mkdir(snapshot, 0o700)) // where the file should come to be
	srv.Config("save", "3600 1")
	require.NoError(t, raw.BgSave(t.Context()).Err())
	eventually(t, "the snapshot has failed", func() bool {
		return strings.Contains(fmt.Sprint(srv.Do("info", "persistence")), "rdb_last_bgsave_status:err")
	})
	requireDown(t, s.URL, call{key: newKey()}, 5*time.Second)
	requireReplay(t, first, sendPatiently(t, s.URL, c))
	assert.Equal(t, 1, s.Runs())

	require.NoError(t, os.Remove(snapshot))
	eventually(t, "the snapshot succeeds", func() bool {
		_ = raw.BgSave(t.Context()).Err() // one may be under way
		return strings.Contains(fmt.Sprint(srv.Do("info", "persistence")), "rdb_last_bgsave_status:ok")
	})
	requireExecuted(t, sendPatiently(t, s.URL, call{key: newKey()}))
}

// What decides about a running attempt is in its record: an instance with another
// lease and another policy does not take for dead what the first one renews.
func TestF89_TwoConfigurationsSideBySide(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	records := openRedis(t, shared.Server(t).Client(t), ns)
	handler, started, goOn := blocking(t)
	long := newService(t, setup{
		namespace: ns, handler: handler, guard: []idempotency.Option{idempotency.WithStoreTimeout(2 * time.Second)},
		policy: idempotency.Policy{Lease: 3 * time.Second, Retention: time.Hour},
	})
	short := newService(t, setup{
		namespace: ns, handler: handler,
		policy: idempotency.Policy{Lease: 100 * time.Millisecond, Retention: time.Minute, Orphan: idempotency.OrphanRerun},
	})
	c := call{key: newKey()}
	answer := background(t, long.URL, c)
	<-started
	begun := lookup(t, records, idOf(c.key))
	eventually(t, "the first has renewed its lease", func() bool {
		requireProblem(t, sendPatiently(t, short.URL, c), 409, "in_progress")
		return lookup(t, records, idOf(c.key)).LeaseEnd > begun.LeaseEnd
	})
	assert.Equal(t, store.Running, lookup(t, records, idOf(c.key)).State)
	close(goOn)
	first := next(t, "the answer", answer)
	requireExecuted(t, first)
	requireReplay(t, first, sendPatiently(t, short.URL, c))
	assert.Equal(t, 1, long.Runs())
	assert.Zero(t, short.Runs())
}

// Gateways change the version of HTTP, the spelling of field names and the framing
// of bodies. To the operation and its fingerprint that is all one.
func TestF88_WhatGatewaysRewriteIsTheSameRequest(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	c := call{key: newKey(), body: "B"}
	first := sendPatiently(t, s.URL, c)
	requireExecuted(t, first)
	for _, version := range versions() {
		requireReplay(t, first, s.over(t, version).ask(t, c))
	}
	for name, rest := range map[string]string{
		"names in lower case":  "idempotency-key: %s\r\ncontent-length: 1\r\n\r\nB",
		"names in upper case":  "IDEMPOTENCY-KEY: %s\r\nCONTENT-LENGTH: 1\r\n\r\nB",
		"a body in chunks":     "Idempotency-Key: %s\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nB\r\n0\r\n\r\n",
		"fields of gateways":   "Via: 1.1 gw\r\nX-Forwarded-For: 10.0.0.1\r\nIdempotency-Key: %s\r\nContent-Length: 1\r\n\r\nB",
		"the key in quotes":    "Idempotency-Key: \"%s\"\r\nContent-Length: 1\r\n\r\nB",
		"spaces about the key": "Idempotency-Key:   %s  \r\nContent-Length: 1\r\n\r\nB",
	} {
		status, body := rawRequest(t, s, "POST /orders HTTP/1.1\r\nHost: gateway\r\n"+fmt.Sprintf(rest, c.key))
		assert.Equal(t, first.Status, status, name)
		assert.Equal(t, first.Body, body, name)
	}
	assert.Equal(t, 1, s.Runs())
}
