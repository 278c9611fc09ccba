package linearizability

import (
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
	queue := make(chan *history)
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
