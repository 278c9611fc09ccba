package store_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
)

// records is a whole store over [store.Step]: where Step can run under a lock,
// or between SELECT … FOR UPDATE and UPDATE, no rule is written again. Package
// storetest shows that it keeps them.
type records struct {
	mu   sync.Mutex
	byID map[store.ID]store.Record
}

func (r *records) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	if err := store.Validate(event); err != nil {
		return store.Reply{}, err
	}
	if err := ctx.Err(); err != nil {
		return store.Reply{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := store.Instant(time.Now().UnixMicro())
	next, reply := store.Step(r.byID[id], event, now)
	r.byID[id] = next // a store for use copies the answer's bytes, and forgets what has expired
	return reply, nil
}

func (r *records) Renew(ctx context.Context, renewals []store.Renewal) []store.RenewResult {
	results := make([]store.RenewResult, len(renewals))
	for i, renewal := range renewals {
		results[i].Reply, results[i].Err = r.Apply(ctx, renewal.ID, renewal.Renew)
	}
	return results
}

func (r *records) Lookup(ctx context.Context, id store.ID) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id].Live(store.Instant(time.Now().UnixMicro())), nil
}

func ExampleStep() {
	var st store.Store = &records{byID: make(map[store.ID]store.Record)}
	ctx := context.Background()
	id := store.NewID("acme", "payments.create", "order-1")

	claim := store.Claim{
		Owner:       store.NewOwner(),
		Fingerprint: store.Fingerprint{Algorithm: store.NoFingerprint},
		Operation:   "payments.create",
		Lease:       10 * time.Second,
		Retention:   time.Hour,
	}
	first, _ := st.Apply(ctx, id, claim)
	again, _ := st.Apply(ctx, id, claim) // the reply got lost, say
	fmt.Println(first.Verdict, again.Verdict, first.Token == again.Token)

	claim.Owner = store.NewOwner() // another request
	other, _ := st.Apply(ctx, id, claim)
	fmt.Println(other.Verdict)

	_, err := st.Apply(ctx, id, store.Mark{})
	fmt.Println(err)
	// Output:
	// claimed claimed true
	// in progress
	// invalid event: mark: Owner is zero
}
