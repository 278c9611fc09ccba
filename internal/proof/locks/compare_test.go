package locks_test

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// way is one of several ways to do the same thing.
type way struct {
	name string
	// round does it some times, and returns what one time took.
	round func(b *testing.B) time.Duration
}

// compare has all ways take turns, b.N rounds long, each round in another order, so
// that what else the machine does disturbs all alike. It reports the median of each,
// and how many times as fast as the others the first is, which is the median of the
// rounds' ratios.
func compare(b *testing.B, ways ...way) {
	b.Helper()
	for _, w := range ways {
		w.round(b) // opens connections, and lets the server see the scripts
	}
	took := make([][]float64, len(ways))
	for n := range b.N {
		for i := range ways {
			i = (i + n) % len(ways)
			took[i] = append(took[i], float64(ways[i].round(b).Nanoseconds())/1000)
		}
	}
	for i, w := range ways {
		b.ReportMetric(median(took[i]), w.name+"-µs")
		if i > 0 {
			b.ReportMetric(median(quotients(took[i], took[0])), "×"+w.name)
		}
	}
	b.ReportMetric(0, "ns/op")
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

// calls is how many calls a round has.
const calls = 2000

// crowd makes calls on a number of goroutines, with a key for each.
func crowd(b *testing.B, goroutines int, key func(goroutine, n int) string, call func(key string) error) time.Duration {
	b.Helper()
	var all sync.WaitGroup
	began := time.Now()
	for g := range goroutines {
		all.Go(func() {
			for n := range calls / goroutines {
				if err := call(key(g, n)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(began) / time.Duration(calls/goroutines*goroutines)
}

// cpu returns the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
