package memstore_test

import (
	"testing"

	"go.uber.org/goleak"
)

// The store has no goroutines; this is to keep it so.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
