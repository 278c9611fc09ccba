package simulation

import (
	"context"
	"slices"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// watch is a process that listens for the ends of attempts on one record.
type watch struct {
	process *process
	id      store.ID
	signals chan struct{}
	dice    dice // of which its signals draw theirs
}

// Watch implements [store.Notifier]. It takes a while until signals are heard.
func (p *process) Watch(id store.ID) store.Watch {
	w := p.world
	w.mu.Lock()
	defer w.mu.Unlock()
	w.db.watched++
	h := &watch{process: p, id: id, signals: make(chan struct{}, 1), dice: newDice(w.seed, watchDice, w.db.watched)}
	rng := h.fresh()
	w.laterLocked(rng.moment(), func() {
		w.mu.Lock()
		w.db.watches = append(w.db.watches, h)
		w.mu.Unlock()
		h.signal(rng)
	})
	return h
}

// tell lets all who listen hear that an attempt ended: some of them late, some
// never, as with messages that are published to whoever is there. The world is
// locked.
func (d *database) tell(id store.ID) {
	w := d.world
	for _, h := range d.watches {
		if h.id != id || h.process.isDead() {
			continue
		}
		rng := h.fresh()
		after := rng.moment()
		if !w.calm && rng.chance(w.plan.intensity) {
			if rng.IntN(2) == 0 {
				w.tally[LostSignal]++
				continue
			}
			w.tally[LateSignal]++
			after = rng.between(0, 2*w.plan.lease)
		}
		w.laterLocked(after, func() { h.signal(rng) })
	}
}

// fresh returns dice for one signal, which is on its way by itself. The world is
// locked.
func (h *watch) fresh() dice {
	return newDice(h.process.world.seed, watchDice, h.dice.Uint64()>>8)
}

// signal is heard when the process does not stand still.
func (h *watch) signal(rng dice) {
	h.process.pass(rng)
	select {
	case h.signals <- struct{}{}:
	default:
	}
}

// Signals implements [store.Watch].
func (h *watch) Signals() <-chan struct{} { return h.signals }

// Close implements [store.Watch].
func (h *watch) Close() {
	w := h.process.world
	w.mu.Lock()
	defer w.mu.Unlock()
	w.db.watches = slices.DeleteFunc(w.db.watches, func(other *watch) bool { return other == h })
}

// waited counts what came of those who waited.
func (p *process) waited(ctx context.Context, f idempotency.Finished) {
	switch {
	case f.Waited == 0 || p.isDead():
	case f.Code != "" && ctx.Err() != nil:
		p.world.count(WaiterLeft)
	case f.Code != "":
		p.world.count(WaitedInVain)
	case f.Outcome == idempotency.Replayed:
		p.world.count(WaitedReplayed)
	case f.Outcome == idempotency.Executed:
		p.world.count(WaitedExecuted)
	}
}
