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
	operations []porcupine.Operation
	unanswered int
	inARow     int // unanswered since the last answer
	replays    int
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

// add notes an operation that began at call and has just ended.
func (h *history) add(clock *clock, client int, call int64, in Input, out Output) {
	end := clock.now()
	if !out.Known {
		if in.Event == nil {
			return // a look that saw nothing
		}
		end = int64(time.Hour) // it may still be executed
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !out.Known {
		h.unanswered++
		h.inARow++
	} else {
		h.inARow = 0
	}
	h.operations = append(h.operations, porcupine.Operation{
		ClientId: client, Input: in, Call: call, Output: out, Return: end,
	})
}

const (
	// maxReplays is when a completed record has nothing more to tell.
	maxReplays = 6
	// maxUnanswered bounds the operations in a row that may have happened at any
	// time: what the record can be doubles with each, until an answer tells.
	maxUnanswered = 5
)

func (h *history) hear(v store.Verdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v == store.Recorded {
		h.replays++
	}
}

// full reports whether the record has had its share. Calls under way are not
// yet in the history: it leaves room for them.
func (h *history) full() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.operations) >= PerRecord-Clients ||
		h.replays >= maxReplays || h.inARow >= maxUnanswered
}
