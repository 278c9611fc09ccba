package idempotency_test

import (
	"context"
	"fmt"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/memlock"
	"github.com/reprise-go/reprise/store/memstore"
)

// In production the store is a redisstore behind Sentinel or on a cluster, and the
// lock's backend a quorumlock on masters of its own.
func ExampleWithLocker() {
	st, err := memstore.New()
	if err != nil {
		panic(err)
	}
	locker, err := lock.New(memlock.New())
	if err != nil {
		panic(err)
	}
	guard, err := idempotency.New(st, idempotency.WithLocker(locker))
	if err != nil {
		panic(err)
	}
	pay, err := guard.Operation("payments.create")
	if err != nil {
		panic(err)
	}

	ctx := context.Background()
	for range 2 {
		result, err := pay.Execute(ctx, call("k1"), func(context.Context) idempotency.Answer {
			fmt.Println("runs under the claim and under the lock")
			return recorded("paid")
		})
		fmt.Println(result.Outcome, string(result.Answer.Body), err)
	}

	// The guard first: its attempts hold locks.
	if err := guard.Shutdown(ctx); err != nil {
		panic(err)
	}
	if err := locker.Close(); err != nil {
		panic(err)
	}
	// Output:
	// runs under the claim and under the lock
	// executed paid <nil>
	// replayed paid <nil>
}
