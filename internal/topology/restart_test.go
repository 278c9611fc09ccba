package topology_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store/redisstore"
)

// onSingle starts one server that keeps nothing, and a service on it.
func onSingle(t *testing.T, opts ...redisstore.Option) (*redistest.Server, *stage) {
	t.Helper()
	srv := redistest.Start(t)
	return srv, newStage(t, func() redis.UniversalClient {
		return srv.Client(t, func(o *redis.Options) { o.MaxRetries, o.DialerRetries = -1, 1 })
	}, opts...)
}

// F12: a Redis that comes back empty.
func TestRedisThatComesBackEmptyWithMemoryGuardF12(t *testing.T) {
	t.Parallel()
	srv, s := onSingle(t, redisstore.MemoryGuard(quarantine))
	for range rounds() {
		s.bless(t)
		l := s.load(t)
		l.answers(t, 100)
		srv.Kill()
		srv.Restart()
		s.quarantines(t)
		l.end()
		require.Positive(t, l.again(t), "nothing was lost, so nothing was shown")
		requireOnce(t, s)
	}
}

// F12: without the guard keys run again, and a hook tells: of the attempts that
// were running, whose leases are gone.
func TestRedisThatComesBackEmptyWithoutGuardIsSeenF12(t *testing.T) {
	t.Parallel()
	srv, s := onSingle(t)
	l := s.load(t)
	started, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = s.askFor(t.Context(), "running", func(ctx context.Context) {
			close(started)
			<-ctx.Done()
		})
	}()
	<-started
	l.answers(t, 100)
	srv.Kill()
	srv.Restart()
	require.Eventually(t, func() bool { return s.lost.Load() > 0 }, backWithin, 10*time.Millisecond)
	<-ended
	s.serves(t)
	l.end()
	l.again(t)
	twice, _ := s.ledger.twice()
	require.NotEmpty(t, twice)
}
