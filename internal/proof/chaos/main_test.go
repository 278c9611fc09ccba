package chaos_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/paytest"
)

var payments paytest.Binary

func TestMain(m *testing.M) { goleak.VerifyTestMain(payments.Main(m)) }
