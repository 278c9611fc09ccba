package storetest

import (
	"context"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/store"
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
		completeRules(), failRules(), releaseRules(), voidRules(), settleRules(), eraseRules(),
		adoptionRules(), voidAdoptionRules(),
		timeRules(), clockRules(), answerRules(), largeAnswerRules(),
		lookupRules(), callRules(), raceRules(), differentialRules(),
		watchRules(), manyWatchesRules(), inspectRules(), listRules(),
	)
}

// run executes the case and returns its failure, or nil.
func (r rule) run(ctx context.Context, h Harness) *Failure {
	c := newCheck(ctx, h)
	defer c.closeWatches()
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

// capability is what a case needs a harness, or its store, to be able to do.
type capability uint8

const (
	movesClock capability = 1 << iota
	rewindsClock
	forgetsRecords
	notifies
	inspects
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
	if _, ok := h.Store.(store.Notifier); need&notifies != 0 && !ok {
		reasons = append(reasons, "it waits for notifications and Harness.Store is no store.Notifier")
	}
	if _, ok := h.Store.(store.Inspector); need&inspects != 0 && !ok {
		reasons = append(reasons, "it looks at records and Harness.Store is no store.Inspector")
	}
	return strings.Join(reasons, "; ")
}
