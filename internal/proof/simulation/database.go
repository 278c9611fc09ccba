package simulation

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

// database is the store that all processes share: a map, a clock that may jump,
// and the protocol.
type database struct {
	world   *world
	records map[store.ID]store.Record
	ahead   time.Duration // of the true time
}

func newDatabase(w *world) *database {
	return &database{world: w, records: make(map[store.ID]store.Record)}
}

func (d *database) now() store.Instant {
	return store.Instant(time.Now().Add(d.ahead).UnixMicro())
}

// execute executes one event at once.
func (d *database) execute(p *process, id store.ID, event store.Event) store.Reply {
	w := d.world
	w.mu.Lock()
	defer w.mu.Unlock()
	now := d.now()
	before := d.records[id].Live(now)
	after, reply := w.core.Step(d.records[id], event, now)
	d.records[id] = after
	w.judge.executed(p, id, event, before, after, reply)
	return reply
}

func (d *database) lookup(id store.ID) store.Record {
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	return d.records[id].Live(d.now())
}

// jump moves the clock, ahead or back, by parts of a lease or by much more.
func (d *database) jump() {
	w := d.world
	w.mu.Lock()
	defer w.mu.Unlock()
	by := time.Duration(w.rng.Int64N(int64(2 * w.plan.lease)))
	if w.rng.IntN(2) == 0 {
		by = time.Duration(w.rng.Int64N(int64(time.Hour)))
	}
	kind := ClockForward
	if w.rng.IntN(2) == 0 {
		kind, by = ClockBack, -by
	}
	w.tally[kind]++
	d.ahead += by
	w.trace.add(entry{key: -1, what: kind.String(), verdict: by.String()})
}

// forget loses the records of all keys, as a flush would.
func (d *database) forget() {
	w := d.world
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(d.records)
	w.tally[Forgotten]++
	w.judge.forgot()
	w.trace.add(entry{key: -1, what: Forgotten.String()})
}
