package memlock_test

import (
	"context"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/memlock"
)

func ExampleNew() {
	backend := memlock.New()
	id := lock.NewID("a key")
	claim := lock.Claim{Owner: lock.NewOwner(), Lease: time.Minute}
	first, err := backend.Acquire(context.Background(), id, claim)
	fmt.Println(first.Verdict, err)
	claim.Owner = lock.NewOwner()
	second, err := backend.Acquire(context.Background(), id, claim)
	fmt.Println(second.Verdict, err)
	// Output:
	// acquired <nil>
	// held <nil>
}
