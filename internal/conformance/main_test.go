package conformance_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/redistest"
)

// shared is the Redis of all tests that do not disturb theirs.
var shared redistest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(runner{shared.Main(m)}) }

// runner removes what the tests built for each other.
type runner struct{ redistest.Runner }

func (r runner) Run() int {
	defer func() {
		if paymentsBuild.path != "" {
			_ = os.RemoveAll(filepath.Dir(paymentsBuild.path))
		}
	}()
	return r.Runner.Run()
}
