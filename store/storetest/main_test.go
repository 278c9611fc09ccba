package storetest_test

import (
	"testing"

	"go.uber.org/goleak"
)

// The crowds of the race cases and the sequences that run side by side are
// waited for.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
