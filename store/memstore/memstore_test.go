package memstore_test

import (
	"context"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

const (
	lease = 30 * time.Second
	keep  = time.Hour
)

func id(n int) store.ID {
	var id store.ID
	binary.BigEndian.PutUint64(id[:], uint64(n))
	return id
}

func owner(n int) store.Owner {
	o := store.Owner{1}
	binary.BigEndian.PutUint64(o[8:], uint64(n))
	return o
}

func claim(n int) store.Claim {
	return store.Claim{
		Owner: owner(n), Fingerprint: store.Fingerprint{Algorithm: "sha256"},
		Operation: "op", Lease: lease, Retention: keep,
	}
}

func attempt(n int) store.Attempt {
	c := claim(n)
	return store.Attempt{
		Owner: c.Owner, Number: 1, Lease: lease, Retention: keep,
		Fingerprint: c.Fingerprint, Operation: c.Operation,
	}
}

func complete(n int, body string) store.Complete {
	return store.Complete{Attempt: attempt(n), Answer: store.Answer{Codec: "c", Body: []byte(body)}}
}

func apply(t testing.TB, s *memstore.Store, n int, event store.Event) store.Verdict {
	t.Helper()
	reply, err := s.Apply(context.Background(), id(n), event)
	require.NoError(t, err)
	return reply.Verdict
}

func refusedAsFull(t testing.TB, s *memstore.Store, n int) {
	t.Helper()
	_, err := s.Apply(t.Context(), id(n), claim(n))
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorContains(t, err, "full")
	rec, err := s.Lookup(t.Context(), id(n))
	require.NoError(t, err)
	require.Equal(t, store.Absent, rec.State)
}

func TestOptionsOutOfRangeAreNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		opt  memstore.Option
		want string
	}{
		{"no records", memstore.MaxRecords(0), "MaxRecords is 0"},
		{"negative records", memstore.MaxRecords(-1), "MaxRecords is -1"},
		{"no bytes", memstore.MaxBytes(0), "MaxBytes is 0"},
		{"bytes for less than one record", memstore.MaxBytes(1000), "MaxBytes is 1000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, err := memstore.New(test.opt)
			require.ErrorContains(t, err, test.want)
			assert.Nil(t, s)
		})
	}
	_, err := memstore.New(memstore.MaxRecords(0), memstore.MaxBytes(0))
	require.ErrorContains(t, err, "MaxRecords")
	require.ErrorContains(t, err, "MaxBytes")
	newStore(t, memstore.MaxRecords(1), memstore.MaxBytes(1<<10))
}

// F77, A12.
func TestFullStoreRefusesNewOperationsAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		bound memstore.Option
	}{
		{"by records", memstore.MaxRecords(5)},
		{"by bytes", memstore.MaxBytes(5 * (512 + 64))},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, test.bound)
			for n := range 5 {
				require.Equal(t, store.Claimed, apply(t, s, n, claim(n)))
			}
			refusedAsFull(t, s, 99)
			assert.Equal(t, store.Claimed, apply(t, s, 0, claim(0)), "own claim again")
			assert.Equal(t, store.InProgress, apply(t, s, 0, claim(50)))
			assert.Equal(t, store.Done, apply(t, s, 0, store.Renew{Owner: owner(0), Lease: lease, Retention: keep}))
			assert.Equal(t, store.Done, apply(t, s, 0, store.Mark{Owner: owner(0)}))
			assert.Equal(t, store.Done, apply(t, s, 0, complete(0, strings.Repeat("x", 1<<16))))
			assert.Equal(t, store.Recorded, apply(t, s, 0, claim(50)), "replay")
			assert.Equal(t, store.Done, apply(t, s, 1, store.Release{Attempt: attempt(1)}))
			assert.Equal(t, store.Claimed, apply(t, s, 1, claim(51)), "a released one starts again")
			assert.Equal(t, store.Done, apply(t, s, 2, store.Fail{Attempt: attempt(2)}))
			again := claim(52)
			again.TakeOver = store.TakeOverAlways
			assert.Equal(t, store.Claimed, apply(t, s, 2, again), "a take-over")
			assert.Equal(t, store.Done, apply(t, s, 98, store.Release{Attempt: attempt(98)}), "a tombstone")
			refusedAsFull(t, s, 99)
			for n := range 5 {
				rec, err := s.Lookup(t.Context(), id(n))
				require.NoError(t, err)
				assert.NotEqual(t, store.Absent, rec.State, "record %d was evicted", n)
			}
		})
	}
}

func TestFullStoreHasRoomAsSoonAsRecordsExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, memstore.MaxRecords(3))
		for n := range 3 {
			require.Equal(t, store.Claimed, apply(t, s, n, claim(n)))
		}
		require.Equal(t, store.Done, apply(t, s, 1, complete(1, "answer")))
		time.Sleep(keep - time.Microsecond)
		refusedAsFull(t, s, 99)
		time.Sleep(time.Microsecond)
		require.Equal(t, store.Claimed, apply(t, s, 99, claim(99)))
		refusedAsFull(t, s, 100)
	})
}

func TestBytesAreGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, memstore.MaxBytes(1<<20))
		for round := range 50 {
			require.Equal(t, store.Claimed, apply(t, s, round, claim(round)), "round %d", round)
			require.Equal(t, store.Done, apply(t, s, round, complete(round, strings.Repeat("x", 1<<20))))
			refusedAsFull(t, s, 999)
			time.Sleep(keep)
		}
	})
}

// F59. A bubble's clocks cannot be pulled apart, so this holds the other half:
// what the store tells is the wall clock at construction plus what has passed.
func TestClockStartsAtTheWallAndIsMonotonic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := newStore(t)
		for _, passed := range []time.Duration{0, time.Microsecond, time.Hour, 24 * time.Hour} {
			time.Sleep(passed)
			reply, err := s.Apply(t.Context(), id(1), claim(1))
			require.NoError(t, err)
			assert.Equal(t, store.Instant(began.Add(time.Since(began)).UnixMicro()), reply.Now)
		}
	})
}

// I8: what a peak has taken is given back by the calls after its expiry.
// Not parallel: it measures the process's heap.
func TestMemoryReturnsToBaseAfterExpiry(t *testing.T) {
	const records, body = 100_000, 256
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, memstore.MaxRecords(records))
		base := heap()
		answer := complete(0, strings.Repeat("x", body))
		for n := range records {
			require.Equal(t, store.Claimed, apply(t, s, n, claim(n)))
			answer.Owner = owner(n)
			require.Equal(t, store.Done, apply(t, s, n, answer))
		}
		full := heap() - base
		assert.Less(t, full, int64(records*(512+body+64)), "records take more than they are accounted for")
		refusedAsFull(t, s, records)

		time.Sleep(keep)
		for range records / 16 {
			_, err := s.Lookup(t.Context(), id(0))
			require.NoError(t, err)
		}
		left := heap() - base
		t.Logf("%d records: %d MiB, after expiry %d KiB", records, full>>20, left>>10)
		assert.Less(t, left, full/100)
		runtime.KeepAlive(s)
	})
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func BenchmarkClaim(b *testing.B) {
	s := newStore(b, memstore.MaxRecords(b.N+1<<20), memstore.MaxBytes(1<<40))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		apply(b, s, n, claim(n))
	}
}

func BenchmarkClaimAndComplete(b *testing.B) {
	s := newStore(b, memstore.MaxRecords(1<<30), memstore.MaxBytes(1<<40))
	answer := complete(0, strings.Repeat("x", 512))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		apply(b, s, n, claim(n))
		answer.Owner = owner(n)
		apply(b, s, n, answer)
	}
}

func BenchmarkReplay(b *testing.B) {
	s := newStore(b)
	apply(b, s, 1, claim(1))
	apply(b, s, 1, complete(1, strings.Repeat("x", 512)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 2; pb.Next(); n++ {
			apply(b, s, 1, claim(n))
		}
	})
}
