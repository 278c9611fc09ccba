package idempotency_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// deaf answers nobody, and notes how long each caller waited.
type deaf struct {
	*memstore.Store
	mu     sync.Mutex
	waited []time.Duration
	seen   []any
}

type traceKey struct{}

func (d *deaf) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	if _, claim := event.(store.Claim); !claim {
		return d.Store.Apply(ctx, id, event)
	}
	began := time.Now()
	derived, cancel := context.WithCancel(ctx) // as clients do
	defer cancel()
	<-derived.Done()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waited, d.seen = append(d.waited, time.Since(began)), append(d.seen, derived.Value(traceKey{}))
	return store.Reply{}, errors.Join(store.ErrUnavailable, derived.Err())
}

// Calls of the same time have one timer. None waits longer than the timeout says, and
// none less than 15/16 of it; each has the values of its own caller, and no caller's
// end ends it.
func TestCallsToTheStoreShareTheirDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory, err := memstore.New()
		require.NoError(t, err)
		st := &deaf{Store: memory}
		const limit = 160 * time.Millisecond
		guard, err := idempotency.New(st, idempotency.WithStoreTimeout(limit))
		require.NoError(t, err)
		op, err := guard.Operation("pay")
		require.NoError(t, err)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for i := range 40 {
			ctx := context.WithValue(gone, traceKey{}, i)
			go func() {
				_, err := op.Execute(ctx, idempotency.Call{Scope: "m", Key: string(rune('a' + i))},
					func(context.Context) idempotency.Answer { return idempotency.Answer{} })
				assert.ErrorIs(t, err, idempotency.ErrStoreUnavailable)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			}()
			time.Sleep(7 * time.Millisecond)
			synctest.Wait()
		}
		time.Sleep(time.Second)
		require.NoError(t, guard.Shutdown(t.Context()))
		require.Len(t, st.waited, 40)
		whole := 0
		for i, waited := range st.waited {
			assert.LessOrEqual(t, waited, limit)
			assert.GreaterOrEqual(t, waited, limit*15/16)
			if waited == limit {
				whole++
			}
			assert.Contains(t, st.seen, i)
		}
		assert.Equal(t, 20, whole, "every second call begins a deadline of its own")
	})
}
