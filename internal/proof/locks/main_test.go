package locks_test

import (
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/quorumlock"
	"github.com/reprise-go/reprise/lock/redislock"
)

const (
	// goroutines call side by side.
	goroutines = 16
	lease      = 30 * time.Second
)

func TestMain(m *testing.M) {
	logging.Disable() // of servers that were killed on purpose
	os.Exit(m.Run())
}

// steady keeps the client from repeating commands.
func steady(o *redis.Options) { o.MaxRetries = -1 }

func single(b *testing.B) *redistest.Server {
	b.Helper()
	return redistest.Start(b)
}

func ours(b *testing.B, rdb redis.UniversalClient) *lock.Locker {
	b.Helper()
	backend, err := redislock.New(rdb)
	require.NoError(b, err)
	return locker(b, backend, backend.Close)
}

func ourQuorum(b *testing.B, masters []redis.UniversalClient) *lock.Locker {
	b.Helper()
	backend, err := quorumlock.New(masters)
	require.NoError(b, err)
	return locker(b, backend, backend.Close)
}

func locker(b *testing.B, backend lock.Backend, done func() error) *lock.Locker {
	b.Helper()
	l, err := lock.New(backend)
	require.NoError(b, err)
	b.Cleanup(func() {
		require.NoError(b, l.Close())
		require.NoError(b, done())
	})
	return l
}
