package idempotency

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// Info tells a handler about the attempt that it is.
type Info struct {
	// Operation is the operation's name.
	Operation string
	// OperationID identifies scope, operation and key: the same for every
	// attempt and every duplicate, and not reversible. For the idempotency key of
	// a downstream service see [Info.DownstreamKey].
	OperationID string
	// Attempt counts the starts of the operation, from 1.
	Attempt int
	// Token is the fencing token: larger at each start. Hand it to what the
	// handler writes to, and refuse smaller ones there.
	Token int64
	// TookOver says that the attempt before this one ended with an unknown
	// outcome.
	TookOver bool
}

// DownstreamKey returns an idempotency key for a call that the handler makes to
// another service: the same for every attempt and every duplicate of this
// operation, another one for each name (of the service, or of the call, where
// there are several), not reversible, and in the form of a UUID, version 8.
func (i Info) DownstreamKey(name string) string {
	mac := hmac.New(sha256.New, []byte(i.OperationID))
	_, _ = mac.Write([]byte(name)) // a hash takes everything
	sum := mac.Sum(nil)
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

type attemptKey struct{}

func attemptFrom(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// InAttempt reports whether [FromContext] would find something, and costs no
// allocation.
func InAttempt(ctx context.Context) bool {
	a := attemptFrom(ctx)
	return a != nil && !a.shadowed
}

// FromContext returns what a handler may know of its attempt. False outside a
// protected attempt, which one under [KeyShadow] is not to its handler: a duplicate
// of it would have none of this. No round trip.
func FromContext(ctx context.Context) (Info, bool) {
	if !InAttempt(ctx) {
		return Info{}, false
	}
	return attemptFrom(ctx).info(), true
}

// MarkEffect records that the handler is about to do something that cannot be
// undone. Call it right before, and do not go on if it fails: call [Release],
// since nothing happened, and answer with an error. A crash before it
// may be run again under [OrphanRerunUnmarked]; a crash after it is an unknown
// outcome.
//
// It is also the gate for a handler that was paused: an attempt which no longer
// holds its lease gets [ErrLeaseLost]; a store that cannot say gives
// [ErrStoreUnavailable]; a context that has ended, its cause.
//
// One round trip, none if the attempt is marked already. Outside a protected
// attempt it does nothing and returns nil, so that a handler reads the same on
// an unprotected route. Under [KeyShadow] it returns nil, too.
func MarkEffect(ctx context.Context) error {
	a := attemptFrom(ctx)
	if a == nil {
		return nil
	}
	return a.mark(ctx)
}

// Release says that nothing final happened in this attempt, whatever the answer
// looks like: it is sent, not recorded, and a retry may run. It holds even after
// [MarkEffect] and after the context ended, so say it only when it is true.
// Outside a protected attempt it does nothing. No round trip of its own.
func Release(ctx context.Context) {
	if a := attemptFrom(ctx); a != nil {
		a.wish(func(w *wishes) { w.release = true })
	}
}

// DoNotRecord says that the answer is not to be recorded. The attempt ends as
// if its status were not a recorded one: released, or unknown when an effect
// was marked or the context had ended. Outside a protected attempt it does
// nothing. No round trip of its own.
func DoNotRecord(ctx context.Context) {
	if a := attemptFrom(ctx); a != nil {
		a.wish(func(w *wishes) { w.doNotRecord = true })
	}
}

// OmitBody says that the answer is recorded without its body, because that is
// secret: duplicates get [ErrResultUnavailable] with what the transport keeps
// beside a body. Outside a protected attempt it does nothing. No round trip of
// its own.
func OmitBody(ctx context.Context) {
	if a := attemptFrom(ctx); a != nil {
		a.wish(func(w *wishes) { w.omitBody = true })
	}
}

// RetainFor sets how long this answer is replayed, within the policy's
// MinRetention and 30 days; anything else is an error and changes nothing
// (under [KeyShadow] it is no error).
// Outside a protected attempt it does nothing. No round trip of its own.
func RetainFor(ctx context.Context, retention time.Duration) error {
	a := attemptFrom(ctx)
	if a == nil {
		return nil
	}
	least := a.policy.shortestRetention()
	allowed := retention >= least && retention <= maxRetention
	if !allowed && a.shadowed {
		return nil
	}
	if !allowed {
		return fmt.Errorf("idempotency: retention %v is not within %v (the policy's MinRetention) and %v",
			retention, least, maxRetention)
	}
	a.wish(func(w *wishes) { w.retention = retention })
	return nil
}

var errEnded = errors.New("the attempt has ended")
