package paytest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/paytest"
)

// payments is what this package offers to others, used as they use it.
var payments paytest.Binary

func TestMain(m *testing.M) { goleak.VerifyTestMain(payments.Main(m)) }
