package archtest_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/archtest"
)

// The drivers and transports that the inner packages must not know.
const (
	goRedis   = "github.com/redis/go-redis/..."
	miniredis = "github.com/alicebob/miniredis/v2/..."
	grpc      = "google.golang.org/grpc/..."
	redsync   = "github.com/go-redsync/redsync/v4/..."
)

// testPackages are tests in files that others import.
func testPackages() []string {
	return []string{
		"store/storetest/...", "lock/locktest/...",
		"internal/redistest/...", "internal/faultproxy/...", "internal/paytest/...", "internal/proof/...",
	}
}

func rules() []archtest.Rule {
	return []archtest.Rule{
		{
			From:   []string{"store/..."},
			To:     []string{"idempotency/...", "lock/..."},
			Reason: "a store keeps records and knows neither who decides about them nor how else one could lock; a store outside this module must be able to do with the contract alone",
		},
		{
			From:   []string{"lock/..."},
			To:     []string{"store/...", "idempotency/..."},
			Reason: "the lock is of use without idempotency, and the claim is no lock of this package",
		},
		{
			From:   []string{"lock", "lock/memlock/...", "lock/locktest/..."},
			To:     []string{goRedis, redsync, "lock/redislock/...", "lock/quorumlock/..."},
			Reason: "the lock's contract, its suite and the memory backend bind nobody to a driver",
		},
		{
			From:   []string{"idempotency"},
			To:     []string{"idempotency/idemhttp/...", "idempotency/idemgrpc/..."},
			Reason: "transports import the engine, never the reverse: the engine serves all of them and those to come",
		},
		{
			From:   []string{"idempotency"},
			To:     []string{"net/http", grpc},
			Reason: "the engine has no transport: status codes and headers are for the transport to classify",
		},
		{
			From:   []string{"idempotency/..."},
			To:     []string{goRedis, "store/redisstore/...", "lock/redislock/...", "lock/quorumlock/..."},
			Reason: "the engine and its transports work on any store and lock: the user picks the driver",
		},
		{
			From:   []string{"idempotency/idemhttp/..."},
			To:     []string{"idempotency/idemgrpc/...", grpc},
			Reason: "who serves HTTP must not link gRPC",
		},
		{
			From:   []string{"idempotency/idemgrpc/..."},
			To:     []string{"idempotency/idemhttp/..."},
			Reason: "who serves gRPC has no use for the HTTP middleware",
		},
		{
			From:   []string{"store", "store/memstore/...", "store/storetest/..."},
			To:     []string{goRedis, "store/redisstore/..."},
			Reason: "the contract, its suite and the memory store bind nobody to a driver",
		},
		{
			From:   []string{"internal/redisconn/..."},
			To:     []string{"store/...", "idempotency/...", "lock/..."},
			Reason: "connections serve the stores and the locks alike, so they may lean on neither",
		},
		{
			From:   []string{"internal/lease/..."},
			To:     []string{"store/...", "idempotency/...", "lock/...", goRedis},
			Reason: "the watchdog serves the engine and the lock alike, so it may lean on neither",
		},
		{
			From: []string{"..."},
			To:   []string{"github.com/stretchr/testify/...", "go.uber.org/goleak/...", "github.com/anishathalye/porcupine/...", "pgregory.net/rapid/..."},
			// Not even the packages for tests: a store's author runs the suite
			// and should not have to take our assertion library with it.
			Except: []string{"internal/proof/..."},
			Reason: "test libraries stay in test files, out of other people's builds",
		},
		{
			From:   []string{"..."},
			To:     []string{"testing", "testing/synctest", "internal/redistest/...", "internal/faultproxy/...", "internal/paytest/..."},
			Except: testPackages(),
			Reason: "programs must not link what is made for tests",
		},
		{
			From:   []string{"..."},
			To:     []string{miniredis},
			Except: append(testPackages(), "examples/payments/..."),
			Reason: "the embedded Redis is for tests and for the example that runs with nothing installed",
		},
	}
}

func TestPackagesImportOnlyInTheDirectionsOfTheDesign(t *testing.T) {
	t.Parallel()
	graph, err := archtest.Load(os.DirFS("../.."))
	require.NoError(t, err)
	for _, pkg := range []string{"store", "idempotency", "idempotency/idemhttp", "internal/lease", "internal/archtest"} {
		assert.Contains(t, graph, pkg, "a graph without it would show nothing")
	}
	for _, violation := range archtest.Check(graph, rules()) {
		t.Error(violation)
	}
}

// Each case breaks one rule, in a module that is otherwise in order.
func TestEachRuleCatchesItsViolation(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, from, to string
		reason         string
	}{
		{name: "store to engine", from: "store", to: "idempotency", reason: "a store keeps records"},
		{name: "store to lock", from: "store/redisstore", to: "lock", reason: "a store keeps records"},
		{name: "lock to store", from: "lock", to: "store", reason: "the lock is of use without"},
		{name: "lock to engine", from: "lock/redislock", to: "idempotency", reason: "the lock is of use without"},
		{name: "engine to transport", from: "idempotency", to: "idempotency/idemhttp", reason: "never the reverse"},
		{name: "engine to net/http", from: "idempotency", to: "net/http", reason: "the engine has no transport"},
		{name: "engine to driver", from: "idempotency", to: "github.com/redis/go-redis/v9", reason: "the user picks the driver"},
		{name: "transport to store's driver", from: "idempotency/idemhttp", to: "store/redisstore", reason: "the user picks the driver"},
		{name: "HTTP to gRPC", from: "idempotency/idemhttp", to: "google.golang.org/grpc/codes", reason: "must not link gRPC"},
		{name: "gRPC to HTTP", from: "idempotency/idemgrpc", to: "idempotency/idemhttp", reason: "no use for the HTTP"},
		{name: "memory store to driver", from: "store/memstore", to: "github.com/redis/go-redis/v9", reason: "bind nobody to a driver"},
		{name: "lock to driver", from: "lock", to: "github.com/redis/go-redis/v9", reason: "the lock's contract"},
		{name: "memory lock to redsync", from: "lock/memlock", to: "github.com/go-redsync/redsync/v4", reason: "the lock's contract"},
		{name: "connections to lock", from: "internal/redisconn", to: "lock", reason: "connections serve"},
		{name: "watchdog to store", from: "internal/lease", to: "store", reason: "lean on neither"},
		{name: "testify in the suite", from: "store/storetest", to: "github.com/stretchr/testify/require", reason: "test libraries"},
		{name: "goleak in the engine", from: "idempotency", to: "go.uber.org/goleak", reason: "test libraries"},
		{name: "testing in the store", from: "store", to: "testing", reason: "made for tests"},
		{name: "test server in the example", from: "examples/payments", to: "internal/redistest", reason: "made for tests"},
		{name: "embedded Redis in the store", from: "store/redisstore", to: "github.com/alicebob/miniredis/v2", reason: "the embedded Redis"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			graph := orderly()
			require.Empty(t, archtest.Check(graph, rules()))
			graph[tt.from] = append(graph[tt.from], tt.to)
			found := archtest.Check(graph, rules())
			require.NotEmpty(t, found)
			assert.Equal(t, []string{tt.from, tt.to}, found[0].Chain)
			assert.Contains(t, found[0].String(), tt.from+" imports "+tt.to)
			assert.Contains(t, found[0].String(), tt.reason)
		})
	}
}

// orderly is a module as the rules want it.
func orderly() archtest.Graph {
	return archtest.Graph{
		"store":                {"context"},
		"store/memstore":       {"store", "sync"},
		"store/redisstore":     {"store", "github.com/redis/go-redis/v9"},
		"store/storetest":      {"store", "testing"},
		"lock":                 {"context"},
		"lock/memlock":         {"lock", "sync"},
		"lock/redislock":       {"lock", "internal/redisconn", "github.com/redis/go-redis/v9"},
		"internal/redisconn":   {"github.com/redis/go-redis/v9"},
		"idempotency":          {"store", "lock", "internal/lease"},
		"idempotency/idemhttp": {"idempotency", "net/http"},
		"idempotency/idemgrpc": {"idempotency", "google.golang.org/grpc"},
		"internal/lease":       {"context", "time"},
		"internal/redistest":   {"github.com/redis/go-redis/v9", "testing"},
		"internal/faultproxy":  {"net", "testing"},
		"examples/payments":    {"idempotency/idemhttp", "store/redisstore", "github.com/alicebob/miniredis/v2"},
	}
}
