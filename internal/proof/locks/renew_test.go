package locks_test

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	bsm "github.com/bsm/redislock"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

const held = 10_000

// One renewal of each of ten thousand held leases: 79 scripts against one goroutine
// and one EVALSHA each. The memory of a lease is in BenchmarkHeldLeases.
func BenchmarkRenewals(b *testing.B) {
	srv := single(b)
	backend, err := redislock.New(srv.Client(b, steady))
	require.NoError(b, err)
	defer func() { require.NoError(b, backend.Close()) }()
	renewals := make([]lock.Renewal, held)
	client := bsm.New(srv.Client(b, steady))
	locks := make([]*bsm.Lock, held)
	for i := range renewals {
		renewals[i] = lock.Renewal{ID: lock.NewID(fmt.Sprint(i)), Owner: lock.NewOwner(), Lease: time.Minute}
		_, err := backend.Acquire(b.Context(), renewals[i].ID, lock.Claim{Owner: renewals[i].Owner, Lease: time.Minute})
		require.NoError(b, err)
		locks[i], err = client.Obtain(b.Context(), fmt.Sprint("bsm ", i), time.Minute, nil)
		require.NoError(b, err)
	}
	b.Run("reprise", func(b *testing.B) {
		measure(b, func() {
			for _, r := range backend.Renew(b.Context(), renewals) {
				if r.Err != nil || r.Lost {
					b.Fatal(r)
				}
			}
		})
	})
	b.Run("bsm, a goroutine each", func(b *testing.B) {
		measure(b, func() {
			var all sync.WaitGroup
			for _, l := range locks {
				all.Go(func() {
					if err := l.Refresh(b.Context(), time.Minute, nil); err != nil {
						b.Error(err)
					}
				})
			}
			all.Wait()
		})
	})
}

// measure also reports the processor time of this process.
func measure(b *testing.B, do func()) {
	b.Helper()
	b.ResetTimer()
	before := cpu(b)
	for range b.N {
		do()
	}
	b.ReportMetric(float64((cpu(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// What ten thousand held locks take of this process: the watchdog has one goroutine
// for all.
func BenchmarkHeldLeases(b *testing.B) {
	srv := single(b)
	l := ours(b, srv.Client(b, steady))
	for range b.N {
		before, goroutinesBefore := heap(), runtime.NumGoroutine()
		leases := make([]*lock.Lease, held)
		for i := range leases {
			var err error
			leases[i], err = l.TryLock(b.Context(), fmt.Sprint(i))
			require.NoError(b, err)
		}
		b.ReportMetric(float64(heap()-before)/held, "B/lease")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutinesBefore), "goroutines")
		for _, le := range leases {
			require.NoError(b, le.Release(b.Context()))
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
