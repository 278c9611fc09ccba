package locktest_test

import (
	"context"
	"sync"
	"time"

	"github.com/reprise-go/reprise/lock"
)

func faults() []fault {
	return append(claimFaults(), otherFaults()...)
}

// onReply changes what a claim is told.
func onReply(change func(claim lock.Claim, reply *lock.Reply)) func(*broken) {
	return func(b *broken) {
		b.acquire = func(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
			reply, err := b.Backend.Acquire(ctx, id, claim)
			change(claim, &reply)
			return reply, err
		}
	}
}

func claimFaults() []fault {
	return []fault{
		{"claim not idempotent per owner", onReply(oncePerOwner()), []string{"claim/own again"}},
		{"a new token for the same hold", onReply(countingTokens()), []string{"claim/own again"}},
		{"token starts again", onReply(func(_ lock.Claim, r *lock.Reply) { r.Token = min(r.Token, 1) }), []string{"token/grows"}},
		{"more left than the lease", onReply(func(_ lock.Claim, r *lock.Reply) { r.Left *= 3 }), []string{"claim/held"}},
		{"nobody gets in", onReply(func(_ lock.Claim, r *lock.Reply) { r.Verdict = lock.Held }), []string{"claim/free"}},
		{"everybody gets in", onReply(func(_ lock.Claim, r *lock.Reply) { r.Verdict = lock.Acquired }), []string{
			"claim/held", "claim/one wins", "claim/after a lapse", "release/not the owner", "locker/one at a time",
		}},
		{"late claims take the lock", func(b *broken) {
			b.acquire = func(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
				reply, err := b.Backend.Acquire(ctx, id, claim)
				if reply.Verdict == lock.Ended {
					claim.Owner = lock.NewOwner()
					return b.Backend.Acquire(ctx, id, claim)
				}
				return reply, err
			}
		}, []string{"claim/late"}},
		{"leases never lapse", func(b *broken) {
			b.acquire = func(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
				claim.Lease = 24 * time.Hour
				return b.Backend.Acquire(ctx, id, claim)
			}
		}, []string{"claim/after a lapse", "renew/never takes", "release/lapsed"}},
		{"looks first and takes then", func(b *broken) {
			var mu sync.Mutex
			holder := make(map[lock.ID]bool)
			b.acquire = func(_ context.Context, id lock.ID, _ lock.Claim) (lock.Reply, error) {
				mu.Lock()
				taken := holder[id]
				mu.Unlock()
				if taken {
					return lock.Reply{Verdict: lock.Held}, nil
				}
				time.Sleep(time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				holder[id] = true
				return lock.Reply{Verdict: lock.Acquired, Token: 1}, nil
			}
		}, []string{"claim/one wins"}},
		{"ended contexts are ignored", func(b *broken) {
			b.acquire = func(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
				return b.Backend.Acquire(context.WithoutCancel(ctx), id, claim)
			}
		}, []string{"call/ended context"}},
	}
}

func oncePerOwner() func(lock.Claim, *lock.Reply) {
	var mu sync.Mutex
	seen := make(map[lock.Owner]bool)
	return func(claim lock.Claim, r *lock.Reply) {
		mu.Lock()
		defer mu.Unlock()
		if seen[claim.Owner] {
			r.Verdict = lock.Held
		}
		seen[claim.Owner] = true
	}
}

func countingTokens() func(lock.Claim, *lock.Reply) {
	var mu sync.Mutex
	count := lock.Token(0)
	return func(_ lock.Claim, r *lock.Reply) {
		mu.Lock()
		defer mu.Unlock()
		count++
		r.Token = count
	}
}

func otherFaults() []fault {
	return []fault{
		{"renewals do nothing", func(b *broken) {
			b.renew = func(_ context.Context, renewals []lock.Renewal) []lock.RenewResult {
				return make([]lock.RenewResult, len(renewals))
			}
		}, []string{"renew/keeps the lock", "renew/never takes", "renew/many", "call/ended context"}},
		{"renewals take what is free", func(b *broken) {
			b.renew = func(ctx context.Context, renewals []lock.Renewal) []lock.RenewResult {
				results := b.Backend.Renew(ctx, renewals)
				for i, r := range renewals {
					reply, _ := b.Backend.Acquire(ctx, r.ID, lock.Claim{Owner: r.Owner, Lease: r.Lease})
					results[i].Lost = reply.Verdict != lock.Acquired
				}
				return results
			}
		}, []string{"renew/never takes", "renew/many"}},
		{"renewals are all told what the first is", func(b *broken) {
			b.renew = func(ctx context.Context, renewals []lock.Renewal) []lock.RenewResult {
				results := b.Backend.Renew(ctx, renewals)
				for i := range results {
					results[i] = results[0]
				}
				return results
			}
		}, []string{"renew/many"}},
		{"renewals shorten", func(b *broken) {
			b.renew = func(ctx context.Context, renewals []lock.Renewal) []lock.RenewResult {
				for i := range renewals {
					renewals[i].Lease /= 1000
				}
				return b.Backend.Renew(ctx, renewals)
			}
		}, []string{"renew/keeps the lock", "locker/keeps its lease"}},
		{"no owner check on release", func(b *broken) {
			last := make(map[lock.ID]lock.Owner)
			b.acquire = func(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
				reply, err := b.Backend.Acquire(ctx, id, claim)
				if reply.Verdict == lock.Acquired {
					last[id] = claim.Owner
				}
				return reply, err
			}
			b.release = func(ctx context.Context, id lock.ID, _ lock.Owner) (bool, error) {
				return b.Backend.Release(ctx, id, last[id])
			}
		}, []string{"release/not the owner", "release/frees", "claim/late", "claim/after a lapse"}},
		{"the successor's claim hides the release", func(b *broken) {
			last := make(map[lock.ID]lock.Owner)
			b.acquire = func(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
				reply, err := b.Backend.Acquire(ctx, id, claim)
				if reply.Verdict == lock.Acquired {
					last[id] = claim.Owner
				}
				return reply, err
			}
			b.release = func(ctx context.Context, id lock.ID, owner lock.Owner) (bool, error) {
				held, err := b.Backend.Release(ctx, id, owner)
				return held && last[id] == owner, err
			}
		}, []string{"release/again after a successor"}},
		{"a lost lock was released all the same", func(b *broken) {
			b.release = func(ctx context.Context, id lock.ID, owner lock.Owner) (bool, error) {
				_, err := b.Backend.Release(ctx, id, owner)
				return true, err
			}
		}, []string{"release/again after a successor", "release/lapsed", "release/not the owner"}},
		{"releases do nothing", func(b *broken) {
			b.release = func(context.Context, lock.ID, lock.Owner) (bool, error) { return true, nil }
		}, []string{"release/frees", "release/lapsed", "claim/late"}},
		{"releases are not told", func(b *broken) {
			b.watch = func(lock.ID) lock.Watch { return deaf{begun()} }
		}, []string{"watch/release", "watch/release of a waiter's own"}},
		{"watches begin without a signal", func(b *broken) {
			b.watch = func(lock.ID) lock.Watch { return deaf{} }
		}, []string{"watch/begins"}},
		{"closed watches go on", func(b *broken) {
			b.watch = func(id lock.ID) lock.Watch { return open{b.Backend.Watch(id)} }
		}, []string{"watch/closed"}},
	}
}

func begun() chan struct{} {
	signals := make(chan struct{}, 1)
	signals <- struct{}{}
	return signals
}

// deaf is a watch without signals of its own.
type deaf struct{ signals chan struct{} }

func (d deaf) Signals() <-chan struct{} { return d.signals }
func (d deaf) Close()                   {}

// open is a watch that is never closed.
type open struct{ lock.Watch }

func (open) Close() {}
