package memlock

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/reprise-go/reprise/lock"
)

// trace is how long an ended hold is remembered, for its token and its owner.
const trace = 10 * time.Second

// formers is how many of those who released a lock it remembers while others have it.
const formers = 2

// sweepSize is how many records a claim looks at to free those that are over.
const sweepSize = 4

// Backend is a [lock.Backend] in memory, and a [lock.Notifier]. All methods may
// be called concurrently. It takes about 200 bytes for each lock that is held or
// was held in the last ten seconds, and has no other bound: what is over is freed
// by later claims.
type Backend struct {
	began time.Time
	// origin is the time of the wall clock at that moment, so that tokens go on
	// growing when a process is started again.
	origin int64

	mu      sync.Mutex
	records map[lock.ID]record
	watches map[lock.ID]map[*watch]struct{}
}

var (
	_ lock.Backend  = (*Backend)(nil)
	_ lock.Notifier = (*Backend)(nil)
)

// record is a hold or the trace of one.
type record struct {
	owner lock.Owner
	token lock.Token
	// end is when the lease is over, and of a trace when it may be forgotten.
	end   time.Duration
	ended bool
	// held says of a trace that the hold was ended by its release.
	held bool
	// former are the last who held the lock up to their release, the latest first.
	former [formers]lock.Owner
}

// New returns a backend without any locks.
func New() *Backend {
	now := time.Now()
	return &Backend{
		began:   now,
		origin:  now.UnixMicro(),
		records: make(map[lock.ID]record),
		watches: make(map[lock.ID]map[*watch]struct{}),
	}
}

// Acquire implements [lock.Backend].
func (b *Backend) Acquire(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
	if ctx.Err() != nil {
		return lock.Reply{}, fmt.Errorf("memlock: %w: %w", lock.ErrNotExecuted, context.Cause(ctx))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Since(b.began)
	b.sweep(now)
	r, known := b.records[id]
	switch {
	case known && r.owner == claim.Owner && r.ended, r.released(claim.Owner):
		return lock.Reply{Verdict: lock.Ended}, nil
	case known && r.owner != claim.Owner && r.holds(now):
		return lock.Reply{Verdict: lock.Held, Left: r.end - now}, nil
	case !known || r.owner != claim.Owner:
		r = record{
			owner: claim.Owner, token: max(lock.Token(b.origin+now.Microseconds()), r.token+1), former: r.formers(),
		}
	}
	r.end = now + claim.Lease
	b.records[id] = r
	return lock.Reply{Verdict: lock.Acquired, Token: r.token}, nil
}

// Renew implements [lock.Backend].
func (b *Backend) Renew(ctx context.Context, renewals []lock.Renewal) []lock.RenewResult {
	results := make([]lock.RenewResult, len(renewals))
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Since(b.began)
	for i, renewal := range renewals {
		if ctx.Err() != nil {
			results[i].Err = fmt.Errorf("memlock: %w: %w", lock.ErrNotExecuted, context.Cause(ctx))
			continue
		}
		r := b.records[renewal.ID]
		if r.owner != renewal.Owner || !r.holds(now) {
			results[i].Lost = true
			continue
		}
		r.end = now + renewal.Lease
		b.records[renewal.ID] = r
	}
	return results
}

// Release implements [lock.Backend].
func (b *Backend) Release(ctx context.Context, id lock.ID, owner lock.Owner) (held bool, err error) {
	if ctx.Err() != nil {
		return false, fmt.Errorf("memlock: %w: %w", lock.ErrNotExecuted, context.Cause(ctx))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Since(b.began)
	r, known := b.records[id]
	mine := known && r.owner == owner
	if mine && r.ended {
		return r.held, nil
	}
	if r.released(owner) {
		return true, nil
	}
	if !mine && r.holds(now) {
		return false, nil
	}
	held = mine && r.holds(now)
	b.records[id] = record{
		owner: owner, token: max(r.token, lock.Token(b.origin+now.Microseconds())), end: now + trace, ended: true, held: held,
		former: r.formers(),
	}
	b.tell(id)
	return held, nil
}

func (r record) holds(now time.Duration) bool { return !r.ended && now < r.end }

// released reports an owner who held the lock up to its release, before others did.
func (r record) released(owner lock.Owner) bool {
	return owner != lock.Owner{} && slices.Contains(r.former[:], owner)
}

// formers returns the former owners for the record that takes this one's place.
func (r record) formers() [formers]lock.Owner {
	if !r.ended || !r.held {
		return r.former
	}
	later := [formers]lock.Owner{r.owner}
	copy(later[1:], r.former[:])
	return later
}

// sweep frees some of what is over. A lease that lapsed leaves a trace, too.
func (b *Backend) sweep(now time.Duration) {
	seen := 0
	for id, r := range b.records {
		over := r.end
		if !r.ended {
			over += trace
		}
		if now >= over {
			delete(b.records, id)
		}
		if seen++; seen == sweepSize {
			return
		}
	}
}
