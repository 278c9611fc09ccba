package storetest

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

func eraseRules() []rule {
	return []rule{
		{
			name:  "erase/releases a completed record",
			rule:  "a settlement with Erase releases a completed record as it does one of unknown outcome: the answer is gone, everything else stays, and the record lives no shorter",
			why:   "a wrong answer, or one that must be forgotten by law, has to go while the operation's trace stays",
			check: eraseCompleted,
		},
		{
			name:  "erase/the next attempt",
			rule:  "after an erasure the next claim starts the next attempt, with a larger token, and no replay gives the old answer",
			why:   "what was written under the erased attempt's token must stay fenced off",
			check: eraseNext,
		},
		{
			name:  "erase/deposes the owner",
			rule:  "after an erasure the erased attempt's owner is refused: complete, fail, renew, mark; and its late claim is ended",
			why:   "a completion that is sent again after a lost reply would bring the erased answer back",
			check: eraseDeposes,
		},
		{
			name:  "erase/running needs the word",
			rule:  "Erase alone does not settle an attempt that holds its lease",
			why:   "it is about answers; a living request must not be ended by accident",
			check: eraseRunning,
		},
		{
			name:  "erase/compare and set",
			rule:  "an erasure with another token than the record's, or of an absent record, is refused and changes nothing",
			why:   "the decider looked at another attempt's answer",
			check: eraseToken,
		},
		{
			name:  "erase/again",
			rule:  "a repeated erasure is done and changes nothing; once the next attempt has started it is refused",
			why:   "a retry after a lost reply must neither fail nor erase the next answer",
			check: eraseAgain,
		},
	}
}

// answered are records with an answer, of every provenance.
func answered() []situation {
	return []situation{
		{"completed", completed},
		{"completed and marked", func(c *check) *caller {
			owner := running(c)
			owner.marks(store.Done)
			owner.completes(store.Done, "first")
			return owner
		}},
		{"completed with a large answer", func(c *check) *caller {
			owner := running(c)
			c.expect(owner.name, owner.complete(largeAnswer(8)), store.Done)
			return owner
		}},
		{"completed by a settlement", func(c *check) *caller {
			owner := failed(c)
			verdict := answer("settled")
			c.expect("decider", settle(owner.token, &verdict), store.Done)
			return owner
		}},
	}
}

func erase(token store.Token) store.Settle {
	event := settle(token, nil)
	event.Erase = true
	return event
}

func eraseCompleted(c *check) {
	for _, retention := range []time.Duration{short, 48 * time.Hour} {
		c.each(append(answered(), unknowns()...), func(owner *caller) {
			want := c.record()
			event := erase(owner.token)
			event.Retention = retention
			reply := c.expect("decider", event, store.Done)
			want.State, want.Answer, want.Marked = store.Released, store.Answer{}, false
			want.Finished, want.Expires = reply.Now, max(want.Expires, reply.Now.Add(retention))
			c.sameRecord("the erased record", c.record(), want)
		})
	}
}

func eraseNext(c *check) {
	c.each(answered(), func(owner *caller) {
		c.expect("decider", erase(owner.token), store.Done)
		other := c.caller("another request")
		other.fingerprint = fingerprint('2')
		other.claims(store.Mismatch)
		next := c.caller("next")
		reply := next.claims(store.Claimed)
		c.is("Attempt", reply.Attempt, 2)
		c.is("TookOver", reply.TookOver, false)
		if reply.Token <= owner.token {
			c.errorf("Token is %d, not more than the erased attempt's %d", reply.Token, owner.token)
		}
		next.completes(store.Done, "second")
		c.caller("duplicate").replays("second")
	})
}

func eraseDeposes(c *check) {
	c.each(answered(), func(owner *caller) {
		c.expect("decider", erase(owner.token), store.Done)
		owner.confirmed = c.now()
		c.unchanged(func() {
			owner.completes(store.Refused, "first")
			c.expect(owner.name, owner.complete(largeAnswer(8)), store.Refused)
			owner.fails(store.Refused)
			owner.renews(store.Lost)
			owner.marks(store.Lost)
		})
	})
	c.each([]situation{{"completed", completed}}, func(owner *caller) {
		c.expect("decider", erase(owner.token), store.Done)
		c.unchanged(func() {
			owner.claims(store.Ended)
			owner.releases(store.Done)
		})
	})
}

func eraseRunning(c *check) {
	owner := running(c)
	event := erase(owner.token)
	c.unchanged(func() { c.expect("decider", event, store.Refused) })
	owner.renews(store.Done)
	event.Running = true
	c.expect("decider", event, store.Done)
	c.inState(store.Released)
	owner.completes(store.Refused, "own")
}

func eraseToken(c *check) {
	c.each(answered(), func(owner *caller) {
		c.unchanged(func() {
			c.expect("decider", erase(owner.token-1), store.Refused)
			c.expect("decider", erase(owner.token+1), store.Refused)
		})
	})
	c.fresh("on an absent record")
	c.expect("decider", erase(store.Token(c.now())), store.Refused)
	c.inState(store.Absent)
}

func eraseAgain(c *check) {
	owner := completed(c)
	event := erase(owner.token)
	c.expect("decider", event, store.Done)
	c.unchanged(func() {
		event.Retention = 48 * time.Hour
		c.expect("decider", event, store.Done)
		c.expect("another decider", erase(owner.token), store.Done)
	})
	next := c.caller("next")
	next.claims(store.Claimed)
	next.completes(store.Done, "second")
	c.unchanged(func() { c.expect("decider", event, store.Refused) })
	c.caller("duplicate").replays("second")
}
