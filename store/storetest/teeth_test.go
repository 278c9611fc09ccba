package storetest_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

// fault is a broken store and the cases that have to name it.
type fault struct {
	name  string
	open  func() (store.Store, *broken.Store)
	cases []string
}

// TestBrokenStoresAreNamed shows that each fault is found by the cases that are
// about it, and that every case finds a fault: one that cannot fail would only
// look like a check.
func TestBrokenStoresAreNamed(t *testing.T) {
	t.Parallel()
	caught := make(map[string]bool)
	for _, f := range faults() {
		for _, name := range f.cases {
			caught[name] = true
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range f.cases {
				if finds(t, name, f) == nil {
					t.Errorf("it is not found by %q but by %v", name, failedCases(judge(t, func() storetest.Harness { return able(f.open()) })))
				}
			}
		})
	}
	for name := range storetest.Names() {
		assert.True(t, caught[name], "no broken store fails the case %q", name)
	}
}

// finds runs one case on a store with the fault.
func finds(t *testing.T, name string, f fault) (failure *storetest.Failure) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		failure = storetest.CheckOnly(t.Context(), able(f.open()), name)
		if failure != nil {
			require.NotContains(t, failure.Detail, "there is no such case")
		}
	})
	return failure
}

func failedCases(report storetest.Report) []string {
	var names []string
	for _, failure := range report.Failures {
		names = append(names, failure.Case)
	}
	return names
}

func faults() []fault {
	all := publicFaults()
	all = append(all, claimFaults()...)
	all = append(all, endFaults()...)
	all = append(all, settleFaults()...)
	all = append(all, timeFaults()...)
	all = append(all, wrapperFaults()...)
	all = append(all, watchFaults()...)
	all = append(all, inspectFaults()...)
	return append(all, listFaults()...)
}

// the first four are those that other harnesses use as well.
func publicFaults() []fault {
	return []fault{
		{"no owner check", public(broken.NoOwnerCheck), []string{
			"renew/not the owner", "mark/not running is lost", "complete/not the owner",
			"fail/not the owner", "release/not the owner", "take-over/deposes the owner",
			"large answer/refused", "settle/deposes the owner", "differential/random sequences",
		}},
		{"claim not idempotent per owner", public(broken.ClaimNotIdempotent), []string{
			"claim/own again", "claim/own again after a lapse", "claim/own again says what it took over",
		}},
		{"lease is the ttl", public(broken.LeaseIsTTL), []string{
			"ttl/lease is not the ttl", "ttl/running", "ttl/hours", "take-over/never",
		}},
		{"take-over not atomic", public(broken.TakeOverNotAtomic), []string{"race/one take-over wins"}},
	}
}

func public(open func() store.Store) func() (store.Store, *broken.Store) {
	return func() (store.Store, *broken.Store) {
		s := open()
		return s, s.(*broken.Store)
	}
}

// on wraps a step function.
func on(step broken.Step) func() (store.Store, *broken.Store) {
	return func() (store.Store, *broken.Store) {
		s := broken.New(step)
		return s, s
	}
}

// before changes the record that a type of event finds, if it is a live one.
func before[E store.Event](change func(rec *store.Record, ev E)) func() (store.Store, *broken.Store) {
	return on(func(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
		if ev, ok := event.(E); ok && rec.Live(now).State != store.Absent {
			change(&rec, ev)
		}
		return store.Step(rec, event, now)
	})
}

// asking changes a type of event before it is executed.
func asking[E store.Event](change func(ev *E, rec store.Record, now store.Instant)) func() (store.Store, *broken.Store) {
	return on(func(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
		if ev, ok := event.(E); ok {
			change(&ev, rec.Live(now), now)
			event = ev
		}
		return store.Step(rec, event, now)
	})
}

// outcome is one execution of an event, for a fault to change what is written
// and what is told.
type outcome[E store.Event] struct {
	ev     E
	before store.Record
	now    store.Instant
	next   *store.Record
	reply  *store.Reply
}

// after changes what a type of event does.
func after[E store.Event](change func(o outcome[E])) func() (store.Store, *broken.Store) {
	return on(func(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
		next, reply := store.Step(rec, event, now)
		if ev, ok := event.(E); ok {
			change(outcome[E]{ev: ev, before: rec.Live(now), now: now, next: &next, reply: &reply})
		}
		return next, reply
	})
}
