package topology_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// go-redis looks once a second whether a server that refused connections
		// is back, and notices only then that its client was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"),
		// It also sleeps a little after each look at a cluster's map.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9.(*clusterStateHolder).LazyReload.func1"))
}

// rounds is how often a master dies, or a slot moves: once with -short.
func rounds() int {
	if testing.Short() {
		return 1
	}
	return 5
}
