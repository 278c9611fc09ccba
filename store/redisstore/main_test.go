package redisstore_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store/redisstore"
)

// shared is the server of all tests that need nothing but a namespace.
var shared redistest.Shared

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(shared.Main(m),
		// go-redis looks once a second whether a server that refused connections
		// is back, and notices only then that its client was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// newStore returns a store that is closed before the client's own cleanup.
func newStore(t testing.TB, rdb redis.UniversalClient, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(rdb, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}
