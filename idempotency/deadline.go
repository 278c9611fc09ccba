package idempotency

import (
	"context"
	"sync/atomic"
	"time"
)

// deadlines gives out contexts that bound calls to the store. Calls that begin
// within a short time of each other have one timer together, which may end
// each of them that much too early, and never too late: a timer for every call
// costs as much as a call to a store in memory.
type deadlines struct {
	limit  time.Duration
	latest atomic.Pointer[deadline]
}

// shared is the part of the limit by which a call may be cut short.
const shared = 16

// deadline is a context that ends at a time, for all calls that began since a time.
type deadline struct {
	context.Context                    //nolint:containedctx // it is one
	cancel          context.CancelFunc // not called: there may be calls under way, and its timer ends it soon
	began           time.Time
}

// callContext has the values of one context, and ends with another.
type callContext struct {
	context.Context                 //nolint:containedctx // it is one: the deadline's, and
	values          context.Context //nolint:containedctx // another's values
}

// Value implements [context.Context].
func (c callContext) Value(key any) any {
	// The deadline's own first: package context looks for what it cancels by.
	if own := c.Context.Value(key); own != nil {
		return own
	}
	return c.values.Value(key)
}

// within returns a context with the values of ctx that lasts for the limit, at
// least 15/16 of it, whatever ends ctx.
func (d *deadlines) within(ctx context.Context) callContext {
	now := time.Now()
	latest := d.latest.Load()
	if latest == nil || now.Sub(latest.began) > d.limit/shared {
		latest = d.begin(now)
	}
	return callContext{Context: latest.Context, values: ctx}
}

func (d *deadlines) begin(now time.Time) *deadline {
	ends, cancel := context.WithDeadline(context.Background(), now.Add(d.limit))
	latest := &deadline{Context: ends, cancel: cancel, began: now}
	d.latest.Store(latest)
	return latest
}
