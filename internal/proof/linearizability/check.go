package linearizability

import (
	"fmt"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Finding is a history that is not in order, or could not be judged in time.
type Finding struct {
	Result porcupine.CheckResult
	// Text shows the operations in the order of their calls.
	Text string
	info porcupine.LinearizationInfo
}

// Visualize writes an interactive page about the finding.
func (f *Finding) Visualize(path string) error {
	return porcupine.VisualizePath(Model(), f.info, path)
}

// Check judges all histories, several at once, and gives each record so long.
// It returns the first findings.
func (h *Histories) Check(workers int, each time.Duration) []*Finding {
	queue := make(chan *history)
	var mu sync.Mutex
	var findings []*Finding
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
		mu.Lock()
		enough := len(findings) >= 3
		mu.Unlock()
		if enough {
			break
		}
		queue <- rec
	}
	close(queue)
	all.Wait()
	return findings
}

func (h *history) check(each time.Duration) *Finding {
	result := porcupine.CheckOperationsTimeout(Model(), h.operations, each)
	if result == porcupine.Ok {
		return nil
	}
	result, info := porcupine.CheckOperationsVerbose(Model(), h.operations, each)
	return &Finding{Result: result, Text: h.text(), info: info}
}

func (h *history) text() string {
	text := ""
	for _, op := range h.operations {
		in, out := op.Input.(Input), op.Output.(Output) //nolint:forcetypeassert // by construction
		text += fmt.Sprintf("%10d … %10d  client %d  %s\n", op.Call/1000, op.Return/1000, op.ClientId, describe(in, out))
	}
	return text
}
