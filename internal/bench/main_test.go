package bench_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/redistest"
)

// shared is the server of all benchmarks that do not change its settings.
var shared redistest.Shared

var (
	rounds = flag.Int("rounds", 5, "how often all ways of a comparison take turns")
	turn   = flag.Duration("turn", 150*time.Millisecond, "how long each way is measured in a round")
)

func TestMain(m *testing.M) {
	code := shared.Main(m).Run()
	results.print()
	os.Exit(code)
}

// results are the rows of the table at the end.
var results table

type table struct{ rows []row }

// row is one comparison: what each baseline took, in times of what ours took.
type row struct {
	name   string
	ratios []ratio
}

type ratio struct {
	over  string
	times float64
	// cpu is the same of the processor time of this process; 0 if that was not
	// looked at. It is what is left to compare on a machine that is busy otherwise.
	cpu float64
}

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// print writes the table. A row that begins with # is no benchmark to benchstat.
func (t *table) print() {
	for _, r := range t.rows {
		fmt.Printf("# %-44s", r.name)
		for _, ratio := range r.ratios {
			fmt.Printf("  %6.2f", ratio.times)
			if ratio.cpu > 0 {
				fmt.Printf(" (cpu %.2f)", ratio.cpu)
			}
			fmt.Print(" × ", ratio.over)
		}
		fmt.Println()
	}
}
