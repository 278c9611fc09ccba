package redislock_test

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

// shared is the server of all tests that need nothing but locks of their own.
var shared redistest.Shared

func TestMain(m *testing.M) {
	if addr := os.Getenv(holderOn); addr != "" {
		holdUntilLost(addr) // this process is a holder that a test has started
		return
	}
	goleak.VerifyTestMain(shared.Main(m),
		// go-redis looks once a second whether a server that refused connections
		// is back, and notices only then that its client was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// open returns a backend that is closed before the client's own cleanup.
func open(t testing.TB, rdb redis.UniversalClient, opts ...redislock.Option) *redislock.Backend {
	t.Helper()
	b, err := redislock.New(rdb, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func newLocker(t testing.TB, b lock.Backend, opts ...lock.Option) *lock.Locker {
	t.Helper()
	l, err := lock.New(b, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// proxied returns a backend whose server knows the scripts, behind a proxy. The
// client does not repeat commands unless a mutator says so.
func proxied(t *testing.T, mutate ...func(*redis.Options)) (*redislock.Backend, *faultproxy.Proxy, *redistest.Server) {
	t.Helper()
	srv := redistest.Start(t)
	proxy := faultproxy.Start(t, srv.Addr())
	opts := append([]func(*redis.Options){func(o *redis.Options) {
		o.Addr, o.MaxRetries = proxy.Addr(), -1
	}}, mutate...)
	b := open(t, srv.Client(t, opts...))
	h := newHold()
	h.acquires(t, b, lock.Acquired)
	h.renews(t, b, false)
	h.releases(t, b, true)
	proxy.ResetCounts()
	return b, proxy, srv
}

// repeating lets the client do what it does by default: run a command again,
// silently, when a reply got lost.
func repeating(o *redis.Options) { o.MaxRetries = 3 }
