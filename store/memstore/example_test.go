package memstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

func ExampleNew() {
	records, err := memstore.New(memstore.MaxRecords(10_000), memstore.MaxBytes(64<<20))
	if err != nil {
		fmt.Println(err)
		return
	}
	reply, err := records.Apply(context.Background(),
		store.NewID("tenant", "payments.create", "key-1"),
		store.Claim{
			Owner:       store.NewOwner(),
			Fingerprint: store.Fingerprint{Algorithm: store.NoFingerprint},
			Scope:       store.NewScopeDigest("tenant"),
			Operation:   "payments.create",
			Lease:       30 * time.Second,
			Retention:   24 * time.Hour,
		})
	fmt.Println(reply.Verdict, reply.Attempt, err)
	// Output: claimed 1 <nil>
}
