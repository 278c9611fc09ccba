package simulation

import (
	"context"
	"errors"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// audit asks for every key once the faults have stopped. By now no handler
// runs, and whatever a lease protected has lapsed: the answer is a recorded one,
// or that the outcome is unknown, and then a claim that may take over anything
// resolves it.
func (w *world) audit() {
	time.Sleep(6 * w.plan.lease)
	w.awaitPackets()
	time.Sleep(2 * w.plan.lease)
	if w.unharmed() {
		time.Sleep(patience)
	}
	asks := w.spawn(idempotency.OrphanRefuse)
	resolves := w.spawn(idempotency.OrphanRerun)
	for key := range w.keys {
		w.auditKey(asks, resolves, key)
	}
}

// patience is how long a given-up claim may take to be found and released: the
// pauses between the tries grow to some seconds.
const patience = 15 * time.Second

// unharmed reports whether all processes live, so that each could give back what
// it did not use, and the store remembers in good order. Where claims take over,
// one that is given back leaves the record unknown, as it found it.
func (w *world) unharmed() bool {
	for _, p := range w.processes {
		if p.isDead() {
			return false
		}
	}
	return w.plan.orphan == idempotency.OrphanRefuse && !w.plan.shutdown && w.plan.clocks == 0 && w.plan.forgets == 0
}

func (w *world) auditKey(asks, resolves *process, key int) {
	result, err := w.ask(asks, key)
	if errors.Is(err, idempotency.ErrInProgress) {
		// A clock that went back: the first claim to see it rewrites the lease.
		time.Sleep(w.plan.lease + time.Millisecond)
		result, err = w.ask(asks, key)
	}
	if errors.Is(err, idempotency.ErrOutcomeUnknown) {
		w.judge.leftBehind(key)
		w.count(SettledByAlways)
		result, err = w.ask(resolves, key)
	}
	if err != nil || !result.Recorded {
		w.judge.violate(Progress, "key %d is not answerable in the end: %v, %+v", key, err, result)
		return
	}
	w.count(AnsweredInTheEnd)
	again, err := w.ask(asks, key)
	if err != nil || string(again.Answer.Body) != string(result.Answer.Body) {
		w.judge.violate(OneAnswer, "key %d answers %v %q after %q", key, err, again.Answer.Body, result.Answer.Body)
	}
}

// ask sends an honest request: one that has its effect where an attempt may
// start, and has none where the outcome of an earlier one is unknown.
func (w *world) ask(p *process, key int) (idempotency.Result, error) {
	req := w.judge.request(key)
	s := script{work: time.Millisecond, after: time.Millisecond, marks: true, dice: newDice(w.seed, scriptDice, uint64(key))}
	result, err := p.operation.Execute(context.Background(), w.call(key),
		func(ctx context.Context) idempotency.Answer {
			if info, _ := idempotency.FromContext(ctx); info.TookOver {
				s.ending = declines
			}
			r := &run{process: p, script: s, ctx: ctx}
			r.start = w.judge.begin(p, req, ctx)
			return r.handle()
		})
	w.judge.answered(p, req, result, err)
	return result, err
}

// operate is an operator who looks for unknown outcomes and settles them with
// an answer of his own. (To settle with "nothing happened" he would have to know
// that, and no judge could know whether he does.)
func (w *world) operate(dice) {
	for key, id := range w.ids {
		rec := w.db.lookup(id)
		if rec.State != store.Unknown && rec.State != store.Running {
			continue
		}
		reply := w.db.execute(&process{world: w}, id, store.Settle{
			Owner:     store.NewOwner(),
			Token:     rec.Token,
			Retention: 24 * time.Hour,
			Answer:    &store.Answer{Codec: "proof", Body: []byte{'o', byte('0' + key)}},
		})
		if reply.Verdict == store.Done {
			w.count(Settled)
		}
	}
}
