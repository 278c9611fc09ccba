package storetest

import (
	"context"
	"fmt"
	"strings"
)

// Report is the outcome of [Check]. Every case is in exactly one of the lists.
type Report struct {
	Passed   []string
	Failures []Failure
	Skips    []Skip
}

// Failed returns the failure of the named case, or nil.
func (r Report) Failed(name string) *Failure {
	for i := range r.Failures {
		if r.Failures[i].Case == name {
			return &r.Failures[i]
		}
	}
	return nil
}

// Failure says which rule a store breaks, and how.
type Failure struct {
	Case string
	// Rule is what the protocol demands and Why what it prevents.
	Rule, Why string
	// Detail is what was seen instead, one finding a line.
	Detail string
	// Transcript holds the events of the case and their replies, in order.
	Transcript []string
}

// String returns the failure over several lines, for people to read.
func (f Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\nrule: %s\nwhy:  %s", f.Case, f.Detail, f.Rule, f.Why)
	if len(f.Transcript) > 0 {
		fmt.Fprintf(&b, "\nwhat happened:\n  %s", strings.Join(f.Transcript, "\n  "))
	}
	return b.String()
}

// Skip is a case that could not run on a harness.
type Skip struct {
	Case, Reason string
}

// String returns the skip as one line.
func (s Skip) String() string { return "NOT CHECKED: " + s.Case + ": " + s.Reason }

// Check runs every case, one after the other, each on a harness of its own
// from open. The context is passed to the store. A panic in the store is not
// contained.
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
