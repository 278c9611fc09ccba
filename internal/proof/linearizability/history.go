package linearizability

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/reprise-go/reprise/store"
)

// history is what happened to one record.
type history struct {
	id store.ID

	mu         sync.Mutex
	answered   []porcupine.Operation
	unanswered []sent
	inARow     int // unanswered since the last answer
	replays    int
}

// sent is an event without an answer.
type sent struct {
	Input
	client int
	call   int64
}

// clock orders calls and returns in real time, and knows the largest server
// time that was heard of.
type clock struct {
	began time.Time
	heard atomic.Int64
}

func (c *clock) now() int64 { return int64(time.Since(c.began)) }

func (c *clock) floor() store.Instant { return store.Instant(c.heard.Load()) }

func (c *clock) hear(now store.Instant) {
	for {
		old := c.heard.Load()
		if int64(now) <= old || c.heard.CompareAndSwap(old, int64(now)) {
			return
		}
	}
}

// answer notes an operation that began at call and has just been answered.
func (h *history) answer(clock *clock, client int, call int64, in Input, out Output) {
	end := clock.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inARow = 0
	if out.Reply.Verdict == store.Recorded {
		h.replays++
	}
	h.answered = append(h.answered, porcupine.Operation{
		ClientId: client, Input: in, Call: call, Output: out, Return: end,
	})
}

// silence notes an event whose call ended in an error.
func (h *history) silence(client int, call int64, in Input) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inARow++
	h.unanswered = append(h.unanswered, sent{in, client, call})
}

const (
	// maxReplays is when a completed record has nothing more to tell.
	maxReplays = 6
	// maxUnanswered bounds the operations in a row that may have happened at any
	// time: what the record can be doubles with each, until an answer tells.
	maxUnanswered = 5
	// maxUnansweredInAll bounds them in all, because some are never told about.
	maxUnansweredInAll = 8
)

// full reports whether the record has had its share. Calls under way are not
// yet in the history: it leaves room for them.
func (h *history) full() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.size() >= PerRecord-Clients || h.replays >= maxReplays || h.inARow >= maxUnanswered ||
		len(h.unanswered) >= maxUnansweredInAll
}

func (h *history) size() int { return len(h.answered) + len(h.unanswered) }

// bound notes what the answers say about the order of the operations.
func (h *history) bound() {
	for i := range h.answered {
		op := &h.answered[i]
		in, now := op.Input.(Input), serverTime(*op) //nolint:forcetypeassert // by construction
		in.Ceiling = never
		for _, other := range h.answered {
			switch at := serverTime(other); {
			case at == 0: // another look
			case in.Event == nil && other.Call >= op.Return:
				in.Ceiling = min(in.Ceiling, at)
			case at < now:
				in.Earlier++
			}
		}
		op.Input = in
	}
}

// serverTime returns when an answered event was executed; 0 for a look.
func serverTime(op porcupine.Operation) store.Instant {
	return op.Output.(Output).Reply.Now //nolint:forcetypeassert // by construction
}

// check judges the history. Nil means that it is in order.
func (h *history) check(limit time.Duration) *Finding {
	h.bound()
	if len(h.unanswered) > maxPending {
		return &Finding{Result: porcupine.Unknown, Text: "too many unanswered events"}
	}
	m := newModel(h.answered, h.unanswered)
	result := porcupine.CheckOperationsTimeout(m.porcupine(), h.answered, limit)
	if result == porcupine.Ok {
		return nil
	}
	_, info := porcupine.CheckOperationsVerbose(m.porcupine(), h.answered, limit)
	return &Finding{Result: result, Text: h.text(), model: m.porcupine(), info: info}
}

// text shows the operations in the order of their calls, in microseconds.
func (h *history) text() string {
	lines := make(lines, 0, h.size())
	for _, op := range h.answered {
		lines.add(op.Call, "%10d … %10d  client %d  %s", op.Call/1000, op.Return/1000, op.ClientId,
			describe(op.Input.(Input), op.Output.(Output))) //nolint:forcetypeassert // by construction
	}
	for _, s := range h.unanswered {
		lines.add(s.call, "%10d …             client %d  %s %.4s → ?", s.call/1000, s.client, s.Event.Name(), owner(s.Event))
	}
	return lines.String()
}
