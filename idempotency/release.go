package idempotency

import (
	"context"
	"log/slog"
	"time"

	"github.com/reprise-go/reprise/store"
)

// attemptOf is the attempt that a claim started, or would have started.
func attemptOf(claim store.Claim, reply store.Reply) store.Attempt {
	return store.Attempt{
		Owner:       claim.Owner,
		Token:       reply.Token,
		Number:      reply.Attempt,
		Lease:       claim.Lease,
		Fingerprint: claim.Fingerprint,
		Scope:       claim.Scope,
		Operation:   claim.Operation,
		Started:     reply.Started,
		Retention:   claim.Retention,
	}
}

// releaseUnanswered releases, in the background, a claim that may have been
// executed or may be executed later, so that nothing is left behind as running
// that never started.
func (g *Guard) releaseUnanswered(id store.ID, claim store.Claim) {
	now := time.Now()
	g.releases.add(&pending{
		id:       id,
		event:    store.Release{Attempt: attemptOf(claim, store.Reply{}), Void: true},
		until:    now.Add(max(releaseFor, claim.Lease)),
		patience: now.Add(claim.Lease),
		done:     g.endedLate(claim.Operation, id, slog.LevelDebug),
	}, now.Add(firstRetry))
}

// releaseUnused gives back a claim that was won and that nobody wants any more;
// what the store does not take at once goes on in the background. Another claim
// of the same owner may still be on its way.
func (g *Guard) releaseUnused(id store.ID, claim store.Claim, won told) {
	claim.Owner = won.owner
	if won.unclear {
		defer g.releaseUnanswered(id, claim)
	}
	event := store.Release{Attempt: attemptOf(claim, won.reply), Void: true}
	if _, err := g.apply(context.Background(), id, event); err == nil {
		return
	}
	now := time.Now()
	g.releases.add(&pending{
		id:    id,
		event: event,
		until: now.Add(claim.Lease),
		done:  g.endedLate(claim.Operation, id, slog.LevelWarn),
	}, now.Add(firstRetry))
}
