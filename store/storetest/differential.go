package storetest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Size of the differential case. By a real clock the sequences run side by
// side, since most of their time they sleep.
const (
	sequences     = 150
	sequenceLen   = 40
	sideBySide    = 16
	shrinkTries   = 400
	shrinkTriesBy = 60 // by a real clock
)

func differentialRules() []rule {
	return []rule{{
		name:  "differential/random sequences",
		rule:  "every reply to a sequence of events, and the record after each, are those of store.Step at the time that the reply gives",
		why:   "Step is the specification; this finds the combinations that nobody thought of",
		check: differential,
	}}
}

func differential(c *check) {
	d := &differ{ctx: c.ctx, h: c.h, seed: c.h.Seed}
	if c.h.Advance == nil {
		d.sideBySide()
	} else {
		d.inTurn()
	}
	if d.failed == nil {
		return
	}
	c.transcript = d.failed.log
	c.errorf("with Harness.Seed %d, sequence %d, shortened to %d steps: %s",
		d.seed, d.failed.number, len(d.failed.ops), d.failed.problem)
}

// differ runs sequences and keeps the first that fails.
type differ struct {
	ctx  context.Context
	h    Harness
	seed uint64

	mu     sync.Mutex
	failed *failedSequence
}

type failedSequence struct {
	number  int
	ops     []op
	problem string
	log     []string
}

func (d *differ) inTurn() {
	for i := range sequences {
		if !d.sequence(i, shrinkTries) {
			return
		}
	}
}

func (d *differ) sideBySide() {
	var wg sync.WaitGroup
	for first := range sideBySide {
		wg.Go(func() {
			for i := first; i < sequences; i += sideBySide {
				if !d.sequence(i, shrinkTriesBy) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// sequence runs the i-th sequence and reports whether it went well. Of a
// failing one it keeps the shortest form that it finds.
func (d *differ) sequence(i, tries int) bool {
	if d.over() {
		return false
	}
	ops := generate(rand.New(rand.NewPCG(d.seed, uint64(i))), sequenceLen)
	failed := d.try(ops)
	if failed == nil {
		return true
	}
	failed = d.shrink(failed, tries)
	failed.number = i
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == nil {
		d.failed = failed
	}
	return false
}

func (d *differ) over() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed != nil || d.ctx.Err() != nil
}

// try runs ops on a fresh record, up to the first difference.
func (d *differ) try(ops []op) *failedSequence {
	w := newWalk(d.ctx, d.h)
	for i, o := range ops {
		if problem := w.step(o); problem != "" {
			return &failedSequence{ops: ops[:i+1], problem: problem, log: w.log}
		}
	}
	return nil
}

// shrink leaves out one step after the other as long as it still fails.
func (d *differ) shrink(failed *failedSequence, tries int) *failedSequence {
	for i := len(failed.ops) - 2; i >= 0 && tries > 0; i-- {
		tries--
		shorter := append(append([]op{}, failed.ops[:i]...), failed.ops[i+1:]...)
		if again := d.try(shorter); again != nil {
			failed = again
			i = min(i, len(failed.ops)-1)
		}
	}
	return failed
}

// walk is one sequence on one record: the store's, and the model's beside it.
type walk struct {
	ctx context.Context
	h   Harness
	id  store.ID
	// models are what the record may be. There is one after every step.
	models []store.Record
	clock  readings
	who    [3]*caller
	log    []string
}

func newWalk(ctx context.Context, h Harness) *walk {
	w := &walk{ctx: ctx, h: h, id: newID(), models: make([]store.Record, 1)}
	c := &check{scope: store.NewScopeDigest("storetest")}
	for i := range w.who {
		w.who[i] = c.caller(fmt.Sprintf("owner %d", i))
		w.who[i].token, w.who[i].started = 1000, 1000
	}
	return w
}

// step does one thing to the store and to the model, and says where they differ.
func (w *walk) step(o op) string {
	switch o.kind {
	case opAdvance:
		w.advance(o.pause(w.h.Advance != nil))
	case opForget:
		w.forget()
	default:
		if problem := w.apply(o); problem != "" {
			return problem
		}
	}
	return w.lookup()
}

func (w *walk) advance(d time.Duration) {
	w.log = append(w.log, fmt.Sprintf("-- %v pass", d))
	began := time.Now()
	w.h.advance(d)
	w.clock.advanced(d, time.Since(began))
}

func (w *walk) forget() {
	if w.h.Forget == nil {
		return
	}
	w.log = append(w.log, "-- the store loses the record")
	w.h.Forget(w.id)
	w.models = make([]store.Record, 1)
}

// apply sends an event to both. The model's clock is the store's own.
func (w *walk) apply(o op) string {
	event := o.event(w)
	reply, err := w.send(o, event)
	name := w.who[o.who].name + ": " + event.Name()
	w.log = append(w.log, name+describe(event)+" -> "+outcome(reply, err))
	if err != nil {
		return fmt.Sprintf("%s: error %v", name, err)
	}
	w.clock.read(reply.Now)
	state := w.models[0].State
	if diff := w.follow(event, reply); diff != "" {
		return fmt.Sprintf("%s, on a record that is %s: the reply: %s", name, state, diff)
	}
	if _, ok := event.(store.Claim); ok {
		w.who[o.who].learn(reply)
	}
	return ""
}

// send applies an event; every other renewal goes as a batch of one.
func (w *walk) send(o op, event store.Event) (store.Reply, error) {
	renew, ok := event.(store.Renew)
	if !ok || o.d%2 == 0 {
		return w.h.Store.Apply(w.ctx, w.id, event)
	}
	results := w.h.Store.Renew(w.ctx, []store.Renewal{{ID: w.id, Renew: renew}})
	if len(results) != 1 {
		return store.Reply{}, fmt.Errorf("one renewal has %d answers", len(results))
	}
	return results[0].Reply, results[0].Err
}

// follow makes the model's step and says how its reply differs from the
// store's. Around the moment of expiry the record may be there or not, so the
// model may go on as several; the lookup tells which one it is.
func (w *walk) follow(event store.Event, reply store.Reply) string {
	var next []store.Record
	var diff string
	for _, rec := range w.models {
		for _, maybe := range aroundExpiry(rec, reply.Now) {
			after, want := store.Step(maybe, event, reply.Now)
			if differs := diffReplies(reply, want); differs != "" {
				diff = cmp.Or(diff, differs)
				continue
			}
			next = append(next, after)
		}
	}
	if len(next) == 0 {
		return diff
	}
	w.models = next
	return ""
}

// aroundExpiry returns what a store may have of a record at now.
func aroundExpiry(rec store.Record, now store.Instant) []store.Record {
	if rec.State == store.Absent || !near(now, rec.Expires) {
		return []store.Record{rec}
	}
	still := rec
	still.Expires = max(rec.Expires, now+1)
	return []store.Record{still, {}}
}

// lookup compares the record with the models and keeps the one that it is.
func (w *walk) lookup() string {
	got, err := w.h.Store.Lookup(w.ctx, w.id)
	if err != nil {
		return fmt.Sprintf("lookup: error %v", err)
	}
	var diff string
	for _, rec := range w.models {
		for _, maybe := range w.visible(rec) {
			differs := diffRecords(got, maybe)
			if differs == "" {
				w.models = []store.Record{maybe}
				return ""
			}
			diff = cmp.Or(diff, differs)
		}
	}
	return "the record after it: " + diff
}

// visible returns what a lookup may give of a record by now.
func (w *walk) visible(rec store.Record) []store.Record {
	earliest, latest := w.clock.bounds()
	switch {
	case rec.State == store.Absent || latest < rec.Expires.Add(-slack):
		return []store.Record{rec}
	case earliest > rec.Expires.Add(slack):
		return []store.Record{{}}
	}
	return []store.Record{rec, {}}
}

// readings bound what the store's clock says now, between its own readings.
type readings struct {
	earliest store.Instant
	at       time.Time     // when earliest held, by our clock
	beyond   time.Duration // what our clock saw pass on top
}

func (r *readings) read(now store.Instant) { *r = readings{earliest: now, at: time.Now()} }

// advanced notes that the harness moved the clock by d, which took so long.
func (r *readings) advanced(d, took time.Duration) {
	r.beyond += time.Since(r.at) - took + max(0, took-d)
	r.earliest, r.at = r.earliest.Add(d), time.Now()
}

func (r *readings) bounds() (earliest, latest store.Instant) {
	if r.earliest == 0 {
		return 0, 0
	}
	return r.earliest, r.earliest.Add(r.beyond + time.Since(r.at))
}

// describe prints what matters about an event.
func describe(event store.Event) string {
	switch ev := event.(type) {
	case store.Claim:
		return fmt.Sprintf(" (take-over %d, lease %v, fingerprint %s %q, wait %t)",
			ev.TakeOver, ev.Lease, ev.Fingerprint.Algorithm, ev.Fingerprint.Sum[0], ev.Wait)
	case store.Complete:
		return fmt.Sprintf(" (token %d, confirmed %d within %v, retention %v)", ev.Token, ev.Confirmed, ev.Within, ev.Retention)
	case store.Fail:
		return fmt.Sprintf(" (token %d, confirmed %d within %v, marked %t, backoff %v)", ev.Token, ev.Confirmed, ev.Within, ev.Marked, ev.Backoff)
	case store.Release:
		return fmt.Sprintf(" (token %d, void %t, retention %v)", ev.Token, ev.Void, ev.Retention)
	case store.Settle:
		return fmt.Sprintf(" (token %d, answer %t, running %t, erase %t, retention %v)",
			ev.Token, ev.Answer != nil, ev.Running, ev.Erase, ev.Retention)
	}
	return ""
}
