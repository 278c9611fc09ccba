package bubble

import (
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// plan is what a seed says about a scenario before anything happens in it.
type plan struct {
	slots   int // places where a process runs; one that died is replaced
	clients int
	calls   int // of each client
	keys    int

	orphan                       idempotency.Orphan
	lease, maxHold, storeTimeout time.Duration
	wait                         time.Duration
	// retries is how often go-redis sends a command again by itself.
	retries int

	// intensity is the share of packets that meet with a fault.
	intensity  float64
	partitions int
	drains     int
	horizon    time.Duration // when those have come
}

func draw(rng dice) plan {
	p := plan{
		slots:     2 + rng.IntN(2),
		clients:   2 + rng.IntN(2),
		calls:     2 + rng.IntN(4),
		keys:      1 + rng.IntN(2),
		orphan:    idempotency.OrphanRefuse,
		lease:     time.Duration(100+50*rng.IntN(4)) * time.Millisecond,
		wait:      idempotency.NoWait,
		retries:   -1,
		intensity: [...]float64{0, 0.10, 0.25, 0.45}[rng.IntN(4)],
	}
	p.maxHold = p.lease * time.Duration(2+rng.IntN(5))
	p.storeTimeout = p.lease/8 + rng.between(0, p.lease/3)
	p.horizon = 8 * p.lease
	if rng.IntN(2) == 0 {
		p.orphan = idempotency.OrphanRerunUnmarked
	}
	if rng.IntN(2) == 0 {
		p.wait = rng.between(p.lease/2, 4*p.lease)
	}
	if rng.IntN(2) == 0 {
		p.retries = 1 + rng.IntN(3)
	}
	if p.intensity > 0 {
		p.partitions = rng.IntN(3)
		p.drains = max(0, rng.IntN(5)-3)
	}
	return p
}

func (p *plan) policy(orphan idempotency.Orphan) idempotency.Policy {
	return idempotency.Policy{
		Orphan:    orphan,
		Lease:     p.lease,
		MaxHold:   p.maxHold,
		Wait:      p.wait,
		Retention: 24 * time.Hour,
	}
}
