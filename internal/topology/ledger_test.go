package topology_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// ledger is what the handlers did to the world, and what their callers were told
// for good. It outlives every Redis.
type ledger struct {
	mu    sync.Mutex
	runs  map[string]int
	final map[string]string
	wrong []string

	inside map[string]int // handlers that have not returned
	beside []string       // keys of which two were inside at once
}

func newLedger() *ledger {
	return &ledger{runs: make(map[string]int), final: make(map[string]string), inside: make(map[string]int)}
}

// run is a handler's effect. It returns an answer that no other run gives. The
// handler leaves when it returns.
func (l *ledger) run(key string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inside[key]++; l.inside[key] > 1 {
		l.beside = append(l.beside, key)
	}
	l.runs[key]++
	return fmt.Sprintf("%s, run %d", key, l.runs[key])
}

func (l *ledger) leave(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside[key]--
}

// atOnce returns the keys of which two handlers ran at once.
func (l *ledger) atOnce() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.beside)
}

// told notes a final answer, and that it was another than the one before.
func (l *ledger) told(key, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, told := l.final[key]; told && before != answer {
		l.wrong = append(l.wrong, fmt.Sprintf("%q, and before %q", answer, before))
	}
	l.final[key] = answer
}

// twice returns the keys whose handlers ran more than once, and the final answers
// that differ from an earlier one.
func (l *ledger) twice() (keys, answers []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, n := range l.runs {
		if n > 1 {
			keys = append(keys, key)
		}
	}
	return keys, slices.Clone(l.wrong)
}

// ran reports whether a key's handler ran.
func (l *ledger) ran(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[key] > 0
}

// keys returns all keys whose handlers ran.
func (l *ledger) keys() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.runs))
}
