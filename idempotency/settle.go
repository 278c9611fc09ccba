package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/store"
)

// ErrSettleRefused: the record is not, or no longer, what the decider saw:
// another attempt was started, the outcome is known by now, or the attempt holds
// its lease and Running was not said. Look it up again.
var ErrSettleRefused = errors.New("idempotency: refused: the record is not what the decision was made on")

// Settlement decides what became of an operation whose outcome is unknown.
type Settlement struct {
	// Token is the attempt's, as [Guard.Lookup] showed it: the decision holds for
	// that attempt and no other.
	Token store.Token
	// Either Answer is recorded and replayed from now on; transports have
	// constructors for answers.
	Answer *store.Answer
	// Or Release says that nothing happened: the next request runs. It is asked
	// for in so many words because a wrong one is a second effect.
	Release bool
	// Running settles an attempt that still holds its lease, too. Its handler
	// loses the lease and cannot record an answer; whether it stops is up to it.
	Running bool
	// By and Reason are for the log and [Trace].Settled: who decided, and why.
	// No keys and no personal data, please.
	By, Reason string
}

// Settled describes a decision that was made by [Guard.Settle] or
// [Guard.Purge].
type Settled struct {
	// Operation is the operation's name, ID the first digits of its record's
	// digest.
	Operation, ID string
	Attempt       int
	// From is the state that the record was in.
	From store.State
	// Decision is "complete", "release" or "purge".
	Decision   string
	By, Reason string
}

// Settle records a decision about an unknown outcome: compare-and-set on the
// token. Sent again, the same decision is no error if it releases. The record is
// kept for the operation's retention from now on, and never shorter than before.
// Two round trips.
//
// Errors: [ErrSettleRefused]; [store.ErrInvalid] for an answer that no store
// takes or the operation's transport cannot replay ([Replays]), with the reason, and
// for a settlement with neither or both of Answer and Release; otherwise as
// [Guard.Lookup]. With [ErrStoreUnavailable] the decision may be in effect.
func (g *Guard) Settle(ctx context.Context, id store.ID, s Settlement) error {
	decision := "complete"
	switch {
	case s.Release == (s.Answer != nil):
		return fmt.Errorf("idempotency: %w: a settlement has either an Answer or Release", store.ErrInvalid)
	case s.Release:
		decision = "release"
	}
	return g.settle(ctx, id, decision, s, store.Settle{Answer: s.Answer, Running: s.Running})
}

// Purge erases the recorded answer of an operation, or an unknown outcome: the
// next request with the same fingerprint runs. What stays until the record would
// have expired are digests and numbers, so that a late ending of an earlier
// attempt cannot bring an answer back. A running attempt is not purged.
//
// Round trips and errors as [Guard.Settle].
func (g *Guard) Purge(ctx context.Context, id store.ID, token store.Token, by, reason string) error {
	return g.settle(ctx, id, "purge", Settlement{Token: token, By: by, Reason: reason}, store.Settle{Erase: true})
}

func (g *Guard) settle(ctx context.Context, id store.ID, decision string, s Settlement, event store.Settle) error {
	before, err := g.Lookup(ctx, id)
	if err != nil {
		return err
	}
	if before.State == store.Absent || before.Token != s.Token {
		return ErrSettleRefused
	}
	if op, ok := g.Registered(before.Operation); ok && s.Answer != nil {
		if err := op.takes(*s.Answer); err != nil {
			return err
		}
	}
	if before.State == store.Released && s.Answer == nil {
		return nil // it was decided so, or ended so by itself
	}
	event.Owner, event.Token, event.Retention = store.NewOwner(), s.Token, g.retentionOf(before.Operation)
	reply, err := g.apply(ctx, id, event)
	switch {
	case err != nil:
		return operatorError(id, err)
	case reply.Verdict != store.Done:
		return ErrSettleRefused
	}
	g.settled(ctx, Settled{
		Operation: before.Operation, ID: id.Short(), Attempt: before.Attempt, From: before.State,
		Decision: decision, By: s.By, Reason: s.Reason,
	})
	return nil
}

// retentionOf is the retention of an operation, which need not be registered in
// this process.
func (g *Guard) retentionOf(operation string) time.Duration {
	if op, ok := g.Registered(operation); ok {
		return op.Policy().Retention
	}
	return g.policy.Retention
}

func (g *Guard) settled(ctx context.Context, s Settled) {
	g.countsOf(s.Operation).settled.Add(1)
	g.opts.logger.WarnContext(ctx, "idempotency: an operation was settled by hand",
		"operation", s.Operation, "id", s.ID, "attempt", s.Attempt, "from", s.From.String(),
		"decision", s.Decision, "by", s.By, "reason", s.Reason)
	if hook := g.opts.trace.Settled; hook != nil {
		g.contain("Settled", func() { hook(ctx, s) })
	}
}
