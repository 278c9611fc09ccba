package bench_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/redistest"
)

// many is how many of a kind are there when its memory is measured.
const many = 10_000

// BenchmarkMemoryOfProcess: what one more of each takes in this process, in bytes:
// an execution under way, with its lease and without what its goroutine takes behind
// a middleware that does nothing; a request that waits for another, in the same way;
// and a record of 1 KiB in memstore.
func BenchmarkMemoryOfProcess(b *testing.B) {
	bare := perCall(b, func(handler http.Handler) http.Handler { return passing(handler) }, ownKey)
	running := perCall(b, protecting(b, idempotency.Policy{}), ownKey) - bare
	waiting := perCall(b, protecting(b, idempotency.Policy{Wait: time.Minute, MaxWaiters: 2 * many}),
		func(int) string { return oneKey() }) - bare
	st := memory(b)
	handler := service(b, st, 1<<10, idempotency.Policy{})
	before := taken()
	for range many {
		require.NoError(b, newPoster(handler).post(freshKey(), executed))
	}
	record := float64(taken()-before) / many
	runtime.KeepAlive(st)
	b.ReportMetric(running, "B/execution")
	b.ReportMetric(waiting, "B/waiting")
	b.ReportMetric(record, "B/memstore-record")
	results.add(row{"MemoryOfProcess", []ratio{
		{over: "B an execution", times: running}, {over: "B a request that waits", times: waiting},
		{over: "B a record of 1 KiB in memstore", times: record},
	}})
}

// protecting returns a middleware on a Redis, which is where services have waiters
// and leases.
func protecting(b *testing.B, policy idempotency.Policy) func(http.Handler) http.Handler {
	b.Helper()
	guard, err := idempotency.New(openStore(b, redistest.Start(b).Client(b, roomy)), idempotency.WithStoreTimeout(slowest))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(b, err)
	protect, err := mw.Protect("growth", policy)
	require.NoError(b, err)
	return protect
}

// perCall returns what one of many calls takes, in bytes, while all are under way. A
// first time with other keys opens the connections, whose buffers are not theirs.
func perCall(b *testing.B, protect func(http.Handler) http.Handler, key func(caller int) string) float64 {
	b.Helper()
	hold := make(chan struct{})
	handler := protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-hold
		w.WriteHeader(http.StatusCreated)
	}))
	var each float64
	for _, name := range []string{"warm-", "hot-"} {
		hold = make(chan struct{})
		posters := make([]*poster, many)
		for i := range posters {
			posters[i] = newPoster(handler)
		}
		before := taken()
		var all sync.WaitGroup
		for i, p := range posters {
			all.Go(func() { _ = p.post(name+key(i), executed) })
		}
		quiet(b)
		each = float64(taken()-before) / many
		close(hold)
		all.Wait()
		runtime.KeepAlive(posters)
	}
	return each
}

// quiet returns when this process has nothing to do any more.
func quiet(b *testing.B) {
	b.Helper()
	const look = 100 * time.Millisecond
	for idle := 0; idle < 5; idle++ {
		before := ownCPU(b)
		time.Sleep(look)
		if ownCPU(b)-before > look.Seconds()/20 {
			idle = 0
		}
	}
}

// taken returns the bytes that heap and stacks take after a collection.
func taken() int64 {
	for range 2 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// million is how many records there are when their number is what is looked at, and
// few how many there are beside.
const (
	million = 1_000_000
	few     = 1_000
)

// BenchmarkMillion: replays and first executions beside a million records, and beside
// a thousand; and the bytes of each record, with Redis' index of what expires.
func BenchmarkMillion(b *testing.B) {
	b.Run("redis", func(b *testing.B) {
		rdb := redistest.Start(b).Client(b, roomy)
		quiet := redistest.Start(b).Client(b, roomy)
		before := usedMemory(b, rdb)
		crowded := onRedis(b, rdb, 128, "plain").handler
		fill(b, crowded, million)
		each := (usedMemory(b, rdb) - before) / million
		b.ReportMetric(each, "B/record")
		results.add(row{"Million/redis", []ratio{{over: "B a record of 128 B", times: each}}})
		beside(b, 64, crowded, onRedis(b, quiet, 128, "plain").handler)
	})
	b.Run("memory", func(b *testing.B) {
		before := taken()
		crowded := service(b, memory(b), 128, idempotency.Policy{})
		fill(b, crowded, million)
		each := float64(taken()-before) / million
		b.ReportMetric(each, "B/record")
		results.add(row{"Million/memory", []ratio{{over: "B a record of 128 B", times: each}}})
		beside(b, 1, crowded, service(b, memory(b), 128, idempotency.Policy{}))
	})
}

func beside(b *testing.B, callers int, crowded, quiet http.Handler) {
	b.Helper()
	fill(b, quiet, few)
	b.Run("replay", func(b *testing.B) {
		compare(b, callers, drawing("a million", crowded, million), drawing("a thousand", quiet, few))
	})
	b.Run("first", func(b *testing.B) {
		compare(b, callers, executing("a million", crowded), executing("a thousand", quiet))
	})
}

// fill executes under so many keys.
func fill(b *testing.B, handler http.Handler, n int) {
	b.Helper()
	const fillers = 64
	var all sync.WaitGroup
	for f := range fillers {
		all.Go(func() {
			p := newPoster(handler)
			for i := f; i < n; i += fillers {
				if err := p.post(ownKey(i), executed); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// drawing is a way: callers replay under any of the first n keys.
func drawing(name string, handler http.Handler, n int) way {
	return way{name, func(int) func() error {
		p := newPoster(handler)
		return func() error { return p.post(ownKey(rand.IntN(n)), replayed) }
	}}
}

func usedMemory(b *testing.B, rdb *redis.Client) float64 {
	b.Helper()
	info := rdb.InfoMap(b.Context(), "memory")
	require.NoError(b, info.Err())
	return number(b, info.Val()["Memory"]["used_memory"])
}
