package bubble

import (
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/proof/simulation"
)

// audit asks for every key once the faults have stopped. By now no handler runs,
// and whatever a lease protected has lapsed: the answer is a recorded one, or that
// the outcome is unknown, and then a claim that may take over anything resolves it.
func (w *world) audit() {
	time.Sleep(10 * w.plan.lease)
	if w.gentle() {
		time.Sleep(patience)
	}
	asks, resolves := w.spawn(idempotency.OrphanRefuse), w.spawn(idempotency.OrphanRerun)
	for k := range w.keys {
		w.auditKey(asks, resolves, k)
	}
}

// patience is how long a given-up claim may take to be found and released: the
// pauses between the tries grow to some seconds.
const patience = 15 * time.Second

// gentle reports that nothing kept the processes from giving back what they did not
// use: all live, and no claim was executed after its owner had parted with it. Where
// claims take over, one that is given back leaves the record unknown, as it found it.
func (w *world) gentle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, harm := range []Kind{
		CrashBeforeSend, CrashAfterExecution, CrashInHandler, CrashAfterEffect, Drained, LateRequest, StallBeforeSend,
	} {
		if w.tally[harm] > 0 {
			return false
		}
	}
	return w.plan.orphan == idempotency.OrphanRefuse
}

func (w *world) auditKey(asks, resolves *process, k int) {
	c := w.honestCall(k)
	h := w.send(asks, c)
	if h.mark == "mismatch" {
		c.variant = 1
		h = w.send(asks, c)
	}
	if h.mark == "unknown" {
		w.judge.leftBehind(k)
		w.count(ResolvedInTheEnd)
		h = w.send(resolves, c)
	}
	if !h.final() {
		w.judge.violate(simulation.Progress, "key %d is not answerable in the end: %+v", k, h)
		return
	}
	w.count(AnsweredInTheEnd)
	if again := w.send(asks, c); again.body != h.body {
		w.judge.violate(simulation.OneAnswer, "key %d answers %q after %q", k, again.body, h.body)
	}
}
