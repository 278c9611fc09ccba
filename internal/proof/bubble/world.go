package bubble

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2" //nolint:depguard // this package is for tests

	"github.com/reprise-go/reprise/internal/proof/simulation"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// Outcome is what came of a scenario.
type Outcome struct {
	Seed       uint64
	Violations []simulation.Violation
	Tally      Tally

	trace trace
}

// Trace returns all that happened, one line each.
func (o *Outcome) Trace() string { return o.trace.String() }

// Run runs the scenario of a seed to its end. Call it in a testing/synctest bubble,
// and give each run a bubble of its own, which ends when all goroutines have.
func Run(seed uint64, transport Transport, core Core) Outcome {
	w := newWorld(seed, transport, core)
	w.run()
	return Outcome{Seed: seed, Violations: w.judge.violations, Tally: w.tally, trace: w.trace}
}

// world is one scenario: clients, processes, and Redis.
type world struct {
	seed      uint64
	plan      plan
	core      Core
	transport Transport
	redis     *miniredis.Miniredis
	turn      chan struct{} // whose command Redis executes
	judge     *judge
	keys      []key
	logs      lockedBuffer

	mu        sync.Mutex // guards what follows
	tally     Tally
	trace     trace
	held      []*held       // replies that wait to be swapped
	last      map[int]*held // and the last that were not, by the number of their commands
	calls     []*call
	processes []*process
	calm      bool // no more faults

	slots []*slot
	links sync.WaitGroup // all that belongs to connections
	runs  sync.WaitGroup // handlers
	over  chan struct{}  // closed when the dead may be buried
}

// key is an operation that clients ask for. Its name must not be found in logs.
type key struct {
	scope, name string
	id          store.ID
	raw         string // the record's name in Redis
}

func newWorld(seed uint64, transport Transport, core Core) *world {
	w := &world{
		seed:      seed,
		plan:      draw(newDice(seed, "plan")),
		core:      core,
		transport: transport,
		redis:     miniredis.NewMiniRedis(),
		turn:      make(chan struct{}, 1),
		trace:     trace{began: time.Now()},
		over:      make(chan struct{}),
		last:      make(map[int]*held),
	}
	w.redis.ClockTTL(true)
	for i := range w.plan.keys {
		k := key{scope: fmt.Sprint("tenant-", i), name: "canary-of-all-tenants"}
		k.id = store.NewID(k.scope, transport.operation(), k.name)
		k.raw = redisstore.DefaultNamespace + ":{" + k.id.String() + "}"
		w.keys = append(w.keys, k)
	}
	w.judge = newJudge(w)
	return w
}

func (w *world) run() {
	for range w.plan.slots {
		w.slots = append(w.slots, &slot{world: w, process: w.spawn(w.plan.orphan)})
	}
	var clients sync.WaitGroup
	for i := range w.plan.clients {
		clients.Go(func() { w.client(i) })
	}
	w.startEvents(&clients)
	clients.Wait()
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	w.audit()
	w.end()
	w.judge.secrets(w.logs.bytes())
}

// end buries all processes and Redis.
func (w *world) end() {
	close(w.over)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, p := range w.processes {
		p.service.stop()
	}
	w.runs.Wait()
	for _, p := range w.processes {
		p.bury(ended)
	}
	w.links.Wait()
	w.redis.Close()
	time.Sleep(time.Minute) // for what the clients' pools still try: time stands still when a bubble's main goroutine has ended
}

// slot is where a process runs. One that died or was drained is replaced when
// somebody asks.
type slot struct {
	world   *world
	mu      sync.Mutex
	process *process
}

func (s *slot) get() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process.isDead() {
		s.process = s.world.spawn(s.world.plan.orphan)
	}
	return s.process
}

// client sends its requests one after the other, to any process.
func (w *world) client(number int) {
	rng := newDice(w.seed, "client", number)
	for n := range w.plan.calls {
		time.Sleep(w.pause(rng))
		p := w.slots[rng.IntN(len(w.slots))].get()
		c := w.newCall(rng.IntN(len(w.keys)), newDice(w.seed, "script", number, n))
		w.send(p, c)
	}
}

// pause is what a client waits between its requests: nothing much, or long enough
// for the handlers of others to lose their leases.
func (w *world) pause(rng dice) time.Duration {
	if rng.IntN(3) == 0 {
		return rng.between(0, 5*time.Millisecond)
	}
	return rng.between(0, 2*w.plan.lease)
}

// limit is how long any request may take. The longest handlers take 5.5 leases, and
// whoever waits 4; each of their steps may meet with a standstill of 3.
func (w *world) limit() time.Duration { return 40 * w.plan.lease }

// send sends a request, hears what comes of it and has it judged.
func (w *world) send(p *process, c *call) heard {
	ctx, cancel := context.WithTimeout(context.Background(), w.limit())
	defer cancel()
	if c.script.hangUp > 0 {
		timer := time.AfterFunc(c.script.hangUp, func() {
			w.count(CallerLeft)
			cancel()
		})
		defer timer.Stop()
	}
	w.note(p, "call %d for key %d, variant %d", c.number, c.key, c.variant)
	began := time.Now()
	h := p.service.ask(ctx, c)
	if time.Since(began) >= w.limit() {
		w.judge.violate(simulation.Progress, "call %d for key %d is not answered in %v", c.number, c.key, w.limit())
	}
	w.judge.answered(p, c, h)
	return h
}

// startEvents lets come what comes by itself.
func (w *world) startEvents(group *sync.WaitGroup) {
	events := make([]func(rng dice, p *process), 0, w.plan.partitions+w.plan.drains)
	for range w.plan.partitions {
		events = append(events, w.cutOff)
	}
	for range w.plan.drains {
		events = append(events, w.drain)
	}
	for i, event := range events {
		rng := newDice(w.seed, "event", i)
		group.Go(func() {
			time.Sleep(rng.between(0, w.plan.horizon))
			event(rng, w.slots[rng.IntN(len(w.slots))].get())
		})
	}
}

func (w *world) cutOff(rng dice, p *process) {
	kind := Partition
	if rng.IntN(2) == 0 {
		kind = OneWayPartition
	}
	p.partition(kind, rng.between(w.plan.lease/2, 4*w.plan.lease))
}

// drain shuts a process down in an orderly way, while its clients do not know.
func (w *world) drain(rng dice, p *process) {
	w.count(Drained)
	w.note(p, "drain")
	ctx, cancel := context.WithTimeout(context.Background(), rng.between(0, 2*w.plan.lease))
	defer cancel()
	_ = p.guard.Shutdown(ctx)
	time.Sleep(rng.between(0, w.plan.lease))
	p.die()
}

// records are the records of all keys as Redis has them now.
func (w *world) records() []record {
	records := make([]record, len(w.keys))
	for i, k := range w.keys {
		raw, _ := w.redis.Get(k.raw)
		records[i] = parseRecord(raw)
	}
	return records
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

func (w *world) note(p *process, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace.add(p.number, format, args...)
}

// lockedBuffer collects what several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Bytes()
}
