package conformance_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/redistest"
)

// shared is the Redis of all tests that do not disturb theirs.
var shared redistest.Shared

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(payments.Main(shared.Main(m)),
		// go-redis looks once a second whether a server that refused connections
		// is back, and notices only then that its client was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}
