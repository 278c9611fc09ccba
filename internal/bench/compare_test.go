package bench_test

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// way is one of several ways to do the same thing. start returns what one of the
// callers does again and again; each has its own, so that nothing is shared that
// the way itself does not share.
type way struct {
	name  string
	start func(caller int) func() error
}

// each is a way whose callers need nothing of their own.
func each(name string, do func() error) way {
	return way{name, func(int) func() error { return do }}
}

// compare has all ways take turns. The first is ours; the others are what it is
// compared with.
func compare(b *testing.B, callers int, ways ...way) {
	b.Helper()
	took, busy := make([][]float64, len(ways)), make([][]float64, len(ways))
	for _, w := range ways {
		round(b, callers, w) // opens connections, and lets the server see the scripts
	}
	for n := range *rounds {
		for i := range ways {
			i = (i + n) % len(ways)
			wall, cpu := round(b, callers, ways[i])
			took[i], busy[i] = append(took[i], wall), append(busy[i], cpu)
		}
	}
	r := row{name: strings.TrimPrefix(b.Name(), "Benchmark")}
	for i, w := range ways {
		report(b, w.name, median(took[i]), median(busy[i]))
		if i > 0 {
			r.ratios = append(r.ratios, ratio{w.name, median(quotients(took[i], took[0])), median(quotients(busy[i], busy[0]))})
		}
	}
	results.add(r)
}

// round lets the callers do it for one turn, and returns how many nanoseconds one
// time took, by the clock and of this process's processors.
func round(b *testing.B, callers int, w way) (wall, cpu float64) {
	b.Helper()
	var all sync.WaitGroup
	var done atomic.Int64
	doers := make([]func() error, callers)
	for c := range callers {
		doers[c] = w.start(c)
	}
	began, used := time.Now(), ownCPU(b)
	end := began.Add(*turn)
	for _, do := range doers {
		all.Go(func() {
			n := int64(0)
			for ; n == 0 || time.Now().Before(end); n++ {
				if err := do(); err != nil {
					b.Errorf("%s: %v", w.name, err)
					return
				}
			}
			done.Add(n)
		})
	}
	all.Wait()
	times := float64(max(done.Load(), 1))
	return float64(time.Since(began).Nanoseconds()) / times, (ownCPU(b) - used) * 1e9 / times
}

// report prints a figure as a benchmark of its own.
func report(b *testing.B, name string, wall, cpu float64) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		b.ReportMetric(wall, "ns/op")
		b.ReportMetric(cpu, "cpu-ns/op")
	})
}

func quotients(a, b []float64) []float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / b[i]
	}
	return all
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
