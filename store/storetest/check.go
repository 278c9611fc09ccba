package storetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
)

// The durations that cases work with. A lease is short only where it is meant
// to lapse, and nothing has to happen before it does: so a slow machine makes
// the suite slow and not red.
const (
	short = 150 * time.Millisecond
	long  = time.Minute
	// keep is the retention where it plays no part.
	keep = 10 * time.Minute
	// slack is how far a backend's expiry may be off, because it counts in
	// milliseconds or because the reader had to add two readings.
	slack = 100 * time.Millisecond
)

// check is one run of one case: it works on one record at a time.
type check struct {
	ctx context.Context
	h   Harness

	id    store.ID
	scope store.ScopeDigest
	about string // the situation, put before findings

	findings   []string
	transcript []string
	// watches are all that the case has opened.
	watches []store.Watch
}

// abort unwinds a case after a finding that makes the rest meaningless.
type abort struct{}

func newCheck(ctx context.Context, h Harness) *check {
	c := &check{ctx: ctx, h: h, scope: store.NewScopeDigest("storetest")}
	c.fresh("")
	return c
}

// perform runs the case up to its end or its first fatal finding.
func (c *check) perform(do func(*check)) {
	defer func() {
		if r := recover(); r != nil && r != any(abort{}) {
			panic(r)
		}
	}()
	do(c)
}

// fresh turns to a record that no case has ever touched.
func (c *check) fresh(about string) {
	c.id = newID()
	c.about = about
	if about != "" {
		c.note("-- %s:", about)
	}
}

func newID() store.ID {
	return store.NewID("storetest", operation, store.NewOwner().String())
}

func (c *check) note(format string, args ...any) {
	c.transcript = append(c.transcript, fmt.Sprintf(format, args...))
}

// errorf records a finding and goes on.
func (c *check) errorf(format string, args ...any) {
	finding := fmt.Sprintf(format, args...)
	if c.about != "" {
		finding = c.about + ": " + finding
	}
	c.findings = append(c.findings, finding)
}

// fatalf records a finding and ends the case.
func (c *check) fatalf(format string, args ...any) {
	c.errorf(format, args...)
	panic(abort{})
}

// expect applies an event and ends the case unless the verdict is the wanted.
func (c *check) expect(who string, event store.Event, want store.Verdict) store.Reply {
	reply, err := c.h.Store.Apply(c.ctx, c.id, event)
	c.note("%s: %s -> %s", who, event.Name(), outcome(reply, err))
	if err != nil {
		c.fatalf("%s: %s: error %v, want verdict %q", who, event.Name(), err, want)
	}
	if reply.Verdict != want {
		c.fatalf("%s: %s: verdict %q, want %q", who, event.Name(), reply.Verdict, want)
	}
	if reply.Now <= 0 {
		c.fatalf("%s: %s: Reply.Now is not set", who, event.Name())
	}
	return reply
}

func outcome(reply store.Reply, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	text := reply.Verdict.String()
	if reply.Token != 0 {
		text += fmt.Sprintf(" (token %d, attempt %d)", reply.Token, reply.Attempt)
	}
	return text
}

// record looks the record up.
func (c *check) record() store.Record {
	rec, err := c.h.Store.Lookup(c.ctx, c.id)
	if err != nil {
		c.fatalf("lookup: %v", err)
	}
	return plain(rec)
}

// inState looks the record up and ends the case unless it is in that state.
func (c *check) inState(want store.State) store.Record {
	rec := c.record()
	if rec.State != want {
		c.fatalf("the record is %s, want %s", rec.State, want)
	}
	return rec
}

// unchanged does something that must not change the record.
func (c *check) unchanged(do func()) {
	before := c.record()
	do()
	c.sameRecord("the record was changed", c.record(), before)
}

// advance lets time pass on the store's clock.
func (c *check) advance(d time.Duration) {
	c.note("-- %v pass", d)
	c.h.advance(d)
}

func (h Harness) advance(d time.Duration) {
	if h.Advance == nil {
		time.Sleep(d)
		return
	}
	h.Advance(d)
}

// lapse lets a short lease, backoff or retention run out.
func (c *check) lapse() { c.advance(short + 20*time.Millisecond) }

// together runs n functions at once and waits for all of them.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	wg.Wait()
}
