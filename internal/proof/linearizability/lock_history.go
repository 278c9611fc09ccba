package linearizability

import (
	"fmt"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/reprise-go/reprise/lock"
)

// lockHistory is what happened to one lock.
type lockHistory struct {
	id lock.ID

	mu         sync.Mutex
	answered   []porcupine.Operation
	unanswered []lockSent
	inARow     int // unanswered since the last answer
}

// lockSent is a call without an answer.
type lockSent struct {
	lockCall
	client int
	call   int64
}

func (h *lockHistory) answer(client int, began, end int64, call lockCall, answer lockAnswer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inARow = 0
	h.answered = append(h.answered, porcupine.Operation{
		ClientId: client, Input: call, Call: began, Output: answer, Return: end,
	})
}

func (h *lockHistory) silence(client int, began int64, call lockCall) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inARow++
	call.when.most = never
	h.unanswered = append(h.unanswered, lockSent{call, client, began})
}

// full reports whether the lock has had its share. A call of a client may be
// about several locks at once.
func (h *lockHistory) full() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.size() >= PerRecord-Clients || h.inARow >= maxUnanswered || len(h.unanswered) >= maxUnansweredInAll
}

func (h *lockHistory) size() int { return len(h.answered) + len(h.unanswered) }

// check judges the history. Nil means that it is in order.
func (h *lockHistory) check(limit time.Duration) *Finding {
	if len(h.unanswered) > maxPending {
		return &Finding{Result: porcupine.Unknown, Text: "too many unanswered calls"}
	}
	m := newLockModel(h.unanswered).porcupine()
	result := porcupine.CheckOperationsTimeout(m, h.answered, limit)
	if result == porcupine.Ok {
		return nil
	}
	_, info := porcupine.CheckOperationsVerbose(m, h.answered, limit)
	return &Finding{Result: result, Text: h.text(), model: m, info: info}
}

// text shows the calls in their order, in microseconds.
func (h *lockHistory) text() string {
	lines := make(lines, 0, h.size())
	for _, op := range h.answered {
		lines.add(op.Call, "%10d … %10d  client %d  %s", op.Call/1000, op.Return/1000, op.ClientId,
			op.Input.(lockCall).describe(op.Output.(lockAnswer))) //nolint:forcetypeassert // by construction
	}
	for _, s := range h.unanswered {
		lines.add(s.call, "%10d …             client %d  %s", s.call/1000, s.client,
			fmt.Sprintf("%v %.4s → ?", s.verb, s.owner))
	}
	return lines.String()
}
