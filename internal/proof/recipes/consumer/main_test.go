package consumer_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/redistest"
)

var shared redistest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Main(m)) }
