package linearizability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Limits beyond which porcupine gets slow.
const (
	Clients       = 8
	PerRecord     = 80
	recordsAtOnce = 4
)

// Workload sends events to records of a store, from [Clients] clients at once.
type Workload struct {
	// Operations is how many are sent.
	Operations int
	// Lease is how long claims last. Some lapse.
	Lease time.Duration
	// Timeout bounds each call.
	Timeout time.Duration
	// Seed draws what is sent. The order in which it meets is the machine's.
	Seed uint64
	// Gate, if there is one, is taken and given back before each call: whoever
	// holds it holds the clients up.
	Gate sync.Locker
	// Sent, if there is one, counts the calls.
	Sent *atomic.Int64
}

// begin is called before each call.
func (w Workload) begin() {
	if w.Sent != nil {
		w.Sent.Add(1)
	}
	if w.Gate != nil {
		w.Gate.Lock()
		w.Gate.Unlock() //nolint:staticcheck // to pass is all
	}
}

// Histories are what a workload saw.
type Histories struct {
	records    []judged
	operations int
	unanswered int
	verdicts   map[string]int
}

// judged is the history of one record.
type judged interface {
	check(limit time.Duration) *Finding
}

func (h *Histories) add(rec judged, operations, unanswered int) {
	h.records = append(h.records, rec)
	h.operations += operations
	h.unanswered += unanswered
}

// Operations returns how many were recorded, and Unanswered how many of them
// ended in an error.
func (h *Histories) Operations() int { return h.operations }

// Unanswered returns how many operations ended in an error.
func (h *Histories) Unanswered() int { return h.unanswered }

// Records returns how many records there were.
func (h *Histories) Records() int { return len(h.records) }

// Verdicts returns how often each event got each verdict, as "claim: claimed".
func (h *Histories) Verdicts() map[string]int { return h.verdicts }

// Run sends the events, the clients being spread over several ways to the same
// records. An error is one that no fault of a line explains.
func (w Workload) Run(ctx context.Context, ways ...store.Store) (*Histories, error) {
	run := &workloadRun{Workload: w, clock: &clock{began: time.Now()}}
	for range recordsAtOnce {
		run.open = append(run.open, run.fresh())
	}
	var clients sync.WaitGroup
	errs := make([]error, Clients)
	for i := range Clients {
		rng := rand.New(rand.NewPCG(w.Seed, uint64(i)))
		c := &client{
			workloadRun: run, store: ways[i%len(ways)], number: i, rng: rng,
			holding: make(map[*history]*holding),
		}
		clients.Go(func() { errs[i] = c.loop(ctx) })
	}
	clients.Wait()
	return run.histories(), errors.Join(errs...)
}

// workloadRun is a workload under way.
type workloadRun struct {
	Workload
	clock *clock

	mu    sync.Mutex
	sent  int
	open  []*history
	all   []*history
	drawn int
}

// fresh begins a history. The caller holds mu, or is alone.
func (r *workloadRun) fresh() *history {
	r.drawn++
	h := &history{id: store.NewID("proof", "proof", fmt.Sprintf("%d/%d", r.Seed, r.drawn))}
	r.all = append(r.all, h)
	return h
}

// next returns the record for the next operation, or nil when it is enough. A
// record that has had its share makes room for another.
func (r *workloadRun) next(pick int) *history {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sent >= r.Operations {
		return nil
	}
	r.sent++
	i := pick % len(r.open)
	if r.open[i].full() {
		r.open[i] = r.fresh()
	}
	return r.open[i]
}

// unsent gives back what was counted for a call that surely was not executed.
func (r *workloadRun) unsent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent--
}

func (r *workloadRun) histories() *Histories {
	h := &Histories{verdicts: make(map[string]int)}
	for _, rec := range r.all {
		h.add(rec, rec.size(), len(rec.unanswered))
		for _, op := range rec.answered {
			h.verdicts[verdict(op.Input.(Input), op.Output.(Output))]++ //nolint:forcetypeassert // by construction
		}
	}
	return h
}

func verdict(in Input, out Output) string {
	if in.Event == nil {
		return "look: " + out.Record.State.String()
	}
	return in.Event.Name() + ": " + out.Reply.Verdict.String()
}
