package idempotency

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Stats counts what became of one operation's requests in this process, since
// the guard was made. Its JSON form is fit for expvar. For metrics with labels
// of your own, see [Trace].
type Stats struct {
	Operation string `json:"operation"`
	// Override is what [Guard.Override] says at the moment, in words.
	Override string `json:"override,omitempty"`

	// Executed, Replayed and Unprotected are answers, by how they came about.
	Executed    int64 `json:"executed"`
	Replayed    int64 `json:"replayed"`
	Unprotected int64 `json:"unprotected"`
	// Refused are the requests that got no answer, by code. Codes that never
	// occurred are left out.
	Refused map[Code]int64 `json:"refused"`

	// Retried are those among all of the above of which the transport said that
	// the client was repeating them by itself: see [Call].Retry. Requests that
	// were rejected before they had a key are not among them.
	Retried int64 `json:"retried"`
	// Shadow is what would have been of those that ran under [KeyShadow], which
	// count as Unprotected above.
	Shadow ShadowStats `json:"shadow,omitzero"`

	// Completed, Released and Failed are attempts, by how they ended. One that
	// failed left an unknown outcome behind.
	Completed int64 `json:"completed"`
	Released  int64 `json:"released"`
	Failed    int64 `json:"failed"`
	// BodiesOmitted are answers recorded without their body: too large, secret,
	// or streamed.
	BodiesOmitted int64 `json:"bodies_omitted"`

	// LeasesLost are attempts that lost their lease while the handler ran.
	LeasesLost int64 `json:"leases_lost"`
	// LocksRefused are claims given back because the lock of [WithLocker] was held
	// or could not be asked for.
	LocksRefused int64 `json:"locks_refused,omitempty"`
	// EndingsLate were taken by the store later than in time, EndingsLost never.
	EndingsLate int64 `json:"endings_late"`
	EndingsLost int64 `json:"endings_lost"`
	// Settled are decisions by hand, purges included.
	Settled int64 `json:"settled"`

	// InFlight are the executions under way now, Waiting those among them that
	// wait for another attempt.
	InFlight int64 `json:"in_flight"`
	Waiting  int64 `json:"waiting"`

	// Duration is of whole executions, Store the part spent waiting for the
	// store, Wait the part spent waiting for another attempt, of those that did.
	Duration Histogram `json:"duration"`
	Store    Histogram `json:"store"`
	Wait     Histogram `json:"wait"`
}

// ShadowStats counts what would have become of requests under [KeyRequired].
type ShadowStats struct {
	// Executed would have run as they did, Replayed would have got a recorded
	// answer, Unprotected would have run without a record, as the policy allows
	// while the store is down.
	Executed    int64 `json:"executed"`
	Replayed    int64 `json:"replayed"`
	Unprotected int64 `json:"unprotected"`
	// Refused would have got no answer, by code. Codes that never occurred are
	// left out.
	Refused map[Code]int64 `json:"refused,omitempty"`
}

// Histogram counts durations in buckets.
type Histogram struct {
	// Buckets are how many durations were at most so long, each without those of
	// the buckets before. Longer ones are in Over.
	Buckets []Bucket `json:"buckets"`
	Over    int64    `json:"over"`
	// Sum is of all durations.
	Sum time.Duration `json:"sum_ns"`
}

// Bucket is one bucket of a [Histogram].
type Bucket struct {
	Most  time.Duration `json:"most_ns"`
	Count int64         `json:"count"`
}

// Count returns how many durations there were.
func (h Histogram) Count() int64 {
	sum := h.Over
	for _, b := range h.Buckets {
		sum += b.Count
	}
	return sum
}

// Stats returns the counts of every registered operation, sorted by name. No
// round trip.
func (g *Guard) Stats() []Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]Stats, 0, len(g.operations))
	for name, op := range g.operations {
		stats := op.counts.read(name)
		stats.Override = op.over.said.String()
		all = append(all, stats)
	}
	slices.SortFunc(all, func(a, b Stats) int {
		if a.Operation < b.Operation {
			return -1
		}
		return 1 // names are unique
	})
	return all
}

// counts are an operation's Stats while they are being counted.
type counts struct {
	fates, shadow                                 fates // as they were, and as they would have been
	retried                                       atomic.Int64
	completed, released, failed, bodiesOmitted    atomic.Int64
	leasesLost, endingsLate, endingsLost, settled atomic.Int64
	inFlight, waiting, locksRefused               atomic.Int64
	duration, store, wait                         histogram
}

func newCounts() *counts {
	return &counts{fates: newFates(), shadow: newFates()}
}

// fates are answers and refusals while they are being counted.
type fates struct {
	executed, replayed, unprotected *atomic.Int64
	refused                         map[Code]*atomic.Int64
}

func newFates() fates {
	f := fates{
		executed: new(atomic.Int64), replayed: new(atomic.Int64), unprotected: new(atomic.Int64),
		refused: make(map[Code]*atomic.Int64),
	}
	for _, code := range codes() {
		f.refused[code] = new(atomic.Int64)
	}
	return f
}

func (f fates) count(outcome Outcome, code Code) {
	switch outcome {
	case Executed:
		f.executed.Add(1)
	case Replayed:
		f.replayed.Add(1)
	case Unprotected:
		f.unprotected.Add(1)
	}
	if n := f.refused[code]; n != nil {
		n.Add(1)
	}
}

func (f fates) readRefused() map[Code]int64 {
	refused := make(map[Code]int64)
	for code, n := range f.refused {
		if n := n.Load(); n > 0 {
			refused[code] = n
		}
	}
	return refused
}

func (f fates) readShadow() ShadowStats {
	s := ShadowStats{Executed: f.executed.Load(), Replayed: f.replayed.Load(), Unprotected: f.unprotected.Load()}
	if refused := f.readRefused(); len(refused) > 0 {
		s.Refused = refused
	}
	return s
}

// finish counts what was finished.
func (c *counts) finish(f Finished) {
	if f.Shadow {
		c.shadow.count(f.Outcome, f.Code)
		c.fates.count(Unprotected, "")
	} else {
		c.fates.count(f.Outcome, f.Code)
	}
	if f.Retry > 0 {
		c.retried.Add(1)
	}
	switch f.Ending {
	case store.Complete{}.Name():
		c.completed.Add(1)
	case store.Release{}.Name():
		c.released.Add(1)
	case store.Fail{}.Name():
		c.failed.Add(1)
	}
	if f.Omitted != store.BodyKept {
		c.bodiesOmitted.Add(1)
	}
	if f.ID == "" {
		return // rejected before it was executed
	}
	c.duration.add(f.Duration)
	c.store.add(f.Store)
	if f.Waited > 0 {
		c.wait.add(f.Waited)
	}
}

// late counts an ending that was not taken in time.
func (c *counts) late(err error) {
	if err == nil {
		c.endingsLate.Add(1)
		return
	}
	c.endingsLost.Add(1)
}

func (c *counts) read(operation string) Stats {
	s := Stats{
		Operation: operation,
		Executed:  c.fates.executed.Load(), Replayed: c.fates.replayed.Load(), Unprotected: c.fates.unprotected.Load(),
		Refused:   c.fates.readRefused(),
		Shadow:    c.shadow.readShadow(),
		Retried:   c.retried.Load(),
		Completed: c.completed.Load(), Released: c.released.Load(), Failed: c.failed.Load(),
		BodiesOmitted: c.bodiesOmitted.Load(), LeasesLost: c.leasesLost.Load(),
		LocksRefused: c.locksRefused.Load(),
		EndingsLate:  c.endingsLate.Load(), EndingsLost: c.endingsLost.Load(), Settled: c.settled.Load(),
		InFlight: c.inFlight.Load(), Waiting: c.waiting.Load(),
		Duration: c.duration.read(), Store: c.store.read(), Wait: c.wait.read(),
	}
	return s
}

const buckets = 14

// bounds are the longest durations of the buckets.
func bounds() [buckets]time.Duration {
	const ms = time.Millisecond
	return [buckets]time.Duration{
		ms, 2 * ms, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms, 250 * ms, 500 * ms,
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	}
}

type histogram struct {
	counts [buckets + 1]atomic.Int64
	sum    atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	bounds := bounds()
	i, _ := slices.BinarySearch(bounds[:], d)
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) read() Histogram {
	out := Histogram{Over: h.counts[buckets].Load(), Sum: time.Duration(h.sum.Load())}
	for i, most := range bounds() {
		out.Buckets = append(out.Buckets, Bucket{most, h.counts[i].Load()})
	}
	return out
}
