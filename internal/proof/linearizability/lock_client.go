package linearizability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
	"github.com/reprise-go/reprise/store"
)

// lockClient calls a backend: as an owner that does all as it should, and as one
// that was paused, gave up, or comes back.
type lockClient struct {
	*lockRun
	backend lock.Backend
	number  int
	rng     *rand.Rand
	holding map[*lockHistory]*lockHolding
}

// lockHolding is what a client knows of a lock.
type lockHolding struct {
	owner    lock.Owner
	lease    time.Duration
	acquired bool
	last     lockVerb // the latest call, if it had no answer
}

func (c *lockClient) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		h := c.next(c.rng.IntN(recordsAtOnce))
		if h == nil {
			return nil
		}
		c.begin()
		if err := c.act(ctx, h); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (c *lockClient) act(ctx context.Context, h *lockHistory) error {
	know := c.holding[h]
	if know == nil {
		know = &lockHolding{}
		c.holding[h] = know
	}
	short, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	switch verb := c.choose(know); verb {
	case acquires:
		return c.acquire(short, h, know)
	case renews:
		return c.renew(short, h, know)
	case releases:
		return c.release(short, h, know)
	default:
		return c.look(short, h)
	}
}

// choose draws what to call.
func (c *lockClient) choose(know *lockHolding) lockVerb {
	n := c.rng.IntN(24)
	switch {
	case n < 2 && c.Look != nil:
		return looks
	case know.last != 0 && c.rng.IntN(3) > 0:
		return know.last // the same again, after an error
	case know.owner == lock.Owner{}, !know.acquired && n < 14, n < 4:
		return acquires
	case n < 12:
		return renews
	}
	return releases
}

func (c *lockClient) acquire(ctx context.Context, h *lockHistory, know *lockHolding) error {
	// Now and then the owner asks again: its first packet was late.
	if know.owner == (lock.Owner{}) || know.last != acquires && c.rng.IntN(4) > 0 {
		*know = lockHolding{owner: lock.NewOwner(), lease: c.drawLease()}
	}
	claim := lock.Claim{Owner: know.owner, Lease: know.lease, Wait: c.rng.IntN(4) == 0}
	return c.call(h, know, acquires, func() (lockAnswer, error) {
		reply, err := c.backend.Acquire(ctx, h.id, claim)
		know.acquired = err == nil && reply.Verdict == lock.Acquired
		return lockAnswer{reply: reply}, err
	})
}

func (c *lockClient) drawLease() time.Duration {
	return c.Lease/2 + time.Duration(c.rng.Int64N(int64(c.Lease))).Truncate(time.Millisecond)
}

// renew renews a lease as it is, or extends it.
func (c *lockClient) renew(ctx context.Context, h *lockHistory, know *lockHolding) error {
	if know.last != renews && c.rng.IntN(4) == 0 {
		know.lease = c.drawLease() + c.Lease/2
	}
	return c.call(h, know, renews, func() (lockAnswer, error) {
		result := c.backend.Renew(ctx, []lock.Renewal{{ID: h.id, Owner: know.owner, Lease: know.lease}})[0]
		if result.Err == nil && result.Lost {
			know.acquired = false
		}
		return lockAnswer{done: !result.Lost}, result.Err
	})
}

func (c *lockClient) release(ctx context.Context, h *lockHistory, know *lockHolding) error {
	return c.call(h, know, releases, func() (lockAnswer, error) {
		kept, err := c.backend.Release(ctx, h.id, know.owner)
		know.acquired = know.acquired && err != nil
		return lockAnswer{done: kept}, err
	})
}

func (c *lockClient) look(ctx context.Context, h *lockHistory) error {
	began, from := c.clock.now(), c.Clock()
	seen, err := c.Look(ctx, h.id)
	if err != nil {
		c.unsent()
		return nil //nolint:nilerr // it happens on a bad line, and tells nothing
	}
	call := lockCall{verb: looks, when: moment{from, c.Clock()}}
	h.answer(c.number, began, c.clock.now(), call, lockAnswer{seen: seen})
	return nil
}

// call makes a call in the name of an owner and notes what came of it.
func (c *lockClient) call(
	h *lockHistory, know *lockHolding, verb lockVerb, send func() (lockAnswer, error),
) error {
	call := lockCall{verb: verb, owner: know.owner, lease: store.Instant(know.lease.Microseconds())}
	began := c.clock.now()
	call.when.least = c.Clock() - rounding
	answer, err := send()
	call.when.most = c.Clock() + rounding
	switch {
	case errors.Is(err, redislock.ErrUnreadable):
		return fmt.Errorf("%v: %w", verb, err)
	case errors.Is(err, lock.ErrNotExecuted):
		c.unsent()
	case err != nil:
		h.silence(c.number, began, call)
		know.last = verb
	default:
		h.answer(c.number, began, c.clock.now(), call, answer)
		know.last = 0
	}
	return nil
}
