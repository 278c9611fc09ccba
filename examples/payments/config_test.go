package main

import (
	"bytes"
	"flag"
	"io"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

func TestFlagsHaveTheirDefaults(t *testing.T) {
	t.Parallel()
	c, err := parseFlags(nil, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, config{
		http: "127.0.0.1:8080", grpc: "127.0.0.1:9090", redis: "embedded", namespace: "payments",
		lease: 10 * time.Second, retention: 24 * time.Hour, grpcWait: 5 * time.Second,
		orphan: "rerun-unmarked", stream: "buffer", storeDown: "closed", log: "text",
		maxBody: 1 << 20,
	}, c)
	policy := c.policy()
	assert.Equal(t, idempotency.OrphanRerunUnmarked, policy.Orphan)
	assert.Equal(t, 10*time.Second, policy.Lease)
	assert.Equal(t, idempotency.NoWait, policy.Wait)
}

func TestEveryFlagIsHeard(t *testing.T) {
	t.Parallel()
	c, err := parseFlags([]string{
		"-http", ":0", "-grpc", ":1", "-redis", "memory", "-ledger", "l", "-namespace", "n", "-lease", "20m",
		"-retention", "30m", "-wait", "3s", "-grpc-wait", "1s", "-orphan", "refuse", "-stream", "pass",
		"-store-down", "open", "-max-body", "5", "-log", "json",
	}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, config{
		http: ":0", grpc: ":1", redis: "memory", ledger: "l", namespace: "n",
		lease: 20 * time.Minute, retention: 30 * time.Minute, wait: 3 * time.Second, grpcWait: time.Second,
		orphan: "refuse", stream: "pass", storeDown: "open", log: "json", maxBody: 5,
	}, c)
	policy := c.policy()
	assert.NoError(t, policy.Validate(), "a lease longer than the default maximum hold")
	assert.Equal(t, idempotency.StoreDownOpen, policy.StoreDown)
	assert.EqualValues(t, 5, policy.MaxResponseBody)
	assert.Equal(t, 3*time.Second, policy.Wait)
}

func TestBadFlagsAreUsageErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		says string
	}{
		{"unknown flag", []string{"-nonsense"}, "-nonsense"},
		{"no duration", []string{"-lease", "soon"}, "-lease"},
		{"left-over argument", []string{"serve"}, `"serve"`},
		{"gRPC address without a port", []string{"-grpc", "localhost"}, "-grpc"},
		{"gRPC wait too short", []string{"-grpc-wait", "1us"}, "-grpc-wait"},
		{"gRPC wait too long", []string{"-grpc-wait", "11m"}, "-grpc-wait"},
		{"gRPC wait less than nothing", []string{"-grpc-wait", "-1ns"}, "-grpc-wait"},
		{"wait too short", []string{"-wait", "1us"}, "Wait is 1µs"},
		{"wait too long", []string{"-wait", "11m"}, "Wait is 11m"},
		{"wait less than nothing", []string{"-wait", "-1ns"}, "-wait"},
		{"lease too short", []string{"-lease", "99ms"}, "Lease"},
		{"lease of 0 is not the default", []string{"-lease", "0s"}, "Lease"},
		{"retention too short", []string{"-retention", "900ms", "-lease", "100ms"}, "Retention"},
		{"retention not longer than the lease", []string{"-retention", "10s"}, "Retention 10s is not longer than Lease 10s"},
		{"body limit of 0", []string{"-max-body", "0"}, "MaxResponseBody"},
		{"orphan word", []string{"-orphan", "maybe"}, "Orphan"},
		{"orphan empty", []string{"-orphan", ""}, "Orphan"},
		{"stream word", []string{"-stream", "drop"}, "Stream"},
		{"store-down word", []string{"-store-down", "ajar"}, "StoreDown"},
		{"replicas less than none", []string{"-redis", "redis://h", "-min-replicas", "-1"}, "-min-replicas"},
		{"guard for less than no time", []string{"-redis", "redis://h", "-memory-guard", "-1s"}, "-memory-guard"},
		{"replicas of a Redis that has none", []string{"-min-replicas", "1"}, "-redis embedded"},
		{"guard of a memory that ends with the process", []string{"-redis", "memory", "-memory-guard", "1h"}, "-redis memory"},
		{"log word", []string{"-log", "xml"}, "-log"},
		{"address without a port", []string{"-http", "localhost"}, "-http"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseFlags(test.args, io.Discard)
			require.ErrorIs(t, err, errUsage)
			assert.ErrorContains(t, err, test.says)
		})
	}
}

func TestHelpListsTheFlags(t *testing.T) {
	t.Parallel()
	var usage bytes.Buffer
	_, err := parseFlags([]string{"-h"}, &usage)
	require.ErrorIs(t, err, flag.ErrHelp)
	assert.Contains(t, usage.String(), "-ledger file")
}

func TestRedisURLChoosesTheClient(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, url, store string }{
		{"one server", "redis://127.0.0.1:6379/0?pool_size=3", "redis"},
		{"sentinel", "redis://h1:26379?master_name=M&addr=h2:26379", "sentinel"},
		{"cluster", "redis://h1:7001?addr=h2:7002&addr=h3:7003", "cluster"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client, name, err := newClient(test.url)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, client.Close()) })
			assert.Equal(t, test.store, name)
			assert.True(t, heedsDeadlines(client), "a Redis that hangs must not hold requests longer than their deadline")
		})
	}
}

func heedsDeadlines(client redis.UniversalClient) bool {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		return cluster.Options().ContextTimeoutEnabled
	}
	return client.(*redis.Client).Options().ContextTimeoutEnabled
}

func TestBadRedisURLIsAUsageErrorWithoutItsPassword(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, url string }{
		{"no URL", "redis://user:hunter2@h:port/"},
		{"other scheme", "http://user:hunter2@h:80"},
		{"unknown parameter", "redis://user:hunter2@h:6379?addr=h2:1&colour=red"},
		{"control character", "redis://user:hunter2@h\x7f"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := openBackend(config{redis: test.url, namespace: "n"})
			require.ErrorIs(t, err, errUsage)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestSafeguardsAreTheStores(t *testing.T) {
	t.Parallel()
	const server, cluster = "redis://127.0.0.1:1", "redis://127.0.0.1:1?addr=127.0.0.1:2"
	for _, test := range []struct {
		name  string
		args  []string
		count int
		says  string // "" if the store can be opened
	}{
		{"none", []string{"-redis", server}, 0, ""},
		{"replicas", []string{"-redis", server, "-min-replicas", "2"}, 1, ""},
		{"guard", []string{"-redis", server, "-memory-guard", "1h"}, 1, ""},
		{"both", []string{"-redis", server, "-min-replicas", "2", "-memory-guard", "1h"}, 2, ""},
		{"guard of a cluster", []string{"-redis", cluster, "-memory-guard", "1h"}, 1, "MemoryGuard"},
		{"guard for a year", []string{"-redis", server, "-memory-guard", "8760h"}, 1, "MemoryGuard"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := parseFlags(test.args, io.Discard)
			require.NoError(t, err)
			assert.Len(t, c.safeguards(), test.count)
			b, err := openBackend(c)
			if test.says != "" {
				require.ErrorIs(t, err, errUsage)
				assert.ErrorContains(t, err, test.says)
				return
			}
			require.NoError(t, err)
			assert.NoError(t, b.close())
		})
	}
}

func TestBadNamespaceIsAUsageError(t *testing.T) {
	t.Parallel()
	_, err := openBackend(config{redis: "embedded", namespace: "a{b}"})
	assert.ErrorIs(t, err, errUsage)
}
