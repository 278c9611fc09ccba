package storetest

import "github.com/reprise-go/reprise/store"

func takeOverRules() []rule {
	return []rule{
		{
			name:  "take-over/never",
			rule:  "with mode never an unknown outcome stays unknown, by fail and by lapse alike, and nothing is written",
			why:   "starting again after a crash may charge a card twice",
			check: takeOverNever,
		},
		{
			name:  "take-over/unmarked",
			rule:  "with mode unmarked an unknown outcome is taken over unless the record is marked",
			why:   "the mark is the only evidence that an effect may have happened",
			check: takeOverUnmarked,
		},
		{
			name:  "take-over/always",
			rule:  "with mode always an unknown outcome is taken over, marked or not, and the reply says so",
			why:   "reconciliation and routes that may run again have no other way in",
			check: takeOverAlways,
		},
		{
			name:  "take-over/starts anew",
			rule:  "a take-over is the next attempt: larger token, attempt plus one, new start, no finish; the first claim's time stays",
			why:   "downstream systems fence off the deposed attempt by the token",
			check: takeOverStartsAnew,
		},
		{
			name:  "take-over/keeps the mark",
			rule:  "an attempt that follows a marked one is marked",
			why:   "if it crashes before it marks, the first attempt's effect must still be suspected",
			check: takeOverKeepsMark,
		},
		{
			name:  "take-over/not before",
			rule:  "a fail with Backoff holds back take-overs of every mode until then, not longer",
			why:   "a reconcile callback that does not know would be asked in a busy loop",
			check: takeOverNotBefore,
		},
		{
			name:  "take-over/deposes the owner",
			rule:  "the owner that was taken over changes nothing any more: renew and mark are lost; complete, fail and release refused",
			why:   "a paused process that wakes up would overwrite its successor's answer",
			check: takeOverDeposes,
		},
	}
}

func takeOverNever(c *check) {
	c.each(unknowns(), func(owner *caller) {
		c.unchanged(func() {
			reply := c.caller("duplicate").claims(store.OutcomeUnknown)
			c.is("Token", reply.Token, owner.token)
			c.is("Attempt", reply.Attempt, 1)
			c.is("Started", reply.Started, owner.started)
			c.is("Marked", reply.Marked, false)
		})
	})
	c.each(marked(), func(*caller) {
		reply := c.caller("duplicate").claims(store.OutcomeUnknown)
		c.is("Marked", reply.Marked, true)
	})
}

func takeOverUnmarked(c *check) {
	c.each(unknowns(), func(*caller) {
		next := c.caller("next")
		next.takeOver = store.TakeOverUnmarked
		reply := next.claims(store.Claimed)
		c.is("TookOver", reply.TookOver, true)
		c.is("Marked", reply.Marked, false)
	})
	c.each(marked(), func(*caller) {
		next := c.caller("next")
		next.takeOver = store.TakeOverUnmarked
		c.unchanged(func() { next.claims(store.OutcomeUnknown) })
	})
}

func takeOverAlways(c *check) {
	c.each(unknowns(), func(*caller) {
		reply := c.stranger().claims(store.Claimed)
		c.is("TookOver", reply.TookOver, true)
		c.is("Marked", reply.Marked, false)
	})
	c.each(marked(), func(*caller) {
		reply := c.stranger().claims(store.Claimed)
		c.is("TookOver", reply.TookOver, true)
		c.is("Marked", reply.Marked, true)
	})
}

// marked are the unknown outcomes in which an effect may have happened.
func marked() []situation {
	return []situation{
		{"unknown by fail and marked", markedFailed},
		{"running, lapsed and marked", markedLapsed},
	}
}

func markedFailed(c *check) *caller {
	owner := running(c)
	owner.marks(store.Done)
	owner.fails(store.Done)
	return owner
}

func markedLapsed(c *check) *caller {
	owner := running(c)
	owner.marks(store.Done)
	owner.lease = short
	owner.renews(store.Done)
	c.lapse()
	return owner
}

func takeOverStartsAnew(c *check) {
	c.each(unknowns(), func(first *caller) {
		c.advance(short)
		next := c.stranger()
		reply := next.claims(store.Claimed)
		if reply.Token <= first.token {
			c.errorf("Token is %d, not more than the first attempt's %d", reply.Token, first.token)
		}
		c.is("Attempt", reply.Attempt, 2)
		c.is("Started", reply.Started, reply.Now)
		c.is("LeaseEnd", reply.LeaseEnd, reply.Now.Add(long))
		rec := c.inState(store.Running)
		c.is("Owner of the record", rec.Owner, next.owner)
		c.is("Created of the record", rec.Created, first.started)
		c.is("Finished of the record", rec.Finished, store.Instant(0))
		c.is("TookOver of the record", rec.TookOver, true)
		next.renews(store.Done)
		next.completes(store.Done, "second")
		c.caller("duplicate").replays("second")
	})
}

func takeOverKeepsMark(c *check) {
	c.each(marked(), func(*caller) {
		second := c.stranger()
		second.claims(store.Claimed)
		c.is("Marked of the record", c.record().Marked, true)
		second.fails(store.Done)
		third := c.caller("third")
		third.takeOver = store.TakeOverUnmarked
		third.claims(store.OutcomeUnknown)
	})
}

func takeOverNotBefore(c *check) {
	owner := running(c)
	fail := owner.fail()
	fail.Backoff = long
	reply := c.expect(owner.name, fail, store.Done)
	c.is("NotBefore of the record", c.record().NotBefore, reply.Now.Add(long))
	c.unchanged(func() {
		c.stranger().claims(store.OutcomeUnknown)
		early := c.caller("unmarked")
		early.takeOver = store.TakeOverUnmarked
		early.claims(store.OutcomeUnknown)
	})

	c.fresh("after a short backoff")
	owner = running(c)
	fail = owner.fail()
	fail.Backoff = short
	c.expect(owner.name, fail, store.Done)
	c.lapse()
	c.stranger().claims(store.Claimed)
	c.is("NotBefore of the record", c.record().NotBefore, store.Instant(0))
}

func takeOverDeposes(c *check) {
	c.each(unknowns(), func(first *caller) {
		next := c.stranger()
		next.claims(store.Claimed)
		c.unchanged(func() {
			first.renews(store.Lost)
			first.marks(store.Lost)
			first.completes(store.Refused, "zombie")
			first.fails(store.Refused)
			first.releases(store.Refused)
			first.voids(store.Refused)
		})
		next.completes(store.Done, "second")
		c.caller("duplicate").replays("second")
	})
}

func lateClaimRules() []rule {
	return []rule{
		{
			name:  "late claim/after the end",
			rule:  "a claim whose owner's attempt was released or failed is answered ended, and changes nothing",
			why:   "a packet that was delayed until its request had given up would hold the operation for a lease, or turn it unknown",
			check: lateClaimEnded,
		},
		{
			name:  "late claim/tombstone",
			rule:  "releasing an absent record is remembered: a claim of that owner is ended, any other starts attempt 1 under a larger token",
			why:   "the release of an unclear claim may overtake the claim itself",
			check: lateClaimTombstone,
		},
		{
			name:  "late claim/tombstone lasts a minute",
			rule:  "a tombstone lives for 60 seconds, not for the retention",
			why:   "long enough for every packet, short enough not to fill the store",
			check: lateClaimTombstoneTTL,
		},
		{
			name:  "late claim/tombstone is forgotten",
			rule:  "after 60 seconds the record of a tombstone is absent",
			why:   "an owner that is drawn once per request does not come back after that",
			needs: movesClock,
			check: lateClaimTombstoneForgotten,
		},
	}
}

func lateClaimEnded(c *check) {
	c.each([]situation{{"released", released}, {"unknown by fail", failed}}, func(owner *caller) {
		for _, mode := range []store.TakeOver{store.TakeOverNever, store.TakeOverUnmarked, store.TakeOverAlways} {
			owner.takeOver = mode
			c.unchanged(func() { owner.claims(store.Ended) })
		}
	})
}

func lateClaimTombstone(c *check) {
	owner := tombstoned(c)
	rec := c.inState(store.Released)
	c.is("Owner of the record", rec.Owner, owner.owner)
	c.is("Attempt of the record", rec.Attempt, 0)
	c.unchanged(func() { owner.claims(store.Ended) })
	next := c.caller("next")
	reply := next.claims(store.Claimed)
	c.is("Attempt", reply.Attempt, 1)
	if reply.Token <= rec.Token {
		c.errorf("Token is %d, not more than the tombstone's %d", reply.Token, rec.Token)
	}
}

func lateClaimTombstoneTTL(c *check) {
	owner := c.caller("owner")
	owner.retention = 48 * long
	reply := owner.releases(store.Done)
	c.expires(reply.Now.Add(store.TombstoneTTL))
}

func lateClaimTombstoneForgotten(c *check) {
	owner := tombstoned(c)
	c.advance(store.TombstoneTTL / 2)
	owner.claims(store.Ended)
	c.advance(store.TombstoneTTL/2 + slack)
	c.inState(store.Absent)
	reply := owner.claims(store.Claimed)
	c.is("Attempt", reply.Attempt, 1)
}
