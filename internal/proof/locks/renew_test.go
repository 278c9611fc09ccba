package locks_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	bsm "github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	redsyncgo "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

const held = 10_000

// One renewal of each of ten thousand held leases, in time and in processor time of
// this process: 79 scripts, against one goroutine and one EVALSHA each. Those of
// rueidislock come when it likes, and cannot be measured so.
func BenchmarkRenewals(b *testing.B) {
	srv := single(b)
	renew := []struct {
		name string
		all  func(b *testing.B)
	}{
		{"reprise", holdOurs(b, srv)},
		{"bsm", holdBsm(b, srv)},
		{"redsync", holdRedsync(b, srv)},
	}
	var wall, processor []way
	for _, lib := range renew {
		wall = append(wall, way{lib.name, func(b *testing.B) time.Duration {
			b.Helper()
			began := time.Now()
			lib.all(b)
			return time.Since(began) / held
		}})
		processor = append(processor, way{lib.name, func(b *testing.B) time.Duration {
			b.Helper()
			began := cpu(b)
			lib.all(b)
			return (cpu(b) - began) / held
		}})
	}
	b.Run("time", func(b *testing.B) { compare(b, wall...) })
	b.Run("processor", func(b *testing.B) { compare(b, processor...) })
}

func holdOurs(b *testing.B, srv *redistest.Server) (renew func(b *testing.B)) {
	b.Helper()
	backend, err := redislock.New(srv.Client(b, steady))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, backend.Close()) })
	renewals := make([]lock.Renewal, held)
	for i := range renewals {
		r := lock.Renewal{ID: lock.NewID(fmt.Sprint(i)), Owner: lock.NewOwner(), Lease: time.Minute}
		_, err := backend.Acquire(b.Context(), r.ID, lock.Claim{Owner: r.Owner, Lease: r.Lease})
		require.NoError(b, err)
		renewals[i] = r
	}
	return func(b *testing.B) {
		b.Helper()
		for _, r := range backend.Renew(b.Context(), renewals) {
			if r.Err != nil || r.Lost {
				b.Fatal(r)
			}
		}
	}
}

func holdBsm(b *testing.B, srv *redistest.Server) (renew func(b *testing.B)) {
	b.Helper()
	client := bsm.New(srv.Client(b, steady))
	locks := make([]*bsm.Lock, held)
	for i := range locks {
		var err error
		locks[i], err = client.Obtain(b.Context(), fmt.Sprint("bsm ", i), time.Minute, nil)
		require.NoError(b, err)
	}
	return func(b *testing.B) {
		b.Helper()
		each(locks, func(l *bsm.Lock) { check(b, l.Refresh(b.Context(), time.Minute, nil)) })
	}
}

func holdRedsync(b *testing.B, srv *redistest.Server) (renew func(b *testing.B)) {
	b.Helper()
	rs := redsync.New(redsyncgo.NewPool(srv.Client(b, steady)))
	locks := make([]*redsync.Mutex, held)
	for i := range locks {
		locks[i] = rs.NewMutex(fmt.Sprint("redsync ", i), redsync.WithExpiry(time.Minute))
		require.NoError(b, locks[i].TryLockContext(b.Context()))
	}
	return func(b *testing.B) {
		b.Helper()
		each(locks, func(l *redsync.Mutex) {
			_, err := l.ExtendContext(b.Context())
			check(b, err)
		})
	}
}

// each calls on a goroutine for each, as if each had a timer of its own.
func each[L any](locks []L, call func(L)) {
	var all sync.WaitGroup
	for _, l := range locks {
		all.Go(func() { call(l) })
	}
	all.Wait()
}

// What ten thousand held locks take of this process, heap and stacks. Ours has one
// goroutine for all leases; rueidislock has one for each; bsm and redsync leave
// renewing to the caller, who here has a goroutine with a timer for each.
func BenchmarkHeldLeases(b *testing.B) {
	srv := single(b)
	libs := []library{
		reprise(b, srv), rueidisLock(b, srv), attended(bsmLock(b, srv)), attended(redsyncLock(b, srv)),
	}
	for range b.N {
		var first float64
		for i, lib := range libs {
			bytes, goroutines := footprint(b, lib)
			b.ReportMetric(bytes, lib.name+"-B/lease")
			b.ReportMetric(goroutines, lib.name+"-goroutines/lease")
			if i == 0 {
				first = bytes
				continue
			}
			b.ReportMetric(bytes/first, "×"+lib.name)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// attended adds the goroutine that renews.
func attended(lib library) library {
	return library{lib.name, func(ctx context.Context, key string) (func(), error) {
		release, err := lib.acquire(ctx, key)
		if err != nil {
			return nil, err
		}
		done, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			timer := time.NewTicker(lease / 3)
			defer timer.Stop()
			select {
			case <-timer.C: // the others would renew now
			case <-done:
			}
			release()
		}()
		return func() {
			close(done)
			<-ended
		}, nil
	}}
}

// footprint holds the locks and returns what one of them takes.
func footprint(b *testing.B, lib library) (bytes, goroutines float64) {
	b.Helper()
	release, err := lib.acquire(b.Context(), "the first, which sets up connections")
	require.NoError(b, err)
	release()
	before, goroutinesBefore := memory(), runtime.NumGoroutine()
	releases := make([]func(), held)
	for i := range releases {
		releases[i], err = lib.acquire(b.Context(), fmt.Sprint(lib.name, " ", i))
		require.NoError(b, err)
	}
	bytes = float64(int64(memory())-int64(before)) / held
	goroutines = float64(runtime.NumGoroutine()-goroutinesBefore) / held
	for _, release := range releases {
		release()
	}
	return bytes, goroutines
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
