package storetest

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

func adoptionRules() []rule {
	return []rule{
		{
			name:  "adoption/complete",
			rule:  "a completion of an absent record within the window writes the record again, with all that the attempt knows",
			why:   "after a flush the answer is recorded all the same, and a retry replays it",
			check: adoptComplete,
		},
		{
			name:  "adoption/fail",
			rule:  "a fail of an absent record within the window writes an unknown record",
			why:   "after a flush a retry must still hear that an attempt was started",
			check: adoptFail,
		},
		{
			name:  "adoption/only within the window",
			rule:  "an absent record is written by complete or fail only while the store's time is before Confirmed plus Within",
			why:   "later, another run may have come, been answered, and been forgotten: two answers to one operation",
			check: adoptOutside,
		},
		{
			name:  "adoption/a lost record",
			rule:  "when the store loses a record its holder's renewal and mark are lost and its completion is adopted",
			why:   "it is the whole story of a flush while a handler runs",
			needs: forgetsRecords,
			check: adoptLost,
		},
		{
			name:  "adoption/never over another record",
			rule:  "a completion or fail never replaces another owner's record, however recent its confirmation",
			why:   "the other run would be answered twice",
			check: adoptNeverOver,
		},
	}
}

// adopted is the record that an adoption writes.
func (a *caller) adopted(state store.State, finished, expires store.Instant) store.Record {
	return store.Record{
		State:       state,
		Owner:       a.owner,
		Token:       a.token,
		Attempt:     a.number,
		LeaseEnd:    finished,
		Lease:       a.lease,
		Fingerprint: a.fingerprint,
		Scope:       a.c.scope,
		Operation:   operation,
		Created:     a.started,
		Started:     a.started,
		Finished:    finished,
		Expires:     expires,
	}
}

func adoptComplete(c *check) {
	owner := c.unclaimed("owner")
	reply := owner.completes(store.Done, "first")
	want := owner.adopted(store.Completed, reply.Now, reply.Now.Add(keep))
	want.Answer = answer("first")
	c.sameRecord("the adopted record", c.record(), want)
	owner.completes(store.Done, "first")
	c.caller("duplicate").replays("first")
	other := c.caller("other request")
	other.fingerprint = fingerprint('2')
	other.claims(store.Mismatch)
}

func adoptFail(c *check) {
	owner := c.unclaimed("owner")
	fail := owner.fail()
	fail.Marked, fail.Backoff = true, long
	reply := c.expect(owner.name, fail, store.Done)
	expires := reply.Now.Add(store.RunningTTL(owner.lease, owner.retention))
	want := owner.adopted(store.Unknown, reply.Now, expires)
	want.Marked, want.NotBefore = true, reply.Now.Add(long)
	c.sameRecord("the adopted record", c.record(), want)
	c.stranger().claims(store.OutcomeUnknown)

	c.fresh("without mark and backoff")
	owner = c.unclaimed("owner")
	owner.fails(store.Done)
	next := c.stranger()
	next.claims(store.Claimed)
	c.is("Attempt of the take-over", next.number, owner.number+1)
	owner.completes(store.Refused, "zombie")
}

func adoptOutside(c *check) {
	owner := c.unclaimed("owner")
	owner.confirmed = owner.confirmed.Add(-keep)
	owner.within = long
	owner.completes(store.Refused, "late")
	owner.fails(store.Refused)
	c.inState(store.Absent)
	owner.confirmed, owner.within = 0, 0
	owner.completes(store.Refused, "late")
	owner.fails(store.Refused)
	c.inState(store.Absent)

	c.fresh("after the window has passed")
	owner = c.unclaimed("owner")
	owner.within = short
	c.lapse()
	owner.completes(store.Refused, "late")
	owner.fails(store.Refused)
	c.inState(store.Absent)
}

func adoptLost(c *check) {
	owner := running(c)
	c.h.Forget(c.id)
	c.note("-- the store loses the record")
	c.inState(store.Absent)
	owner.renews(store.Lost)
	owner.marks(store.Lost)
	owner.completes(store.Done, "first")
	c.caller("duplicate").replays("first")

	c.fresh("taken over after the loss")
	owner = running(c)
	c.h.Forget(c.id)
	c.note("-- the store loses the record")
	c.advance(time.Millisecond)
	next := c.caller("next")
	next.claims(store.Claimed)
	if next.token <= owner.token {
		c.errorf("Token is %d, not more than the lost attempt's %d", next.token, owner.token)
	}
	owner.completes(store.Refused, "zombie")
}

func adoptNeverOver(c *check) {
	c.each(existing(), func(*caller) {
		other := c.unclaimed("owner of a lost record")
		c.unchanged(func() {
			other.completes(store.Refused, "other")
			other.fails(store.Refused)
		})
	})
}

func voidAdoptionRules() []rule {
	return []rule{
		{
			name:  "adoption/over a void record",
			rule:  "a record that never started counts as absent for the completion or fail of an attempt with a smaller token",
			why:   "a claim that came after the loss and gave up would otherwise cost the answer of the run before it",
			check: adoptOverVoid,
		},
		{
			name:  "adoption/over a void record only by a smaller token",
			rule:  "a void record is not absent for an attempt with its own or a larger token, its own owner included",
			why:   "the attempt that was released as never started cannot have an answer",
			check: adoptVoidToken,
		},
		{
			name:  "adoption/over a void record only within the window",
			rule:  "the adoption over a void record is bound by the same window",
			why:   "void or not, another run may have come and gone",
			check: adoptVoidWindow,
		},
		{
			name:  "adoption/not over a release that started",
			rule:  "a released record that is not void is never adopted",
			why:   "its attempt ran; the next one may have been promised to somebody",
			check: adoptNotVoid,
		},
	}
}

// voidRecords are the records that no attempt ever started.
func voidRecords() []situation {
	return []situation{
		{"void", func(c *check) *caller {
			owner := running(c)
			owner.voids(store.Done)
			return owner
		}},
		{"a void tombstone", func(c *check) *caller {
			owner := c.caller("owner")
			owner.voids(store.Done)
			owner.token = c.inState(store.Released).Token
			owner.confirmed = c.now()
			return owner
		}},
	}
}

func adoptOverVoid(c *check) {
	c.each(voidRecords(), func(*caller) {
		earlier := c.unclaimed("earlier")
		reply := earlier.completes(store.Done, "first")
		want := earlier.adopted(store.Completed, reply.Now, reply.Now.Add(keep))
		want.Answer = answer("first")
		c.sameRecord("the adopted record", c.record(), want)
		c.caller("duplicate").replays("first")
	})
	c.each(voidRecords(), func(*caller) {
		earlier := c.unclaimed("earlier")
		earlier.fails(store.Done)
		rec := c.inState(store.Unknown)
		c.is("Owner of the record", rec.Owner, earlier.owner)
		c.is("Void of the record", rec.Void, false)
	})
}

func adoptVoidToken(c *check) {
	c.each(voidRecords(), func(owner *caller) {
		equal, larger := c.unclaimed("equal token"), c.unclaimed("larger token")
		equal.token, larger.token = owner.token, owner.token+1
		c.unchanged(func() {
			for _, who := range []*caller{owner, equal, larger} {
				who.completes(store.Refused, "other")
				who.fails(store.Refused)
			}
		})
	})
}

func adoptVoidWindow(c *check) {
	c.each(voidRecords(), func(*caller) {
		earlier := c.unclaimed("earlier")
		earlier.confirmed, earlier.within = earlier.confirmed.Add(-keep), long
		c.unchanged(func() {
			earlier.completes(store.Refused, "late")
			earlier.fails(store.Refused)
		})
	})
}

func adoptNotVoid(c *check) {
	all := []situation{
		{"released", released},
		{"a tombstone", tombstoned},
		{"released, then claimed and released as void", func(c *check) *caller {
			released(c)
			second := c.caller("second")
			second.claims(store.Claimed)
			second.voids(store.Done)
			return second
		}},
	}
	c.each(all, func(*caller) {
		earlier := c.unclaimed("earlier")
		c.unchanged(func() {
			earlier.completes(store.Refused, "other")
			earlier.fails(store.Refused)
		})
	})
}
