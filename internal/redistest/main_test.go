package redistest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/redistest"
)

// shared is what this package offers to others, used as they use it.
var shared redistest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Main(m)) }
