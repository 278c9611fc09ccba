package locktest

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/lock"
)

// rules returns all cases in the order in which they run.
func rules() []rule {
	return slices.Concat(claimRules(), laterClaimRules(), tokenRules(), renewRules(), releaseRules(), callRules(), watchRules(), lockerRules())
}

func claimRules() []rule {
	return []rule{
		{
			name: "claim/free",
			rule: "a free lock is acquired, and locks do not touch each other",
			why:  "nobody gets in, or holders of different things keep each other out",
			check: func(c *check) {
				for range 3 {
					c.claims(lock.Acquired, long)
					c.fresh()
				}
			},
		},
		{
			name: "claim/held",
			rule: "a held lock is not given to another owner, who is told how much of the lease is left, or zero",
			why:  "two holders at once: the very thing that a lock is there to prevent",
			check: func(c *check) {
				owner, _ := c.claims(lock.Acquired, long)
				for range 2 {
					if left := c.held().Left; left < 0 || left > long {
						c.errorf("claim: %v left of a lease of %v", left, long)
					}
				}
				c.renews(owner, long, false)
			},
		},
		{
			name: "claim/own again",
			rule: "an owner that claims again gets its own lock, with the same token and a whole lease from then",
			why:  "clients send a command again by themselves when a reply got lost: a false \"held\" for whoever holds the lock",
			check: func(c *check) {
				owner, first := c.claims(lock.Acquired, short)
				again := c.want(lock.Acquired, lock.Claim{Owner: owner, Lease: long})
				if again.Token != first.Token {
					c.errorf("claim: token %d the second time, %d the first", again.Token, first.Token)
				}
				c.lapse()
				c.held()
			},
		},
	}
}

func laterClaimRules() []rule {
	return []rule{
		{
			name: "claim/after a lapse",
			rule: "a lock whose lease has lapsed is free, and its old owner has no say in it any more",
			why:  "a crashed holder blocks the lock for ever, or disturbs the next one when it comes back",
			check: func(c *check) {
				old, _ := c.claims(lock.Acquired, short)
				c.lapse()
				next, _ := c.claims(lock.Acquired, long)
				c.renews(old, long, true)
				c.releases(old, false)
				c.want(lock.Held, lock.Claim{Owner: old, Lease: long})
				c.renews(next, long, false)
			},
		},
		{
			name: "claim/late",
			rule: "a claim that arrives after the release of its owner does not take the lock",
			why:  "the caller gave up and released; a request that was still on its way would take the lock for nobody",
			check: func(c *check) {
				owner, _ := c.claims(lock.Acquired, long)
				c.releases(owner, true)
				c.want(lock.Ended, lock.Claim{Owner: owner, Lease: long})
				c.claims(lock.Acquired, long)

				c.fresh()
				never := lock.NewOwner()
				c.releases(never, false)
				c.want(lock.Ended, lock.Claim{Owner: never, Lease: long})
				c.claims(lock.Acquired, long)
			},
		},
		{
			name:  "claim/one wins",
			rule:  "of owners that claim at once at most one gets the lock, and exactly one where no majority has to be won",
			why:   "reading and writing in two steps lets two in",
			check: checkOneWins,
		},
	}
}

func checkOneWins(c *check) {
	for range 20 {
		c.fresh()
		var winners atomic.Int32
		together(16, func(int) {
			reply, err := c.h.Backend.Acquire(c.ctx, c.id, lock.Claim{Owner: lock.NewOwner(), Lease: long})
			if err == nil && reply.Verdict == lock.Acquired {
				winners.Add(1)
			}
		})
		if n := winners.Load(); n > 1 || n == 0 && !c.h.Majority {
			c.fatalf("claim: %d of 16 acquired the lock", n)
		}
	}
}

func tokenRules() []rule {
	return []rule{{
		name: "token/grows", needs: fences,
		rule: "the token of an acquisition is positive and larger than that of any earlier one, after a release and after a lapse",
		why:  "the protected resource would refuse the new holder, or let the old one write over it",
		check: func(c *check) {
			last := lock.Token(0)
			for i := range 6 {
				lease := long
				if i%3 == 2 {
					lease = short
				}
				owner, reply := c.claims(lock.Acquired, lease)
				if reply.Token <= last {
					c.errorf("claim: token %d after %d", reply.Token, last)
				}
				last = reply.Token
				if lease == short {
					c.lapse()
					continue
				}
				c.releases(owner, true)
			}
		},
	}}
}

func renewRules() []rule {
	return []rule{
		{
			name: "renew/keeps the lock",
			rule: "a renewal gives a whole lease from when it is executed",
			why:  "a lock that is renewed lapses, and two hold it",
			check: func(c *check) {
				owner, _ := c.claims(lock.Acquired, short)
				c.renews(owner, long, false)
				c.lapse()
				c.held()
				c.renews(owner, short, false)
				c.lapse()
				c.claims(lock.Acquired, long)
			},
		},
		{
			name: "renew/never takes",
			rule: "a renewal of a lock that is free, lapsed, released or another owner's is answered \"lost\" and changes nothing",
			why:  "a holder that lost its lock would get it back behind the next one's back, and never hear of the loss",
			check: func(c *check) {
				c.renews(lock.NewOwner(), long, true)
				owner, _ := c.claims(lock.Acquired, short)
				c.renews(lock.NewOwner(), long, true)
				c.lapse()
				c.renews(owner, long, true)
				next, _ := c.claims(lock.Acquired, long)
				c.releases(next, true)
				c.renews(next, long, true)
				c.claims(lock.Acquired, long)
			},
		},
		{
			name:  "renew/many",
			rule:  "up to 128 renewals in one call are answered in their order, each for itself",
			why:   "a holder is told that it lost the lock because another one did, or is not told",
			check: checkBatch,
		},
	}
}

func checkBatch(c *check) {
	renewals := make([]lock.Renewal, lock.MaxRenewals)
	for i := range renewals {
		c.fresh()
		renewals[i] = lock.Renewal{ID: c.id, Owner: lock.NewOwner(), Lease: long}
		if i%3 != 0 {
			renewals[i].Owner, _ = c.claims(lock.Acquired, long)
		}
	}
	results := c.h.Backend.Renew(c.ctx, renewals)
	if len(results) != len(renewals) {
		c.fatalf("renew: %d answers to %d renewals", len(results), len(renewals))
	}
	for i, r := range results {
		if r.Err != nil || r.Lost != (i%3 == 0) {
			c.fatalf("renew: answer %d of a batch is %+v, and the lock is held: %v", i, r, i%3 != 0)
		}
	}
	if n := len(c.h.Backend.Renew(c.ctx, nil)); n != 0 {
		c.errorf("renew: %d answers to no renewal", n)
	}
}

func releaseRules() []rule {
	return []rule{
		{
			name: "release/frees",
			rule: "after its release a lock is free, and releasing again says the same and does nothing",
			why:  "the next one waits for the lease of somebody who is done; or the second release frees the lock of the next holder",
			check: func(c *check) {
				owner, _ := c.claims(lock.Acquired, long)
				c.releases(owner, true)
				c.releases(owner, true)
				next, _ := c.claims(lock.Acquired, long)
				c.releases(owner, true)
				c.renews(next, long, false)
			},
		},
		{
			name:  "release/again after a successor",
			rule:  "a release that is repeated after a successor has claimed is still the release, and one that was lost is still lost",
			why:   "clients send a command again by themselves when a reply got lost: a false \"lost\" for whoever released in time",
			check: checkReleaseAgain,
		},
		{
			name: "release/not the owner",
			rule: "a release by another owner leaves the lock as it is and says that it was not held",
			why:  "whoever gave up waiting, or came back from a pause, frees the lock of the one who holds it",
			check: func(c *check) {
				owner, _ := c.claims(lock.Acquired, long)
				c.releases(lock.NewOwner(), false)
				c.renews(owner, long, false)
				c.held()
			},
		},
		{
			name: "release/lapsed",
			rule: "a release after the lease has lapsed says that the lock was not held",
			why:  "the holder believes that it was alone, and was not",
			check: func(c *check) {
				owner, _ := c.claims(lock.Acquired, short)
				c.lapse()
				c.releases(owner, false)
				c.claims(lock.Acquired, long)
			},
		},
	}
}

func checkReleaseAgain(c *check) {
	late, _ := c.claims(lock.Acquired, short)
	c.lapse()
	c.releases(late, false)
	owner, _ := c.claims(lock.Acquired, long)
	c.releases(owner, true)
	next, _ := c.claims(lock.Acquired, long)
	c.releases(owner, true)
	c.releases(late, false)
	c.renews(next, long, false)
	c.held()
	c.releases(next, true)
	c.releases(owner, true)
	c.releases(next, true)
	c.want(lock.Ended, lock.Claim{Owner: owner, Lease: long})
	c.claims(lock.Acquired, long)
}

// settled waits until what a call may have left under way is over.
func (c *check) settled() { time.Sleep(slack) }
