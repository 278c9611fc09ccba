package locktest_test

import (
	"context"
	"fmt"

	"github.com/reprise-go/reprise/lock/locktest"
	"github.com/reprise-go/reprise/lock/memlock"
)

func ExampleCheck() {
	report := locktest.Check(context.Background(), func() locktest.Harness {
		return locktest.Harness{Backend: memlock.New(), Fenced: true}
	})
	for _, failure := range report.Failures {
		fmt.Println(failure)
	}
	fmt.Println(len(report.Passed) > 0, len(report.Failures), len(report.Skips))
	// Output: true 0 0
}
