package conformance_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/redistest"
)

// shared is the Redis of all tests that do not disturb theirs.
var shared redistest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(payments.Main(shared.Main(m))) }
