package bubble_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// TestMain lets one goroutine run at a time, which is fastest and repeats best.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	redis.SetLogger(silent{})
	goleak.VerifyTestMain(m)
}

// silent is a logger for a client whose connections are meant to break.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
