package bubble

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/proof/simulation"
)

// judge watches what Redis executes and what clients hear, keeps the ledger of
// effects, and notes every rule that is broken.
type judge struct {
	world *world

	mu         sync.Mutex
	violations []simulation.Violation
	starts     []*start
	ops        []ledger
	heard      map[string]bool // owners that were told of their claim
}

// ledger is what is known of one key's operation.
type ledger struct {
	starts  []*start
	effects int
	tokens  int64            // the largest ever granted
	granted map[int64]string // to whom
	final   string           // the first final answer, all that must not change of it
}

// start is one start of a handler.
type start struct {
	number, key     int
	token           int64
	tookOver        bool
	effect, nothing bool // nothing: it said that nothing happened
}

// heard is what a client hears, whatever the transport.
type heard struct {
	// mark is what the library says of the answer: executed, replayed, unrecorded,
	// conflict, unknown, mismatch, rejected.
	mark   string
	status string
	header string // a recorded header field
	body   string
	err    error // nothing was heard
}

// final reports whether it is a recorded answer.
func (h *heard) final() bool { return h.err == nil && (h.mark == "executed" || h.mark == "replayed") }

func newJudge(w *world) *judge {
	j := &judge{world: w, ops: make([]ledger, len(w.keys)), heard: make(map[string]bool)}
	for i := range j.ops {
		j.ops[i].granted = make(map[int64]string)
	}
	return j
}

func (j *judge) violate(rule simulation.Rule, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.violateLocked(rule, format, args...)
}

func (j *judge) violateLocked(rule simulation.Rule, format string, args ...any) {
	v := simulation.Violation{Rule: rule, Text: fmt.Sprintf(format, args...)}
	j.violations = append(j.violations, v)
	j.world.mu.Lock()
	defer j.world.mu.Unlock()
	j.world.trace.add(0, "VIOLATION %v", v)
}

// begin is called when a handler starts.
func (j *judge) begin(p *process, c *call, ctx context.Context) *start {
	info, protected := idempotency.FromContext(ctx)
	j.mu.Lock()
	defer j.mu.Unlock()
	op := &j.ops[c.key]
	s := &start{number: len(j.starts) + 1, key: c.key, token: info.Token, tookOver: info.TookOver}
	if owner, granted := op.granted[s.token]; !protected || !granted || !j.heard[owner] {
		j.violateLocked(simulation.FailClosed, "start %d of key %d without a granted claim", s.number, s.key)
	}
	for _, earlier := range op.starts {
		j.compare(p, earlier, s)
	}
	j.world.count(Started)
	if s.tookOver {
		j.world.count(TookOver)
	}
	j.starts, op.starts = append(j.starts, s), append(op.starts, s)
	j.world.note(p, "start %d of key %d by call %d, token %d", s.number, s.key, c.number, s.token)
	return s
}

// compare judges a start by one before it.
func (j *judge) compare(p *process, earlier, s *start) {
	if p.orphan == idempotency.OrphanRefuse && j.world.plan.orphan == idempotency.OrphanRefuse && !earlier.nothing {
		j.violateLocked(simulation.OneStart, "start %d of key %d after start %d, which did not say that nothing happened",
			s.number, s.key, earlier.number)
	}
	if s.token <= earlier.token {
		j.violateLocked(simulation.TokensGrow, "start %d of key %d has token %d after %d",
			s.number, s.key, s.token, earlier.token)
	}
}

// relies is called when a handler goes on. The engine's timers run on while a
// process stands still, as the deadline that they watch does.
func (j *judge) relies(s *start, ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	rec := j.world.records()[s.key]
	now := time.Now().UnixMicro()
	if rec.state != 'R' || rec.token != s.token || now >= rec.leaseEnd {
		j.violate(simulation.HeardLoss, "start %d of key %d goes on at %d, the record is %c of token %d, its lease ends at %d",
			s.number, s.key, now, rec.state, rec.token, rec.leaseEnd)
	}
}

// nothing is called when a handler says that nothing happened.
func (j *judge) nothing(s *start) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.nothing = true
}

// effect is called when a handler does what it is for.
func (j *judge) effect(p *process, s *start) {
	j.mu.Lock()
	defer j.mu.Unlock()
	op := &j.ops[s.key]
	s.effect = true
	op.effects++
	j.world.note(p, "EFFECT of start %d", s.number)
	if op.effects > 1 {
		j.violateLocked(simulation.OneEffect, "key %d has %d effects, the last by start %d", s.key, op.effects, s.number)
	}
}

// answered is called when a client hears what came of its request.
func (j *judge) answered(p *process, c *call, h heard) {
	j.world.note(p, "call %d hears %s %s %.40q %v", c.number, h.mark, h.status, h.body, h.err)
	if h.err != nil {
		j.world.count(Unheard)
		return
	}
	if kind, known := kindOf(h.mark); known {
		j.world.count(kind)
	} else {
		j.violate(simulation.FailClosed, "call %d hears of %q", c.number, h.mark)
	}
	if h.final() {
		j.final(c, h)
	}
}

func kindOf(mark string) (kind Kind, known bool) {
	kind, known = map[string]Kind{
		"executed": Executed, "replayed": Replayed, "unrecorded": Unrecorded, "conflict": Conflict,
		"unknown": Unknown, "mismatch": Mismatch, "rejected": Unavailable,
	}[mark]
	return kind, known
}

// final judges a final answer.
func (j *judge) final(c *call, h heard) {
	rec := j.world.records()[c.key]
	j.mu.Lock()
	defer j.mu.Unlock()
	var letter ending
	var number, key, variant int
	if _, err := fmt.Sscanf(h.body, "%c%d key %d variant %d", &letter, &number, &key, &variant); err != nil || number > len(j.starts) {
		j.violateLocked(simulation.RealAnswer, "call %d hears %q", c.number, h.body)
		return
	}
	s := j.starts[number-1]
	if key != c.key || variant != c.variant {
		j.violateLocked(OwnAnswer, "call %d for key %d, variant %d hears %q", c.number, c.key, c.variant, h.body)
		return
	}
	if letter == succeeds && !s.effect {
		j.violateLocked(simulation.RealAnswer, "call %d hears of start %d, which had no effect", c.number, number)
	}
	if rec.state != 'C' || rec.token != s.token {
		j.violateLocked(simulation.Deposed, "call %d hears %s of start %d with token %d; the record is %c of token %d",
			c.number, h.mark, number, s.token, rec.state, rec.token)
	}
	op, all := &j.ops[c.key], h.status+"|"+h.header+"|"+h.body
	if op.final == "" {
		op.final = all
	}
	if op.final != all {
		j.violateLocked(simulation.OneAnswer, "key %d answers %q after %q", c.key, strings.TrimSpace(all), strings.TrimSpace(op.final))
	}
}

// leftBehind is called when the outcome of a key is unknown in the end. If no handler
// ever started, that is the trace of a claim that nobody gave back.
func (j *judge) leftBehind(k int) {
	gentle := j.world.gentle()
	j.mu.Lock()
	defer j.mu.Unlock()
	if gentle && len(j.ops[k].starts) == 0 {
		j.violateLocked(simulation.LeftBehind, "the outcome of key %d is unknown, and no handler ever started", k)
	}
}

// Rules that package simulation has no need of.
const (
	// OwnAnswer (I7): nobody hears the answer to another request.
	OwnAnswer simulation.Rule = "I7 an answer is for its own request"
	// Secret (I10): no key is in any log.
	Secret simulation.Rule = "I10 no key in logs"
)

// secrets judges what was logged.
func (j *judge) secrets(logs []byte) {
	for _, k := range j.world.keys {
		if bytes.Contains(logs, []byte(k.name)) {
			j.violate(Secret, "a log line holds a key")
		}
	}
}
