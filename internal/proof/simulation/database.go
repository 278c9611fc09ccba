package simulation

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/store"
)

// database is the store that all processes share: a map, a clock that may jump,
// and the protocol; or another store, of which only the outside is seen.
type database struct {
	world   *world
	other   store.Store // nil for the map
	records map[store.ID]store.Record
	ahead   time.Duration // of the true time
	watches []*watch
	watched uint64 // how many there were
}

func newDatabase(w *world, open func() store.Store) *database {
	d := &database{world: w, records: make(map[store.ID]store.Record)}
	if open != nil {
		d.other = open()
	}
	return d
}

func (d *database) now() store.Instant {
	return store.Instant(time.Now().Add(d.ahead).UnixMicro())
}

// execute executes one event at once.
func (d *database) execute(p *process, id store.ID, event store.Event) store.Reply {
	if d.other != nil {
		return d.executeOther(p, id, event)
	}
	w := d.world
	w.mu.Lock()
	defer w.mu.Unlock()
	now := d.now()
	before := d.records[id].Live(now)
	after, reply := store.Step(d.records[id], event, now)
	d.records[id] = after
	if before.Waiters && !after.Waiters {
		d.tell(id)
	}
	w.judge.executed(p, id, event, reply)
	w.judge.changed(id, event, before, after)
	return reply
}

// executeOther is not under the world's lock: the other store may take time.
func (d *database) executeOther(p *process, id store.ID, event store.Event) store.Reply {
	reply, err := d.other.Apply(context.Background(), id, event)
	if err != nil {
		panic(err) // the event is valid, and the store has no reason
	}
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	if _, claims := sender(event); !claims {
		d.tell(id) // a signal too many does no harm
	}
	d.world.judge.executed(p, id, event, reply)
	return reply
}

func (d *database) lookup(id store.ID) store.Record {
	if d.other != nil {
		rec, _ := d.other.Lookup(context.Background(), id)
		return rec
	}
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	return d.records[id].Live(d.now())
}

// jump moves the clock, ahead or back, by parts of a lease or by much more.
func (d *database) jump(rng dice) {
	w := d.world
	w.mu.Lock()
	defer w.mu.Unlock()
	by := time.Duration(rng.Int64N(int64(2 * w.plan.lease)))
	if rng.IntN(2) == 0 {
		by = time.Duration(rng.Int64N(int64(time.Hour)))
	}
	kind := ClockForward
	if rng.IntN(2) == 0 {
		kind, by = ClockBack, -by
	}
	w.tally[kind]++
	d.ahead += by
	if other, ok := d.other.(interface{ Shift(by time.Duration) }); ok {
		other.Shift(by)
	}
	w.trace.add(entry{key: -1, what: kind.String(), verdict: by.String()})
}

// forget loses the records of all keys, as a flush would.
func (d *database) forget(dice) {
	w := d.world
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(d.records)
	if other, ok := d.other.(interface{ Forget(id store.ID) }); ok {
		for _, id := range w.ids {
			other.Forget(id)
		}
	}
	w.tally[Forgotten]++
	w.judge.forgot()
	w.trace.add(entry{key: -1, what: Forgotten.String()})
}
