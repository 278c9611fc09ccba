package simulation_test

import (
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets one goroutine run at a time: then a seed gives the same world
// every time.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}
