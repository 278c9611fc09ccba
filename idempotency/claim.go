package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/reprise-go/reprise/store"
)

// identify fixes the record's name, the owner and the fingerprint, before the
// first try: the store recognises a repeated claim by its owner.
func (x *execution) identify() error {
	switch {
	case x.call.Scope == "":
		return x.refuse(ErrScopeMissing, 0, nil)
	case x.call.Key == "":
		return x.refuse(ErrKeyMissing, 0, nil)
	}
	x.owner = store.NewOwner()
	x.scope = store.NewScopeDigest(x.call.Scope)
	x.id = x.guard.id(x.call.Scope, x.op.name, x.call.Part, x.call.Key)
	x.bound = x.bind(x.call.Fingerprint)
	return nil
}

// bind adds the operation's name to a fingerprint where the record's identity
// does not hold it.
func (x *execution) bind(bound store.Fingerprint) store.Fingerprint {
	if bound.Algorithm == "" {
		bound.Algorithm = store.NoFingerprint
	}
	if x.guard.opts.strictKeys {
		name := partName(x.op.name, x.call.Part)
		buf := binary.BigEndian.AppendUint64(nil, uint64(len(name)))
		buf = append(buf, name...)
		bound.Sum = sha256.Sum256(append(buf, bound.Sum[:]...))
	}
	return bound
}

// claim asks for the operation, a second time if the record's fingerprint was
// made by another algorithm that is known here.
func (x *execution) claim(ctx context.Context) told {
	t := x.ask(ctx)
	if t.err == nil && t.reply.Verdict == store.OtherAlgorithm {
		if bound, known := x.handler.FingerprintBy(t.reply.Algorithm); known {
			x.bound = x.bind(bound)
			t = x.ask(ctx)
		}
	}
	if t.err == nil && t.reply.Verdict == store.Claimed {
		x.owner, x.unclear = t.owner, t.unclear // it may have been won for a crowd
	}
	return t
}

func (x *execution) claimEvent(wait bool) store.Claim {
	return store.Claim{
		Owner:       x.owner,
		Fingerprint: x.bound,
		Scope:       x.scope,
		Operation:   x.op.name,
		Lease:       x.policy.Lease,
		Retention:   x.policy.Retention,
		TakeOver:    x.takeOver(),
		Wait:        wait,
	}
}

// takeOver is what a claim may do with an unknown outcome. With a callback that
// finds it out, whatever the mark: the callback comes before the handler.
func (x *execution) takeOver() store.TakeOver {
	switch {
	case x.op.reconcile != nil && x.shadowed:
		return store.TakeOverNever // the callback is not asked, so there is nothing to claim for
	case x.op.reconcile != nil:
		return store.TakeOverAlways
	}
	return x.policy.takeOver()
}

// sendClaim asks the store. The lease is counted from before it was asked.
func (x *execution) sendClaim(ctx context.Context, claim store.Claim) told {
	t := told{owner: claim.Owner, sent: time.Now()}
	t.reply, t.err = x.apply(ctx, claim)
	return t
}

func (x *execution) apply(ctx context.Context, event store.Event) (store.Reply, error) {
	began := time.Now()
	defer func() { x.inStore += time.Since(began) }()
	if x.shadowed {
		return x.applyInShadow(ctx, event)
	}
	return x.guard.apply(ctx, x.id, event)
}

// unclaimed handles a claim without an answer.
func (x *execution) unclaimed(ctx context.Context, t told) (Result, error) {
	cause := t.err
	switch {
	case errors.Is(cause, ErrDraining):
		return Result{}, x.refuse(ErrDraining, time.Second, nil)
	case errors.Is(cause, store.ErrUnreadable):
		return Result{}, x.refuse(ErrRecordUnreadable, 0, cause)
	case errors.Is(cause, store.ErrInvalid): // nothing was sent, and the store is not down
		return Result{}, x.refuse(ErrStoreUnavailable, 0, cause)
	case t.owner == x.owner && !errors.Is(cause, store.ErrNotExecuted):
		x.guard.releaseUnanswered(x.id, x.claimEvent(false))
	}
	// Not beside an attempt that is running, nor for a caller that has gone.
	if x.policy.StoreDown != StoreDownOpen || t.busy || ctx.Err() != nil {
		return Result{}, x.refuse(ErrStoreUnavailable, restOf(cause), cause)
	}
	hctx, stop := x.handlerContext(ctx)
	defer stop()
	x.op.warnUnprotected(cause)
	return Result{Outcome: Unprotected, Answer: x.handler.Handle(withoutAttempt(hctx))}, nil
}

// restOf is a second, unless the store knows how long it will refuse.
func restOf(cause error) time.Duration {
	if after, known := store.RetryAfter(cause); known {
		return max(after, time.Second)
	}
	return time.Second
}

// withoutAttempt is for a handler that runs unprotected: it is no attempt, nor is
// it the one that it may be nested in.
func withoutAttempt(ctx context.Context) context.Context {
	return context.WithValue(ctx, attemptKey{}, (*attempt)(nil))
}

// warnUnprotected says, once a minute, that handlers run unprotected.
func (o *Operation) warnUnprotected(cause error) {
	o.warn("idempotency: the store is down and handlers run unprotected, as the policy says", cause)
}

// warnInShadow says, once a minute, what would be an error without a code.
func (o *Operation) warnInShadow(would error) {
	o.warn("idempotency: this call in shadow would be refused", would)
}

func (o *Operation) warn(text string, cause error) {
	now := time.Now().Unix()
	last := o.unprotected.Load()
	if now-last < 60 || !o.unprotected.CompareAndSwap(last, now) {
		return
	}
	o.guard.opts.logger.Warn(text, "operation", o.name, "error", cause)
}
