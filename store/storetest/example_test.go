package storetest_test

import (
	"context"
	"fmt"

	"github.com/reprise-go/reprise/store/storetest"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

// A store whose lease is its records' time to live is not fit for use.
func ExampleCheck() {
	report := storetest.Check(context.Background(), func() storetest.Harness {
		s := broken.LeaseIsTTL()
		return storetest.Harness{Store: s, Advance: s.(*broken.Store).Shift}
	})
	failure := report.Failed("ttl/lease is not the ttl")
	fmt.Println(failure.Case)
	fmt.Println(failure.Rule)
	// Output:
	// ttl/lease is not the ttl
	// a record whose lease lapsed is still there, as it was, and is rewritten by nobody
}
