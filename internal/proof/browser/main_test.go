package browser_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/paytest"
	"github.com/reprise-go/reprise/internal/redistest"

	// The service is built of these, which is to spoil cached results.
	_ "github.com/reprise-go/reprise/idempotency/idemadmin"
	_ "github.com/reprise-go/reprise/store/memstore"
	_ "github.com/reprise-go/reprise/store/redisstore"
)

var (
	shared   redistest.Shared
	payments paytest.Binary
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(payments.Main(shared.Main(m))) }
