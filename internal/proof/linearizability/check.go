package linearizability

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Finding is a history that is not in order, or could not be judged in time.
type Finding struct {
	Result porcupine.CheckResult
	// Text shows the operations in the order of their calls.
	Text string

	model porcupine.Model
	info  porcupine.LinearizationInfo
}

// Visualize writes an interactive page about the finding.
func (f *Finding) Visualize(path string) error {
	return porcupine.VisualizePath(f.model, f.info, path)
}

// enough findings tell what is wrong.
const enough = 3

// Check judges all histories, several at once, and gives each record so long.
// It returns the first few findings.
func (h *Histories) Check(workers int, each time.Duration) []*Finding {
	queue := make(chan judged)
	var mu sync.Mutex
	var findings []*Finding
	found := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(findings)
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for rec := range queue {
				if f := rec.check(each); f != nil {
					mu.Lock()
					findings = append(findings, f)
					mu.Unlock()
				}
			}
		})
	}
	for _, rec := range h.records {
		if found() >= enough {
			break
		}
		queue <- rec
	}
	close(queue)
	all.Wait()
	return findings
}

// lines are those of a text, to be sorted by the time of a call.
type lines []line

type line struct {
	call int64
	text string
}

func (l *lines) add(call int64, format string, args ...any) {
	*l = append(*l, line{call, fmt.Sprintf(format, args...)})
}

// String returns the lines in their order.
func (l *lines) String() string {
	slices.SortStableFunc(*l, func(a, b line) int { return cmp.Compare(a.call, b.call) })
	var b strings.Builder
	for _, line := range *l {
		b.WriteString(line.text + "\n")
	}
	return b.String()
}
