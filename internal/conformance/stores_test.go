package conformance_test

import (
	"context"
	"sync/atomic"

	"github.com/reprise-go/reprise/store"
)

// countingStore counts the calls that reach a store.
type countingStore struct {
	store.Store
	calls atomic.Int64
}

func (s *countingStore) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	s.calls.Add(1)
	return s.Store.Apply(ctx, id, event)
}
