package linearizability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/store"
)

// LockWorkload calls backends about a few locks, from [Clients] clients at once.
type LockWorkload struct {
	Workload
	// Clock reads the clock that the backend goes by, in µs since 1970.
	Clock func() store.Instant
	// Look, if there is one, reads a lock's record as it is. An error tells
	// nothing.
	Look func(ctx context.Context, id lock.ID) (LockRecord, error)
}

// Run makes the calls, the clients being spread over several ways to the same
// locks. An error is one that no fault of a line explains.
func (w LockWorkload) Run(ctx context.Context, ways ...lock.Backend) (*Histories, error) {
	run := &lockRun{LockWorkload: w, clock: &clock{began: time.Now()}}
	for range recordsAtOnce {
		run.open = append(run.open, run.fresh())
	}
	var clients sync.WaitGroup
	errs := make([]error, Clients)
	for i := range Clients {
		c := &lockClient{
			lockRun: run, backend: ways[i%len(ways)], number: i, rng: rand.New(rand.NewPCG(w.Seed, uint64(i))),
			holding: make(map[*lockHistory]*lockHolding),
		}
		clients.Go(func() { errs[i] = c.loop(ctx) })
	}
	clients.Wait()
	return run.histories(), errors.Join(errs...)
}

// lockRun is a workload under way.
type lockRun struct {
	LockWorkload
	clock *clock

	mu    sync.Mutex
	sent  int
	open  []*lockHistory
	all   []*lockHistory
	drawn int
}

// fresh begins a history. The caller holds mu, or is alone.
func (r *lockRun) fresh() *lockHistory {
	r.drawn++
	h := &lockHistory{id: lock.NewID(fmt.Sprintf("%d/%d", r.Seed, r.drawn))}
	r.all = append(r.all, h)
	return h
}

// next returns the lock for the next call, or nil when it is enough.
func (r *lockRun) next(pick int) *lockHistory {
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
func (r *lockRun) unsent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent--
}

func (r *lockRun) histories() *Histories {
	h := &Histories{verdicts: make(map[string]int)}
	for _, rec := range r.all {
		h.add(rec, rec.size(), len(rec.unanswered))
		for _, op := range rec.answered {
			call, answer := op.Input.(lockCall), op.Output.(lockAnswer) //nolint:forcetypeassert // by construction
			h.verdicts[call.verb.String()+": "+answer.word(call.verb)]++
		}
	}
	return h
}
