package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// judge watches the wire and the callers, keeps the ledger of effects, and
// notes every rule that is broken. The world's lock guards it.
type judge struct {
	world  *world
	era    int // how often the store has lost its memory
	starts []*start
	ops    []ledger
	owners map[store.Owner]int
	gaveUp map[store.Owner]time.Time // its claim, without an answer
	parted map[store.Owner]bool      // knows, or has caused, that its claim came to nothing

	mu         sync.Mutex // of violations only, so that anybody may report one
	violations []Violation
}

// ledger is what is known of one key's operation.
type ledger struct {
	starts  []*start
	effects int
	tokens  store.Token                 // the largest ever granted
	granted map[store.Token]store.Owner // by the store
	heard   map[store.Token]bool        // by the claimer
	late    map[store.Token]bool        // when nobody looked for it any more
	hold    held
	finals  map[int][]byte // the first final answer in each era
	told    map[string]int // by the store, an answer: in which era last
}

// start is one start of a handler.
type start struct {
	number, key     int
	token           store.Token
	effect, nothing bool // nothing: it said that nothing happened
	marked          bool
}

func newJudge(w *world) *judge {
	j := &judge{
		world:  w,
		ops:    make([]ledger, len(w.keys)),
		owners: make(map[store.Owner]int, 16),
		gaveUp: make(map[store.Owner]time.Time, 16),
		parted: make(map[store.Owner]bool, 16),
	}
	for i := range j.ops {
		j.ops[i].granted = make(map[store.Token]store.Owner, 4)
		j.ops[i].heard = make(map[store.Token]bool, 4)
		j.ops[i].late = make(map[store.Token]bool, 4)
		j.ops[i].finals = make(map[int][]byte, 1)
		j.ops[i].told = make(map[string]int, 1)
	}
	return j
}

func (j *judge) violate(rule Rule, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.violations = append(j.violations, Violation{rule, fmt.Sprintf(format, args...)})
}

func (j *judge) key(id store.ID) int {
	for key, known := range j.world.ids {
		if known == id {
			return key
		}
	}
	panic("an event for a record that no request named")
}

// owner numbers owners as they appear.
func (j *judge) owner(o store.Owner) int {
	n, ok := j.owners[o]
	if !ok {
		n = len(j.owners) + 1
		j.owners[o] = n
	}
	return n
}

// forgetful reports whether the store of this world loses records.
func (j *judge) forgetful() bool { return j.world.plan.forgets > 0 }

func (j *judge) forgot() { j.era++ }

// request notes that a caller begins to ask.
func (j *judge) request(key int) *request {
	j.world.mu.Lock()
	defer j.world.mu.Unlock()
	return &request{key: key, began: time.Now(), era: j.era}
}

// begin is called when a handler starts.
func (j *judge) begin(p *process, req *request, ctx context.Context) *start {
	info, ok := idempotency.FromContext(ctx)
	w := j.world
	w.mu.Lock()
	defer w.mu.Unlock()
	op := &j.ops[req.key]
	s := &start{number: len(j.starts) + 1, key: req.key, token: store.Token(info.Token)}
	if !ok || !op.heard[s.token] {
		j.violate(FailClosed, "start %d of key %d without a granted claim", s.number, req.key)
	}
	for _, earlier := range op.starts {
		j.compare(p, earlier, s)
	}
	if info.TookOver {
		w.tally[TookOver]++
	}
	req.start = s
	j.starts = append(j.starts, s)
	op.starts = append(op.starts, s)
	j.note(p, req.key, "start", "", strconv.Itoa(s.number))
	return s
}

// compare judges a start by one before it.
func (j *judge) compare(p *process, earlier, s *start) {
	if j.forgetful() {
		return
	}
	if j.world.plan.orphan == idempotency.OrphanRefuse && p.orphan == idempotency.OrphanRefuse &&
		!earlier.nothing {
		j.violate(OneStart, "start %d of key %d after start %d, which did not say that nothing happened",
			s.number, s.key, earlier.number)
	}
	// A clock that jumps lets a lease lapse while its owner still relies on it;
	// then the larger token may start first, and the fence is what holds.
	if s.token <= earlier.token && j.world.plan.clocks == 0 {
		j.violate(TokensGrow, "start %d of key %d has token %d after %d", s.number, s.key, s.token, earlier.token)
	}
}

// relies is called when a handler goes on. The engine's timers run on while a
// process stands still, as the deadline that they watch does.
func (j *judge) relies(s *start, ctx context.Context) {
	w := j.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil || j.forgetful() || w.plan.clocks > 0 {
		return
	}
	hold, now := &j.ops[s.key].hold, w.db.now()
	if hold.token != s.token || hold.ended || now >= hold.until {
		j.violate(HeardLoss, "start %d of key %d goes on at %d, its lease ended at %d (token %d, held %d)",
			s.number, s.key, now, hold.until, s.token, hold.token)
	}
}

// nothing is called when a handler says that nothing happened.
func (j *judge) nothing(s *start) {
	j.world.mu.Lock()
	defer j.world.mu.Unlock()
	s.nothing = true
}

// effect is called when a handler does what it is for.
func (j *judge) effect(s *start) {
	w := j.world
	w.mu.Lock()
	defer w.mu.Unlock()
	op := &j.ops[s.key]
	s.effect = true
	op.effects++
	j.note(nil, s.key, "EFFECT", "", strconv.Itoa(s.number))
	if op.effects > 1 && !j.forgetful() && w.plan.orphan != idempotency.OrphanRerun {
		j.violate(OneEffect, "key %d has %d effects, the last by start %d", s.key, op.effects, s.number)
	}
}

// answered is called when a caller hears what came of its request.
func (j *judge) answered(p *process, req *request, result idempotency.Result, err error) {
	w := j.world
	w.mu.Lock()
	defer w.mu.Unlock()
	j.ended(p, req)
	if err != nil {
		j.refused(p, req, err)
		return
	}
	j.note(p, req.key, "answer: "+result.Outcome.String(), finality(result), string(result.Answer.Body))
	switch {
	case result.Outcome == idempotency.Replayed && req.start != nil:
		w.tally[DeposedReplayed]++
	case result.Outcome == idempotency.Replayed:
		w.tally[Replayed]++
	case result.Recorded:
		w.tally[Executed]++
	default:
		w.tally[Unrecorded]++
	}
	if !result.Recorded {
		return
	}
	j.final(req, result.Answer.Body)
	j.deposed(req, result)
}

func finality(result idempotency.Result) string {
	if result.Recorded {
		return "final"
	}
	return "not final"
}

// ended judges how long it took. The longest handlers take 5.5 leases, and each
// of its steps, and each call, may meet a standstill of 3. Before that it may
// have waited.
func (j *judge) ended(p *process, req *request) {
	if took := time.Since(req.began); took > 40*j.world.plan.lease+j.world.plan.wait {
		j.violate(Progress, "process %d: a request for key %d took %v", p.number, req.key, took)
	}
}

// unanswered is called when a handler panicked or ended its goroutine.
func (j *judge) unanswered(p *process, req *request) {
	j.world.mu.Lock()
	defer j.world.mu.Unlock()
	if p.isDead() {
		return
	}
	j.ended(p, req)
	j.note(p, req.key, "no answer", "", "")
}

// refused judges an error: with all but one of them the handler did not run.
func (j *judge) refused(p *process, req *request, err error) {
	var refusal *idempotency.Error
	if !errors.As(err, &refusal) {
		j.violate(FailClosed, "an error of another type: %v", err)
		return
	}
	j.note(p, req.key, "refused", string(refusal.Code), "")
	if req.start != nil && refusal.Code != idempotency.ErrLeaseLost {
		j.violate(FailClosed, "start %d ran, and its caller hears %v", req.start.number, err)
	}
	switch refusal.Code {
	case idempotency.ErrInProgress:
		j.world.tally[RefusedInProgress]++
	case idempotency.ErrOutcomeUnknown:
		j.world.tally[RefusedUnknown]++
	case idempotency.ErrStoreUnavailable:
		j.world.tally[RefusedUnavailable]++
	case idempotency.ErrLeaseLost:
		j.world.tally[RefusedLeaseLost]++
	case idempotency.ErrDraining:
		j.world.tally[RefusedDraining]++
	case idempotency.ErrNotStarted:
		j.world.tally[RefusedNotStarted]++
		if req.caller.Err() == nil {
			j.violate(FailClosed, "a caller that is there hears %v", err)
		}
	default:
		j.violate(FailClosed, "unexpected refusal %v", err)
	}
}

// final judges a final answer by the ledger, and by the first one of the same
// memory of the store.
func (j *judge) final(req *request, body []byte) {
	op := &j.ops[req.key]
	if n := startOf(body); n > 0 && (n > len(j.starts) || !j.starts[n-1].effect || j.starts[n-1].key != req.key) {
		j.violate(RealAnswer, "key %d answers %q, and that start had no effect", req.key, body)
	}
	if req.era != j.era || j.overheard(op, body) {
		return // asked before the store lost its memory
	}
	first, ok := op.finals[j.era]
	if !ok {
		op.finals[j.era] = body
		return
	}
	if !bytes.Equal(first, body) {
		j.violate(OneAnswer, "key %d answers %q after %q", req.key, body, first)
	}
}

// overheard reports an answer of an earlier era. Who joins others that wait gets
// the answer that one of them asked for, maybe before the store lost its memory.
func (j *judge) overheard(op *ledger, body []byte) bool {
	era, ok := op.told[string(body)]
	return j.world.plan.wait > 0 && ok && era < j.era
}

// startOf returns the number of the start whose success a body tells, or 0.
func startOf(body []byte) int {
	if len(body) == 0 || body[0] != 's' {
		return 0
	}
	n, _ := strconv.Atoi(string(body[1:]))
	return n
}

// deposed judges an executed answer that is given as the recorded one.
func (j *judge) deposed(req *request, result idempotency.Result) {
	if result.Outcome != idempotency.Executed || j.forgetful() || j.world.db.other != nil {
		return
	}
	rec := j.world.db.records[j.world.ids[req.key]]
	if rec.State != store.Completed || !bytes.Equal(rec.Answer.Body, result.Answer.Body) {
		j.violate(Deposed, "key %d: %q is given as recorded, the record is %v %q",
			req.key, result.Answer.Body, rec.State, rec.Answer.Body)
	}
}

func (j *judge) note(p *process, key int, what, verdict, note string) {
	e := entry{key: key, what: what, verdict: verdict, note: note}
	if p != nil {
		e.process = p.number
	}
	j.world.trace.add(e)
}
