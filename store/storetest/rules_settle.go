package storetest

import (
	"fmt"
	"time"

	"github.com/reprise-go/reprise/store"
)

func settleRules() []rule {
	return []rule{
		{
			name:  "settle/with an answer",
			rule:  "settling an unknown outcome, by fail or by lapse, with an answer records that answer",
			why:   "it is the way out of unknown for people and for reconciliation",
			check: settleAnswer,
		},
		{
			name:  "settle/with a release",
			rule:  "settling an unknown outcome without an answer releases it: the next claim starts the next attempt",
			why:   "somebody found out that nothing happened",
			check: settleRelease,
		},
		{
			name:  "settle/never shortens a life",
			rule:  "a settled record is kept for the retention that the settlement asks for, or as long as it would have been, whichever is longer",
			why:   "as long as the settled attempt could still be adopted its trace has to be there; a decision must not open that door early",
			check: settleLife,
		},
		{
			name:  "settle/compare and set",
			rule:  "a settlement with another token than the record's is refused and changes nothing",
			why:   "the decider looked at an attempt that has been taken over since",
			check: settleToken,
		},
		{
			name:  "settle/running needs the word",
			rule:  "an attempt that holds its lease is settled only with Running",
			why:   "an operator must not end a living request by accident",
			check: settleRunning,
		},
		{
			name:  "settle/deposes the owner",
			rule:  "after a settlement the settled attempt's own owner is refused: complete, fail, renew, mark",
			why:   "it would send its own answer as if it were the recorded one",
			check: settleDeposes,
		},
		{
			name:  "settle/again",
			rule:  "a repeated settlement is done and changes nothing; another decider's answer is refused",
			why:   "a retry after a lost reply is not a second decision",
			check: settleAgain,
		},
		{
			name:  "settle/nothing to settle",
			rule:  "settling an absent, a completed, or (with an answer) a released record is refused and changes nothing",
			why:   "a decision must not invent an operation, nor replace an answer that was given",
			check: settleNothing,
		},
	}
}

func settleAnswer(c *check) {
	c.each(append(unknowns(), marked()...), func(owner *caller) {
		verdict := answer("settled")
		want := c.record()
		event := settle(owner.token, &verdict)
		reply := c.expect("decider", event, store.Done)
		want.State, want.Owner, want.Answer = store.Completed, event.Owner, verdict
		want.Finished = reply.Now
		c.sameRecord("the settled record", c.record(), want)
		c.caller("duplicate").replays("settled")
	})
}

func settleRelease(c *check) {
	c.each(append(unknowns(), marked()...), func(owner *caller) {
		event := settle(owner.token, nil)
		reply := c.expect("decider", event, store.Done)
		rec := c.inState(store.Released)
		c.is("Finished of the record", rec.Finished, reply.Now)
		c.is("Marked of the record", rec.Marked, false)
		next := c.caller("next").claims(store.Claimed)
		c.is("Attempt", next.Attempt, 2)
		if next.Token <= owner.token {
			c.errorf("Token is %d, not more than the settled attempt's %d", next.Token, owner.token)
		}
	})
}

func settleLife(c *check) {
	small, large := answer("settled"), largeAnswer(7)
	for kind, a := range map[string]*store.Answer{"an answer": &small, "a large answer": &large, "a release": nil} {
		for _, retention := range []time.Duration{short, 48 * time.Hour} {
			for _, s := range unknowns() {
				c.fresh(fmt.Sprintf("%s for %v on a record that is %s", kind, retention, s.name))
				owner := s.create(c)
				before := c.record().Expires
				event := settle(owner.token, a)
				event.Retention = retention
				reply := c.expect("decider", event, store.Done)
				c.expires(max(before, reply.Now.Add(retention)))
			}
		}
	}
}

func settleToken(c *check) {
	verdict := answer("settled")
	c.each(unknowns(), func(owner *caller) {
		c.unchanged(func() {
			c.expect("decider", settle(owner.token-1, &verdict), store.Refused)
			c.expect("decider", settle(owner.token+1, nil), store.Refused)
		})
	})
	c.fresh("after a take-over")
	owner := failed(c)
	next := c.stranger()
	next.claims(store.Claimed)
	next.fails(store.Done)
	c.unchanged(func() { c.expect("decider", settle(owner.token, &verdict), store.Refused) })
}

func settleRunning(c *check) {
	verdict := answer("settled")
	owner := running(c)
	c.unchanged(func() {
		c.expect("decider", settle(owner.token, &verdict), store.Refused)
		c.expect("decider", settle(owner.token, nil), store.Refused)
	})
	event := settle(owner.token, &verdict)
	event.Running = true
	c.expect("decider", event, store.Done)
	owner.completes(store.Refused, "own")
	c.caller("duplicate").replays("settled")

	c.fresh("without an answer")
	owner = running(c)
	event = settle(owner.token, nil)
	event.Running = true
	c.expect("decider", event, store.Done)
	c.inState(store.Released)
}

func settleDeposes(c *check) {
	verdict := answer("settled")
	for _, a := range []*store.Answer{&verdict, nil} {
		c.each(unknowns(), func(owner *caller) {
			c.expect("decider", settle(owner.token, a), store.Done)
			owner.confirmed = c.now()
			c.unchanged(func() {
				owner.completes(store.Refused, "own")
				owner.fails(store.Refused)
				owner.renews(store.Lost)
				owner.marks(store.Lost)
			})
		})
	}
}

func settleAgain(c *check) {
	first, second := answer("settled"), answer("otherwise")
	owner := failed(c)
	event := settle(owner.token, &first)
	c.expect("decider", event, store.Done)
	c.unchanged(func() {
		event.Retention = 48 * keep
		c.expect("decider", event, store.Done)
		c.expect("another decider", settle(owner.token, &second), store.Refused)
		c.expect("another decider", settle(owner.token, nil), store.Refused)
	})

	c.fresh("without an answer")
	owner = failed(c)
	release := settle(owner.token, nil)
	c.expect("decider", release, store.Done)
	c.unchanged(func() {
		release.Retention = 48 * keep
		c.expect("decider", release, store.Done)
	})
}

func settleNothing(c *check) {
	verdict := answer("settled")
	for _, a := range []*store.Answer{&verdict, nil} {
		c.fresh("on an absent record")
		event := settle(store.Token(c.now()), a)
		event.Running = true
		c.expect("decider", event, store.Refused)
		c.inState(store.Absent)

		c.fresh("on a completed record")
		owner := completed(c)
		event.Token = owner.token
		c.unchanged(func() { c.expect("decider", event, store.Refused) })
	}
	c.fresh("on a released record")
	owner := released(c)
	c.unchanged(func() { c.expect("decider", settle(owner.token, &verdict), store.Refused) })
}
