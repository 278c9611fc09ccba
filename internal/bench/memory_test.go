package bench_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

func memory(tb testing.TB) store.Store {
	tb.Helper()
	st, err := memstore.New(memstore.MaxRecords(10_000_000), memstore.MaxBytes(4<<30))
	require.NoError(tb, err)
	return st
}

// BenchmarkMemory: what the middleware itself costs.
func BenchmarkMemory(b *testing.B) {
	b.Run("replay", func(b *testing.B) {
		ours := service(b, memory(b), 1<<10, idempotency.Policy{})
		compare(b, 1, replaying(b, "ours", ours, ownKey), fiberReplaying(b, nil, 1<<10), unprotected("nothing", 1<<10))
	})
	b.Run("first", func(b *testing.B) {
		ours := service(b, memory(b), 1<<10, idempotency.Policy{})
		compare(b, 1, executing("ours", ours), fiberExecuting(b, nil, 1<<10), unprotected("nothing", 1<<10))
	})
	b.Run("off", func(b *testing.B) {
		off := &served{"ours", service(b, memory(b), 1<<10, idempotency.Policy{Key: idempotency.KeyOff})}
		compare(b, 1, off.passing(), unprotected("nothing", 1<<10))
	})
}

func (s *served) passing() way {
	return way{s.name, func(int) func() error {
		p := newPoster(s.handler)
		return func() error { return p.post("k", "ignored") }
	}}
}

// Allocations of the middleware on a store in memory, less what the same call costs
// behind a middleware that does nothing.
func BenchmarkAllocations(b *testing.B) {
	ours := service(b, memory(b), 1<<10, idempotency.Policy{})
	off := service(b, memory(b), 1<<10, idempotency.Policy{Key: idempotency.KeyOff})
	count := func(do func() error) float64 {
		return testing.AllocsPerRun(2000, func() { assert.NoError(b, do()) })
	}
	bare := unprotected("", 1<<10).start(0)
	net := func(do func() error) float64 { return count(do) - count(bare) }
	key := count(func() error { _ = freshKey(); return nil })
	for _, c := range []struct {
		name string
		n    float64
	}{
		{"replay", net(replaying(b, "", ours, ownKey).start(0))},
		{"first", net(executing("", ours).start(0)) - key},
		{"off", net((&served{"", off}).passing().start(0))},
	} {
		b.Run(c.name, func(b *testing.B) { b.ReportMetric(c.n, "net-allocs/op") })
		results.add(row{"Allocations/" + c.name, []ratio{{over: "allocations", times: c.n}}})
	}
}
