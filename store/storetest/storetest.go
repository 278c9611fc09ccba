package storetest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Harness is a store under test, with what the suite may do to its world.
type Harness struct {
	// Store is what is tested. Records that are already in it do not disturb:
	// every case draws fresh identities. All its methods are called, from up to
	// 32 goroutines at once; those of [store.Notifier] and [store.Inspector], too,
	// if it has them. Signals are given up to five seconds to arrive, and all
	// watches are closed at the end of a case.
	Store store.Store

	// Advance makes d pass on the store's clock, for leases and for expiry
	// alike. It is called by one goroutine at a time.
	//
	// Nil means that the clock is a real one: the suite sleeps, never for more
	// than 250 ms at a time, and skips what would take longer. Inside a
	// testing/synctest bubble give time.Sleep here.
	Advance func(d time.Duration)

	// Rewind sets the store's clock back by d. Without it the cases about a
	// clock that jumps back are skipped.
	Rewind func(d time.Duration)

	// Forget makes the store lose a record, as an eviction or an operator's
	// flush would. Without it the case about lost records is skipped, and the
	// random sequences lose records by expiry only.
	Forget func(id store.ID)

	// Seed draws the random sequences; a failure names it. The default, 0, is
	// as good as any other.
	Seed uint64
}

// Option changes how [Run] arranges the cases.
type Option func(*arrangement)

type arrangement struct{ parallel, bubble bool }

// InParallel marks every case with t.Parallel. The harnesses that open returns
// may then share a backend only if Advance is nil, as moving a clock moves it
// for all of them.
func InParallel() Option { return func(a *arrangement) { a.parallel = true } }

// InBubble runs every case, with the call of open, in a testing/synctest
// bubble of its own.
func InBubble() Option { return func(a *arrangement) { a.bubble = true } }

// Run runs every case as a subtest, named by the rule. It calls open once per
// case, so a harness may be as short-lived as the t that open is given.
func Run(t *testing.T, open func(t *testing.T) Harness, opts ...Option) {
	t.Helper()
	var how arrangement
	for _, opt := range opts {
		opt(&how)
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			if how.parallel {
				t.Parallel()
			}
			if !how.bubble {
				runRule(t, r, open(t))
				return
			}
			synctest.Test(t, func(t *testing.T) { runRule(t, r, open(t)) })
		})
	}
}

func runRule(t *testing.T, r rule, h Harness) {
	t.Helper()
	if reason := r.needs.missing(h); reason != "" {
		t.Skip(Skip{Case: r.name, Reason: reason})
	}
	if failure := r.run(t.Context(), h); failure != nil {
		t.Error(failure)
	}
}
