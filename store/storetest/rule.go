package storetest

import (
	"context"
	"slices"
	"strings"
)

// rule is one named case of the suite.
type rule struct {
	name  string
	rule  string
	why   string
	needs capability
	check func(*check)
}

// rules returns all cases in the order in which they run.
func rules() []rule {
	return slices.Concat(
		claimRules(), fingerprintRules(), takeOverRules(), lateClaimRules(),
		renewRules(), batchRules(), markRules(),
		completeRules(), failRules(), releaseRules(), voidRules(), settleRules(),
		adoptionRules(), voidAdoptionRules(),
		timeRules(), clockRules(), answerRules(), largeAnswerRules(),
		lookupRules(), callRules(), raceRules(), differentialRules(),
	)
}

// run executes the case and returns its failure, or nil.
func (r rule) run(ctx context.Context, h Harness) *Failure {
	c := newCheck(ctx, h)
	c.perform(r.check)
	if len(c.findings) == 0 {
		return nil
	}
	return &Failure{
		Case:       r.name,
		Rule:       r.rule,
		Why:        r.why,
		Detail:     strings.Join(c.findings, "\n"),
		Transcript: c.transcript,
	}
}

// capability is what a case needs a harness to be able to do.
type capability uint8

const (
	movesClock capability = 1 << iota
	rewindsClock
	forgetsRecords
)

// missing returns why the harness cannot run a case that needs so much.
func (need capability) missing(h Harness) string {
	var reasons []string
	if need&movesClock != 0 && h.Advance == nil {
		reasons = append(reasons, "it lets hours pass and Harness.Advance is nil")
	}
	if need&rewindsClock != 0 && h.Rewind == nil {
		reasons = append(reasons, "it sets the clock back and Harness.Rewind is nil")
	}
	if need&forgetsRecords != 0 && h.Forget == nil {
		reasons = append(reasons, "it makes the store lose a record and Harness.Forget is nil")
	}
	return strings.Join(reasons, "; ")
}
