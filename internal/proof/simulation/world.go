package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// Core is what a world runs on, where that is not the engine as it is and a right
// store. The zero value is both.
type Core struct {
	// Open returns a new, empty store. Of such a store only the outside is judged:
	// what its clients and an observer on the wire can see. One that has the methods
	// Forget and Shift of [broken.Store] takes part in losses of records and jumps of
	// its clock. Nil means a map and [store.Step].
	Open func() store.Store
	// Policy changes each process's policy, if there is one.
	Policy func(policy idempotency.Policy) idempotency.Policy
}

// Outcome is what came of a seed.
type Outcome struct {
	Seed       uint64
	Violations []Violation
	// Hash is a digest of all that happened, with its times.
	Hash  uint64
	Tally Tally

	trace *trace
}

// Trace returns all that happened, one line each.
func (o *Outcome) Trace() string { return o.trace.String() }

// Run runs the world of a seed to its end. Call it in a testing/synctest
// bubble, and give each run a bubble of its own: it ends when all goroutines
// have.
func Run(seed uint64, core Core) Outcome {
	w := newWorld(seed, core)
	w.run()
	w.trace.sort()
	return Outcome{
		Seed:       seed,
		Violations: w.judge.violations,
		Hash:       w.trace.hash(),
		Tally:      w.tally,
		trace:      w.trace,
	}
}

const operation = "simulated"

// world is one seed's clients, processes and store.
type world struct {
	seed uint64
	core Core
	plan plan

	mu    sync.Mutex // guards what follows, and the judge and the database
	sent  map[sending]int
	tally Tally
	trace *trace
	judge *judge
	db    *database
	calm  bool // no more faults
	// packets is how many are still on their way.
	packets int

	processes []*process
	keys      []string
	ids       []store.ID

	clients sync.WaitGroup // client loops and what comes by itself
	calls   sync.WaitGroup // executions, those of dead processes included
	over    chan struct{}  // closed when the dead may be buried
}

func newWorld(seed uint64, core Core) *world {
	w := &world{
		seed:  seed,
		core:  core,
		plan:  draw(newDice(seed, planDice, 0)),
		sent:  make(map[sending]int, 64),
		trace: &trace{began: time.Now(), entries: make([]entry, 0, 128)},
		over:  make(chan struct{}),
	}
	for i := range w.plan.keys {
		w.keys = append(w.keys, fmt.Sprint("key ", i))
		w.ids = append(w.ids, store.NewID("scope", operation, w.keys[i]))
	}
	w.db = newDatabase(w, core.Open)
	w.judge = newJudge(w)
	return w
}

func (w *world) run() {
	for i := range w.plan.clients {
		rng := newDice(w.seed, clientDice, uint64(i))
		w.clients.Go(func() { w.client(rng) })
		time.Sleep(time.Nanosecond) // so that processes are numbered in this order
	}
	w.startEvents()
	w.clients.Wait()
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	w.awaitPackets()
	w.audit()
	close(w.over)
	w.calls.Wait()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, p := range w.processes {
		_ = p.guard.Shutdown(ended)
	}
	w.awaitPackets()
}

// client sends its requests one after the other. When its process dies it goes
// on in a new one, as a supervisor and a retrying caller would together.
func (w *world) client(rng dice) {
	p := w.spawn(w.plan.orphan)
	for range w.plan.calls {
		time.Sleep(rng.between(0, w.plan.lease*3/2))
		if w.plan.shutdown && !p.isDead() && rng.chance(0.15) {
			w.drain(rng, p)
			p = w.spawn(w.plan.orphan)
		}
		if p.isDead() {
			p = w.spawn(w.plan.orphan)
		}
		w.burst(rng, p, rng.IntN(len(w.keys)))
	}
}

// burst sends one request, or several for one key within the time that a handler
// may take.
func (w *world) burst(rng dice, p *process, key int) {
	var burst sync.WaitGroup
	for range w.plan.burst {
		after, s := time.Duration(0), w.drawScript(rng)
		if w.plan.burst > 1 {
			after = rng.between(0, w.plan.lease)
		}
		burst.Go(func() {
			time.Sleep(after)
			p.request(key, s)
		})
	}
	burst.Wait()
}

// spawn starts a process.
func (w *world) spawn(orphan idempotency.Orphan) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &process{world: w, number: len(w.processes) + 1, orphan: orphan, dead: make(chan struct{})}
	w.processes = append(w.processes, p)
	var err error
	p.guard, err = idempotency.New(p,
		idempotency.WithLogger(slog.New(slog.DiscardHandler)),
		idempotency.WithStoreTimeout(max(w.plan.storeTimeout, 10*time.Millisecond)),
		idempotency.WithTrace(idempotency.Trace{
			LeaseLost: func(idempotency.LeaseLost) { w.count(LeaseLost) },
			Finished:  p.waited,
		}),
	)
	if err != nil {
		panic(err) // the plan is wrong, not the engine
	}
	policy := w.plan.policy(orphan)
	if w.core.Policy != nil {
		policy = w.core.Policy(policy)
	}
	p.operation, err = p.guard.Operation(operation, policy)
	if err != nil {
		panic(err)
	}
	return p
}

// startEvents lets come what comes by itself: jumps of the clock, losses of
// records, an operator.
func (w *world) startEvents() {
	number := uint64(0)
	start := func(times int, event func(dice)) {
		for range times {
			number++
			rng := newDice(w.seed, eventDice, number)
			w.clients.Go(func() {
				time.Sleep(rng.between(0, w.plan.horizon))
				event(rng)
			})
		}
	}
	start(w.plan.clocks, w.db.jump)
	start(w.plan.forgets, w.db.forget)
	start(w.plan.settles, w.operate)
	if w.plan.shutdown {
		start(1, w.drainOne)
	}
}

// drainOne shuts down a process while it works.
func (w *world) drainOne(rng dice) {
	w.mu.Lock()
	p := w.processes[rng.IntN(len(w.processes))]
	w.mu.Unlock()
	if p.isDead() {
		return
	}
	w.drain(rng, p)
	time.Sleep(rng.between(0, 2*w.plan.lease)) // its callers do not know yet
	p.die()
}

func (w *world) drain(rng dice, p *process) {
	w.count(Drained)
	w.note(p, -1, "drain", "", "")
	ctx, cancel := context.WithTimeout(context.Background(), rng.between(0, 2*w.plan.lease))
	defer cancel()
	_ = p.guard.Shutdown(ctx)
}

// later executes a packet that is still on its way.
func (w *world) later(after time.Duration, execute func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.laterLocked(after, execute)
}

// laterLocked is later for callers who have locked the world.
func (w *world) laterLocked(after time.Duration, execute func()) {
	w.packets++
	go func() {
		time.Sleep(after)
		execute()
		w.mu.Lock()
		w.packets--
		w.mu.Unlock()
	}()
}

// awaitPackets returns when none is on its way. (A WaitGroup is not for groups
// that grow while somebody waits.)
func (w *world) awaitPackets() {
	for w.underWay() > 0 {
		time.Sleep(w.plan.lease)
	}
}

func (w *world) underWay() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.packets
}

func (w *world) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

func (w *world) count(k Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally[k]++
}

func (w *world) note(p *process, key int, what, verdict, note string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace.add(entry{process: p.number, key: key, what: what, verdict: verdict, note: note})
}
