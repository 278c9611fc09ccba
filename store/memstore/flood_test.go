package memstore_test

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// TestF77_AFloodOfKeysIsBounded is not parallel: it looks at the heap of the whole
// process.
func TestF77_AFloodOfKeysIsBounded(t *testing.T) {
	bounded, err := memstore.New() // by the defaults
	require.NoError(t, err)
	taken, heap := floodWith(t, bounded, flood)
	t.Logf("of %d keys %d were taken, on %d KiB", flood, taken, heap>>10)
	assert.Equal(t, memstore.DefaultMaxRecords, taken)
	assert.Less(t, heap, int64(memstore.DefaultMaxBytes))
	const perRecord = 1 << 10
	assert.Less(t, heap, int64(memstore.DefaultMaxRecords*perRecord))

	const more = 100_000
	small, err := memstore.New(memstore.MaxRecords(2*more), memstore.MaxBytes(16<<20))
	require.NoError(t, err)
	taken, heap = floodWith(t, small, more)
	t.Logf("of %d keys %d were taken, on %d KiB", more, taken, heap>>10)
	assert.Greater(t, taken, 1000)
	assert.Less(t, heap, int64(20<<20), "the store counts what it takes")

	open, err := memstore.New(memstore.MaxRecords(2*more), memstore.MaxBytes(4<<30))
	require.NoError(t, err)
	taken, heap = floodWith(t, open, more)
	assert.Equal(t, more, taken)
	assert.Greater(t, heap, int64(more*200), "without bounds it would show")
}

// floodWith claims many keys and returns how many the store took, and by how much
// the live heap grew.
func floodWith(t *testing.T, s *memstore.Store, keys uint64) (taken int, heap int64) {
	t.Helper()
	before := liveHeap()
	for i := range keys {
		claim := store.Claim{
			Owner:       store.Owner{},
			Fingerprint: store.Fingerprint{Algorithm: store.NoFingerprint},
			Scope:       store.NewScopeDigest("one caller"), Operation: "POST /v1/payments",
			Lease: time.Hour, Retention: 24 * time.Hour,
		}
		binary.BigEndian.PutUint64(claim.Owner[:], i+1)
		var id store.ID
		binary.BigEndian.PutUint64(id[:], i)
		reply, err := s.Apply(t.Context(), id, claim)
		if err != nil {
			require.ErrorIs(t, err, store.ErrUnavailable)
			require.ErrorIs(t, err, store.ErrNotExecuted)
			continue
		}
		require.Equal(t, store.Claimed, reply.Verdict)
		taken++
	}
	heap = liveHeap() - before
	runtime.KeepAlive(s)
	return taken, heap
}

func liveHeap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
