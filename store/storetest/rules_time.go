package storetest

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

func timeRules() []rule {
	return []rule{
		{
			name:  "ttl/running",
			rule:  "a claim gives a record lease plus the longer of retention and 24 hours; each renewal and repeated claim does so again",
			why:   "a crash must stay visible long after its lease; a record without expiry would stay for ever",
			check: ttlRunning,
		},
		{
			name:  "ttl/lease is not the ttl",
			rule:  "a record whose lease lapsed is still there, as it was, and is rewritten by nobody",
			why:   "when the lease is the time to live, a crash looks like an operation that never started, and it runs twice",
			check: ttlLapsed,
		},
		{
			name:  "ttl/finished",
			rule:  "completed and released records are kept for the retention that the end asks for, from the end on; unknown ones as long as before",
			why:   "a long handler must not eat up its answer's retention",
			check: ttlFinished,
		},
		{
			name:  "ttl/short retention",
			rule:  "when the retention is over the record is absent, and a claim starts attempt 1",
			why:   "keys may be used again after retention, and the store must not grow for ever",
			check: ttlShort,
		},
		{
			name:  "ttl/hours",
			rule:  "an orphan is unknown for 24 hours after its lease and absent then; an answer is replayed up to its retention",
			why:   "the promise holds within retention, neither longer nor shorter",
			needs: movesClock,
			check: ttlHours,
		},
		{
			name:  "token/grows with every start",
			rule:  "every start, by release, take-over or settlement, has a larger token than the one before, however fast they follow",
			why:   "a fence with equal tokens lets the deposed writer through",
			check: tokenGrows,
		},
		{
			name:  "attempt/counts starts",
			rule:  "the attempt number counts starts and survives releases, take-overs and settlements",
			why:   "handlers and operators read how often an operation was tried",
			check: attemptCounts,
		},
	}
}

func ttlRunning(c *check) {
	const day = 24 * time.Hour
	for _, retention := range []time.Duration{time.Second, 2 * day} {
		c.fresh("with a retention of " + retention.String())
		owner := c.caller("owner")
		owner.retention = retention
		ttl := long + max(retention, day)
		c.expires(owner.claims(store.Claimed).Now.Add(ttl))
		c.advance(short)
		c.expires(owner.renews(store.Done).Now.Add(ttl))
		c.advance(short)
		c.expires(owner.claims(store.Claimed).Now.Add(ttl))
	}
	c.fresh("after a longer renewal")
	owner := running(c)
	owner.lease, owner.retention = 2*long, 2*day
	c.expires(owner.renews(store.Done).Now.Add(2*long + 2*day))
	c.fresh("after a take-over")
	failed(c)
	next := c.stranger()
	next.retention = 2 * day
	c.expires(next.claims(store.Claimed).Now.Add(long + 2*day))
}

func ttlLapsed(c *check) {
	owner := c.caller("owner")
	owner.lease, owner.retention = short, short
	owner.claims(store.Claimed)
	before := c.record()
	c.lapse()
	c.lapse()
	c.inState(store.Running)
	c.caller("duplicate").claims(store.OutcomeUnknown)
	c.sameRecord("a lapsed record was rewritten", c.record(), before)
}

func ttlFinished(c *check) {
	owner := c.caller("owner")
	owner.retention = time.Second
	owner.claims(store.Claimed)
	owner.retention = time.Hour
	c.advance(short)
	c.expires(owner.completes(store.Done, "first").Now.Add(time.Hour))

	c.fresh("released")
	owner = running(c)
	owner.retention = time.Hour
	c.advance(short)
	c.expires(owner.releases(store.Done).Now.Add(time.Hour))

	c.fresh("unknown by fail")
	owner = running(c)
	before := c.record().Expires
	owner.retention = time.Hour
	c.advance(short)
	owner.fails(store.Done)
	c.expires(before)
	owner.completes(store.Done, "late")
	c.expires(c.record().Finished.Add(time.Hour))
}

func ttlShort(c *check) {
	ends := map[string]func(*caller){
		"completed": func(a *caller) { a.completes(store.Done, "first") },
		"released":  func(a *caller) { a.releases(store.Done) },
	}
	for name, end := range ends {
		c.fresh("a record that was " + name)
		owner := running(c)
		owner.retention = short
		end(owner)
		c.advance(short + slack)
		c.inState(store.Absent)
		next := c.caller("next").claims(store.Claimed)
		c.is("Attempt", next.Attempt, 1)
		rec := c.record()
		c.is("Created of the record", rec.Created, next.Now)
	}
}

func ttlHours(c *check) {
	const day = 24 * time.Hour
	owner := c.caller("owner")
	owner.retention = time.Second
	owner.claims(store.Claimed)
	c.advance(long + day - time.Second)
	c.caller("duplicate").claims(store.OutcomeUnknown)
	c.advance(2 * time.Second)
	c.inState(store.Absent)
	reply := c.caller("next").claims(store.Claimed)
	c.is("Attempt", reply.Attempt, 1)

	c.fresh("completed after hours")
	owner = running(c)
	c.advance(20 * time.Hour)
	owner.completes(store.Done, "first")
	c.advance(keep - time.Second)
	c.caller("duplicate").replays("first")
	c.advance(2 * time.Second)
	c.caller("next").claims(store.Claimed)
}

func tokenGrows(c *check) {
	var last store.Token
	for i := range 30 {
		next := c.stranger()
		next.claims(store.Claimed)
		if next.token <= last {
			c.errorf("start %d has token %d, the one before %d", i+1, next.token, last)
		}
		last = next.token
		switch i % 4 {
		case 0:
			next.releases(store.Done)
		case 1:
			next.fails(store.Done)
		case 2:
			next.voids(store.Done)
		case 3:
			event := settle(next.token, nil)
			event.Running = true
			c.expect("decider", event, store.Done)
		}
	}
}

func attemptCounts(c *check) {
	for i, end := range []func(*caller){
		func(a *caller) { a.releases(store.Done) },
		func(a *caller) { a.fails(store.Done) },
		func(a *caller) { a.releases(store.Done) },
		func(a *caller) { a.fails(store.Done); c.expect("decider", settle(a.token, nil), store.Done) },
		func(a *caller) { a.completes(store.Done, "at last") },
	} {
		next := c.stranger()
		c.is("Attempt", next.claims(store.Claimed).Attempt, i+1)
		end(next)
	}
	c.is("Attempt of the replay", c.caller("duplicate").replays("at last").Attempt, 5)
}

func clockRules() []rule {
	return []rule{
		{
			name:  "clock/lease after a jump back",
			rule:  "a remaining lease that is longer than the lease itself is cut to now plus its length, and written so",
			why:   "when a server's clock is set back by an hour, a crash would block the operation for an hour",
			needs: rewindsClock,
			check: clockLease,
		},
		{
			name:  "clock/token after a jump back",
			rule:  "tokens grow although the clock went back: previous plus one",
			why:   "the fence must hold when the clock does not",
			needs: rewindsClock,
			check: clockToken,
		},
	}
}

func clockLease(c *check) {
	owner := running(c)
	c.h.Rewind(time.Hour)
	c.note("-- the clock is set back by an hour")
	told := c.caller("duplicate").claims(store.InProgress)
	c.is("LeaseEnd", told.LeaseEnd, told.Now.Add(owner.lease))
	c.is("LeaseEnd of the record", c.record().LeaseEnd, told.LeaseEnd)
	owner.renews(store.Done)

	c.fresh("of a holder that died")
	owner = c.caller("owner")
	owner.lease = short
	owner.claims(store.Claimed)
	c.h.Rewind(time.Hour)
	c.note("-- the clock is set back by an hour")
	c.caller("duplicate").claims(store.InProgress)
	c.lapse()
	c.caller("duplicate").claims(store.OutcomeUnknown)
}

func clockToken(c *check) {
	first := released(c)
	c.h.Rewind(time.Hour)
	c.note("-- the clock is set back by an hour")
	second := c.caller("second")
	second.claims(store.Claimed)
	c.is("Token", second.token, first.token+1)
	second.fails(store.Done)
	third := c.stranger()
	third.claims(store.Claimed)
	c.is("Token of the take-over", third.token, first.token+2)
}
