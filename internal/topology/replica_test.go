package topology_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store/redisstore"
)

// F16: without its replica a service starts nothing new. What was running gets its
// true answer, which is not final yet; it is recorded when the replica is back.
func TestServiceWithoutItsReplicaF16(t *testing.T) {
	t.Parallel()
	fast := redistest.Args("--repl-diskless-sync-delay", "0")
	master, replica := redistest.Start(t, fast), redistest.Start(t, fast)
	replica.ReplicaOf(master)
	s := newStage(t, func() redis.UniversalClient { return master.Client(t) },
		redisstore.MinReplicas(1, ackTimeout))
	var key string
	var result idempotency.Result
	var err error
	require.EventuallyWithT(t, func(c *assert.CollectT) { // a busy machine's replica may take its time
		key = s.newKey()
		result, err = s.askFor(t.Context(), key, func(context.Context) { replica.Pause() })
		assert.NoError(c, err)
	}, backWithin, 20*time.Millisecond)
	require.Equal(t, idempotency.Executed, result.Outcome)
	require.False(t, result.Recorded)

	for range 5 {
		refused := s.newKey()
		_, err = s.ask(t.Context(), refused)
		require.ErrorIs(t, err, idempotency.ErrStoreUnavailable)
		require.ErrorIs(t, err, redisstore.ErrUnacknowledged)
		require.False(t, s.ledger.ran(refused))
	}
	replica.Resume()
	require.Eventually(t, func() bool { return s.late.Load() == 1 }, backWithin, 10*time.Millisecond,
		"the answer is recorded")
	replay, err := s.ask(t.Context(), key)
	require.NoError(t, err)
	assert.Equal(t, idempotency.Replayed, replay.Outcome)
	assert.Equal(t, result.Answer.Body, replay.Answer.Body)
	s.serves(t)
}
