package chaos

import (
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/paytest"
)

// run is a run on its way.
type run struct {
	t       testing.TB
	cfg     Config
	began   time.Time
	redis   memory
	servers []*server
	client  *http.Client
	faulty  sync.WaitGroup // who cause troubles

	begun atomic.Int64 // keys

	mu      sync.Mutex
	history History
	present *generation
	counts  map[Fault]int
}

// Run does what the configuration says and judges it. It returns when all that
// it started has ended, but for processes and connections, which end with t. The
// end of t's context ends it early. An error of the configuration fails t, as
// does a machine on which servers do not start; a violation does not.
func Run(t testing.TB, program *paytest.Binary, cfg Config) *Report {
	t.Helper()
	if err := cfg.complete(); err != nil {
		t.Fatalf("chaos: %v", err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: busy}
	t.Cleanup(transport.CloseIdleConnections)
	r := &run{
		t:       t,
		cfg:     cfg,
		redis:   newMemory(t, &cfg),
		client:  &http.Client{Transport: transport},
		counts:  make(map[Fault]int),
		history: History{Waits: cfg.Wait > 0},
		present: newGeneration(0),
	}
	ledger := filepath.Join(t.TempDir(), "ledger.jsonl")
	r.servers = newServers(t, program, cfg, r.redis, ledger)
	r.began = time.Now()
	r.disturb()
	r.audit(r.history.Stories[r.present.first:])
	r.collect(ledger)
	return newReport(&r.history, r.cfg, r.counts, r.since())
}

// disturb has load and faults at the same time, until the faults are over.
func (r *run) disturb() {
	over := make(chan struct{})
	var loading sync.WaitGroup
	loading.Go(func() { r.load(over) })
	r.troubles()
	close(over)
	loading.Wait()
	r.present.end()
}

// collect gathers what clients could not see.
func (r *run) collect(ledger string) {
	r.history.Effects = paytest.Entries(r.t, ledger)
	r.history.Logs = make(map[int]string)
	for _, s := range r.servers {
		s.noteEnd()
		s.logs(r.history.Logs)
		r.history.Ended = append(r.history.Ended, s.lone...)
	}
	r.history.Leaks = r.redis.holding(keyCanary)
}

func (r *run) since() time.Duration { return time.Since(r.began) }

func (r *run) count(f Fault, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[f] += n
}

// sleep reports whether the time passed before the end of the run's context.
func (r *run) sleep(d time.Duration) bool { return r.sleepUntil(r.since()+d, nil) }

// sleepUntil waits for a moment of the run. It reports whether that came before
// the end, which over or the run's context is.
func (r *run) sleepUntil(at time.Duration, over <-chan struct{}) bool {
	timer := time.NewTimer(at - r.since())
	defer timer.Stop()
	select {
	case <-over:
		return false
	case <-r.t.Context().Done():
		return false
	default:
	}
	select {
	case <-timer.C:
		return true
	case <-over:
		return false
	case <-r.t.Context().Done():
		return false
	}
}
