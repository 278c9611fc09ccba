package memstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store/memstore"
	"github.com/reprise-go/reprise/store/storetest"
)

func newStore(t testing.TB, opts ...memstore.Option) *memstore.Store {
	t.Helper()
	s, err := memstore.New(opts...)
	require.NoError(t, err)
	return s
}

// By virtual time. A monotonic clock cannot be set back and nothing makes the
// memory of a process forget one record, so those cases stay skipped here;
// both are run on the reference store in package storetest.
func TestConformanceInABubble(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		return storetest.Harness{Store: newStore(t), Advance: time.Sleep}
	}, storetest.InParallel(), storetest.InBubble())
}

// By the real clock, as a third party's first run would be.
func TestConformanceByTheRealClock(t *testing.T) {
	t.Parallel()
	shared := newStore(t)
	storetest.Run(t, func(*testing.T) storetest.Harness {
		return storetest.Harness{Store: shared}
	}, storetest.InParallel())
}
