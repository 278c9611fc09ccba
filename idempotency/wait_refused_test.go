package idempotency_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// refusesFor is a store that executes a claim, and says after a moment that it
// takes none for that long, as after a loss of memory.
func refusesFor(d time.Duration) fault {
	return func(_ context.Context, execute func() store.Reply) (store.Reply, error) {
		execute()
		time.Sleep(50 * time.Millisecond)
		return store.Reply{}, fmt.Errorf("%w: %w", store.ErrUnavailable, quarantine{d})
	}
}

type quarantine struct{ left time.Duration }

func (quarantine) Error() string { return "in quarantine" }

func (q quarantine) RetryAfter() time.Duration { return q.left }

// A store that says for how long it refuses is no outage to wait for: asking again
// is what it does not want, and the waiters would hear the same at the end of their
// time.
func TestStoreThatRefusesForLongIsToldToAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, heard := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		p.node.always(refusesFor(time.Hour), "claim")
		began := time.Now()
		for _, r := range duplicates(t.Context(), 5, op, forbidden(t)) {
			_, err := r.wait()
			assert.Equal(t, time.Hour, refusal(t, err, idempotency.ErrStoreUnavailable).RetryAfter)
		}
		assert.Equal(t, 50*time.Millisecond, time.Since(began))
		time.Sleep(time.Second)
		assert.Equal(t, 1, p.node.count("claim"), "nobody asks again")
		assert.Zero(t, heard.listening())
		_, rec := p.node.backend.only(t)
		assert.Equal(t, store.Released, rec.State)
	})
}

func TestStoreThatBeginsToRefuseIsToldToAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, heard := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		owner := begin(t.Context(), op, call("k"), takes(20*time.Second, "a"))
		synctest.Wait()
		all := duplicates(t.Context(), 5, op, forbidden(t))
		synctest.Wait()
		began := time.Now()
		p.node.always(refusesFor(time.Hour), "claim")
		for _, r := range all {
			_, err := r.wait()
			assert.Equal(t, time.Hour, refusal(t, err, idempotency.ErrStoreUnavailable).RetryAfter)
		}
		assert.Less(t, time.Since(began), time.Second, "at the first time that somebody asks")
		synctest.Wait()
		assert.Zero(t, heard.listening())
		result, err := owner.wait()
		require.NoError(t, err)
		assert.True(t, result.Recorded, "the attempt is none of theirs")
	})
}
