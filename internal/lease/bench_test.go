package lease_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/lease"
)

// item is as large as what a store needs to renew a lease.
type item [64]byte

// A handler that finishes within a third of its lease costs this and no more.
func BenchmarkWatchEnd(b *testing.B) {
	for _, bb := range []struct {
		name    string
		watched int
	}{{"alone", 0}, {"among 10000", many}} {
		b.Run(bb.name, func(b *testing.B) {
			dog := newBenchDog(b, new(atomic.Int64))
			for range bb.watched {
				dog.Watch(item{}, lease.Spec{Lease: time.Hour, Since: time.Now()})
			}
			b.ReportAllocs()
			for b.Loop() {
				dog.Watch(item{}, lease.Spec{Lease: length, Since: time.Now()}).End()
			}
		})
	}
}

func BenchmarkWatchEndParallel(b *testing.B) {
	dog := newBenchDog(b, new(atomic.Int64))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			dog.Watch(item{}, lease.Spec{Lease: length, Since: time.Now()}).End()
		}
	})
}

func BenchmarkHeld(b *testing.B) {
	l := newBenchDog(b, new(atomic.Int64)).Watch(item{}, lease.Spec{Lease: time.Hour, Since: time.Now()})
	for b.Loop() {
		_ = l.Held()
	}
}

// One iteration watches 10,000 leases that are due at once, waits until all of
// them are renewed, and ends them.
func BenchmarkRenew10000(b *testing.B) {
	var renewed atomic.Int64
	dog := newBenchDog(b, &renewed)
	leases := make([]*lease.Lease[item], many)
	b.ReportAllocs()
	for b.Loop() {
		renewed.Store(0)
		since := time.Now().Add(-length / 2)
		for i := range leases {
			leases[i] = dog.Watch(item{}, lease.Spec{Lease: length, Since: since})
		}
		for renewed.Load() < many {
			time.Sleep(100 * time.Microsecond)
		}
		for _, l := range leases {
			l.End()
		}
	}
}

func newBenchDog(b *testing.B, renewed *atomic.Int64) *lease.Watchdog[item] {
	b.Helper()
	dog, err := lease.New(lease.Config[item]{
		Renew: func(_ context.Context, items []item) []lease.Result {
			renewed.Add(int64(len(items)))
			return make([]lease.Result, len(items))
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := dog.Close(); err != nil {
			b.Error(err)
		}
	})
	return dog
}
