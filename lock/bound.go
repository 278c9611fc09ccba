package lock

import (
	"context"
	"sync/atomic"
	"time"
)

// sharing is which part of the call timeout calls may begin apart and still end
// together.
const sharing = 32

// bounds gives calls of the backend their time limit. A context with a timer for
// each would cost as much as the rest of the locker. So calls that begin close
// together share one, and none gets more than the call timeout, or less than 31
// parts in 32 of it.
type bounds struct {
	limit  time.Duration
	latest atomic.Pointer[bound]
}

// bound is a context that many calls share. It ends by itself, and nothing else
// ends it while calls are under way.
type bound struct {
	context.Context //nolint:containedctx // it is one

	began  time.Time
	cancel context.CancelFunc // called by nobody: some call may be under way until it ends
}

// detached returns a context with the values of ctx, bounded by the call timeout
// from now alone.
func (bs *bounds) detached(ctx context.Context, now time.Time) context.Context {
	b := bs.latest.Load()
	if b == nil || now.Before(b.began) || now.Sub(b.began) > bs.limit/sharing {
		b = &bound{began: now}
		b.Context, b.cancel = context.WithDeadline(context.Background(), now.Add(bs.limit))
		bs.latest.Store(b)
	}
	return bounded{Context: b, values: ctx}
}

// bounded ends with a bound and has the values of another context.
type bounded struct {
	context.Context //nolint:containedctx // it is one

	values context.Context //nolint:containedctx // it is part of a context
}

// Value asks the bound first: it knows only what package context asks of it, to
// find out which context ends this one.
func (b bounded) Value(key any) any {
	if v := b.Context.Value(key); v != nil {
		return v
	}
	return b.values.Value(key)
}
