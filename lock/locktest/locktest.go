package locktest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/lock"
)

// Harness is a backend under test.
type Harness struct {
	// Backend is what is tested. Locks that it holds already do not disturb: every
	// case draws fresh ones. Its methods are called from up to 32 goroutines at
	// once, those of [lock.Notifier], too, if it has them. Signals are given up to
	// five seconds to arrive.
	Backend lock.Backend

	// Fenced says that the backend gives tokens. Without it the cases about them
	// are skipped.
	Fenced bool

	// Majority says that the backend decides by a majority of several, so that of
	// claims at the same moment all may be refused.
	Majority bool

	// Advance makes d pass on the backend's clock. It is called by one goroutine
	// at a time. Nil means that the clock is a real one: the suite sleeps, never
	// for more than 300 ms at a time.
	Advance func(d time.Duration)
}

// Option changes how [Run] arranges the cases.
type Option func(*arrangement)

type arrangement struct{ parallel, bubble bool }

// InParallel marks every case with t.Parallel. The harnesses may then share a
// backend only if Advance is nil.
func InParallel() Option { return func(a *arrangement) { a.parallel = true } }

// InBubble runs every case, with the call of open, in a testing/synctest bubble of
// its own.
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

// Report is the outcome of [Check]. Every case is in exactly one of the lists.
type Report struct {
	Passed   []string
	Failures []Failure
	Skips    []Skip
}

// Failure says which rule a backend breaks, and how.
type Failure struct {
	Case string
	// Rule is what the contract demands and Why what it prevents.
	Rule, Why string
	// Detail is what was seen instead, one finding a line.
	Detail string
}

// String returns the failure over several lines, for people to read.
func (f Failure) String() string {
	return f.Case + "\n" + f.Detail + "\nrule: " + f.Rule + "\nwhy:  " + f.Why
}

// Skip is a case that could not run on a harness.
type Skip struct{ Case, Reason string }

// String returns the skip as one line.
func (s Skip) String() string { return "NOT CHECKED: " + s.Case + ": " + s.Reason }

// Check runs every case, one after the other, each on a harness of its own from
// open. The context is passed to the backend.
func Check(ctx context.Context, open func() Harness) Report {
	var report Report
	for _, r := range rules() {
		h := open()
		if reason := r.needs.missing(h); reason != "" {
			report.Skips = append(report.Skips, Skip{Case: r.name, Reason: reason})
			continue
		}
		if failure := r.run(ctx, h); failure != nil {
			report.Failures = append(report.Failures, *failure)
			continue
		}
		report.Passed = append(report.Passed, r.name)
	}
	return report
}

// rule is one named case of the suite.
type rule struct {
	name, rule, why string
	needs           capability
	check           func(*check)
}

// capability is what a case needs a harness to have.
type capability uint8

const (
	fences capability = 1 << iota
	notifies
)

func (need capability) missing(h Harness) string {
	var reasons []string
	if need&fences != 0 && !h.Fenced {
		reasons = append(reasons, "it compares fencing tokens and Harness.Fenced is false")
	}
	if _, ok := h.Backend.(lock.Notifier); need&notifies != 0 && !ok {
		reasons = append(reasons, "it waits for notifications and Harness.Backend is no lock.Notifier")
	}
	return strings.Join(reasons, "; ")
}

func (r rule) run(ctx context.Context, h Harness) *Failure {
	c := &check{ctx: ctx, h: h}
	c.fresh()
	c.perform(r.check)
	if len(c.findings) == 0 {
		return nil
	}
	return &Failure{Case: r.name, Rule: r.rule, Why: r.why, Detail: strings.Join(c.findings, "\n")}
}
