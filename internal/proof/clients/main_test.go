package clients_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/paytest"
	"github.com/reprise-go/reprise/internal/redistest"
)

var (
	shared   redistest.Shared
	payments paytest.Binary
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(payments.Main(shared.Main(m))) }
