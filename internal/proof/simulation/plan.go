package simulation

import (
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// plan is what a seed says about a world before anything happens in it.
type plan struct {
	clients, keys, calls int

	orphan   idempotency.Orphan
	attached bool

	lease, maxHold, storeTimeout time.Duration

	// intensity is the share of store calls that meet with a fault.
	intensity float64
	// horizon is when the faults that come by themselves have come.
	horizon  time.Duration
	clocks   int // jumps of the store's clock
	forgets  int // losses of records
	settles  int // visits of an operator
	shutdown bool

	// wait is how long duplicates wait; 0 for not at all. A burst is how many
	// requests for one key a client sends side by side.
	wait       time.Duration
	maxWaiters int
	burst      int
}

func draw(rng dice) plan {
	p := plan{
		clients:   2 + rng.IntN(4),
		keys:      1 + rng.IntN(2),
		calls:     1 + rng.IntN(5),
		attached:  rng.IntN(5) == 0,
		lease:     time.Duration(100+50*rng.IntN(4)) * time.Millisecond,
		intensity: [...]float64{0.05, 0.15, 0.30, 0.45}[rng.IntN(4)],
		shutdown:  rng.IntN(5) == 0,
	}
	p.maxHold = p.lease * time.Duration(2+rng.IntN(5))
	p.storeTimeout = p.lease/8 + time.Duration(rng.Int64N(int64(p.lease/3)))
	p.horizon = 6 * p.lease
	switch n := rng.IntN(20); {
	case n < 7:
		p.orphan = idempotency.OrphanRefuse
	case n < 15:
		p.orphan = idempotency.OrphanRerunUnmarked
	default:
		p.orphan = idempotency.OrphanRerun
	}
	if rng.IntN(5) == 0 {
		p.clocks = 1 + rng.IntN(2)
	}
	if rng.IntN(8) == 0 {
		p.forgets = 1 + rng.IntN(2)
	}
	if rng.IntN(3) == 0 {
		p.settles = 2 + rng.IntN(3)
	}
	p.burst = 1
	if rng.IntN(3) == 0 {
		p.wait = p.lease/2 + time.Duration(rng.Int64N(int64(6*p.lease)))
		p.burst = 1 + rng.IntN(4)
		p.maxWaiters = [...]int{1, 2, 100}[rng.IntN(3)]
	}
	return p
}

func (p *plan) policy(orphan idempotency.Orphan) idempotency.Policy {
	policy := idempotency.Policy{
		Orphan:    orphan,
		Lease:     p.lease,
		MaxHold:   p.maxHold,
		Retention: 24 * time.Hour,
	}
	if p.wait > 0 {
		policy.Wait, policy.MaxWaiters = p.wait, p.maxWaiters
	}
	if p.attached {
		policy.Caller = idempotency.CallerAttached
	}
	return policy
}
