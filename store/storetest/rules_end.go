package storetest

import "github.com/reprise-go/reprise/store"

func completeRules() []rule {
	return []rule{
		{
			name:  "complete/own running",
			rule:  "the owner's completion of its running record is the recorded answer, also after its lease lapsed if nobody took over",
			why:   "every duplicate is given this answer; a handler that was merely slow did do its work",
			check: completeOwn,
		},
		{
			name:  "complete/own unknown",
			rule:  "the owner's completion of a record that it failed is accepted",
			why:   "recording may succeed in the background after the request had to give up",
			check: completeUnknown,
		},
		{
			name:  "complete/twice",
			rule:  "a repeated completion is done and changes nothing: the first answer stays",
			why:   "a retry after a lost reply must not be refused, and one operation has one answer",
			check: completeTwice,
		},
		{
			name:  "complete/not the owner",
			rule:  "a completion by anybody but the owner is refused on every record that there is, and changes nothing",
			why:   "the stored answer would be one that another caller was never given",
			check: completeStranger,
		},
		{
			name:  "complete/released",
			rule:  "a completion of a released record is refused, also by the owner that released it",
			why:   "after a release the next attempt may already have been promised to somebody",
			check: completeReleased,
		},
		{
			name:  "complete/fields",
			rule:  "a completed record keeps owner, token, attempt, fingerprint, scope, operation, mark and times, and says when it finished",
			why:   "operators and replays read them; a settled dispute rests on them",
			check: completeFields,
		},
	}
}

func completeOwn(c *check) {
	both := []situation{{"running", running}, {"running and lapsed", lapsed}}
	c.each(both, func(owner *caller) {
		owner.completes(store.Done, "first")
		c.inState(store.Completed)
		c.caller("duplicate").replays("first")
	})
}

func completeUnknown(c *check) {
	c.each([]situation{{"unknown by fail", failed}, {"unknown and marked", markedFailed}}, func(owner *caller) {
		owner.completes(store.Done, "first")
		c.caller("duplicate").replays("first")
	})
}

func completeTwice(c *check) {
	owner := completed(c)
	owner.retention = 48 * keep
	c.unchanged(func() { owner.completes(store.Done, "second") })
	c.caller("duplicate").replays("first")
}

func completeStranger(c *check) {
	c.each(existing(), func(owner *caller) {
		other := c.stranger()
		other.token, other.confirmed = owner.token, owner.confirmed
		c.unchanged(func() { other.completes(store.Refused, "other") })
	})
}

func completeReleased(c *check) {
	c.each([]situation{{"released", released}, {"a tombstone", tombstoned}}, func(owner *caller) {
		owner.confirmed = c.now()
		c.unchanged(func() { owner.completes(store.Refused, "late") })
		next := c.caller("next")
		next.claims(store.Claimed)
		owner.completes(store.Refused, "later")
	})
}

func completeFields(c *check) {
	owner := running(c)
	owner.marks(store.Done)
	before := c.record()
	reply := owner.completes(store.Done, "first")
	want := before
	want.State, want.Answer = store.Completed, answer("first")
	want.Finished, want.Expires = reply.Now, reply.Now.Add(keep)
	c.sameRecord("the completed record", c.record(), want)
}

func failRules() []rule {
	return []rule{
		{
			name:  "fail/makes unknown",
			rule:  "a fail of the owner's running record, lapsed or not, makes its outcome unknown at once and keeps its time to live",
			why:   "duplicates need not wait for the lease; the evidence stays as long as that of a crash",
			check: failMakesUnknown,
		},
		{
			name:  "fail/knows the mark",
			rule:  "a fail with Marked marks the record; one without takes no mark away",
			why:   "the reply of the mark may have been lost, or the mark itself: the engine's knowledge and the record's add up",
			check: failMarked,
		},
		{
			name:  "fail/twice",
			rule:  "a repeated fail is done and changes nothing, whatever it says",
			why:   "a retry after a lost reply must not push the not-before into the future",
			check: failTwice,
		},
		{
			name:  "fail/completed",
			rule:  "the owner's fail of its completed record is done and changes nothing",
			why:   "an answer that is recorded does not become unknown again",
			check: failCompleted,
		},
		{
			name:  "fail/released",
			rule:  "a fail of a released record is refused and changes nothing",
			why:   "the release said that nothing happened; a late fail must not block the retry",
			check: failReleased,
		},
		{
			name:  "fail/not the owner",
			rule:  "a fail by anybody but the owner is refused on every record that there is, and changes nothing",
			why:   "it would end another caller's attempt",
			check: failStranger,
		},
	}
}

func failMakesUnknown(c *check) {
	both := []situation{{"running", running}, {"running and lapsed", lapsed}}
	c.each(both, func(owner *caller) {
		before := c.record()
		reply := owner.fails(store.Done)
		want := before
		want.State, want.Finished = store.Unknown, reply.Now
		c.sameRecord("the unknown record", c.record(), want)
		c.caller("duplicate").claims(store.OutcomeUnknown)
	})
}

func failMarked(c *check) {
	owner := running(c)
	fail := owner.fail()
	fail.Marked = true
	c.expect(owner.name, fail, store.Done)
	c.is("Marked by the fail", c.record().Marked, true)
	next := c.caller("unmarked")
	next.takeOver = store.TakeOverUnmarked
	next.claims(store.OutcomeUnknown)

	c.fresh("with a mark in the record only")
	markedFailed(c)
	c.is("Marked", c.record().Marked, true)
}

func failTwice(c *check) {
	owner := failed(c)
	again := owner.fail()
	again.Backoff, again.Marked = long, true
	c.unchanged(func() { c.expect(owner.name, again, store.Done) })
}

func failCompleted(c *check) {
	owner := completed(c)
	c.unchanged(func() { owner.fails(store.Done) })
}

func failReleased(c *check) {
	c.each([]situation{{"released", released}, {"a tombstone", tombstoned}}, func(owner *caller) {
		owner.confirmed = c.now()
		c.unchanged(func() { owner.fails(store.Refused) })
	})
}

func failStranger(c *check) {
	c.each(existing(), func(owner *caller) {
		other := c.stranger()
		other.token, other.confirmed = owner.token, owner.confirmed
		c.unchanged(func() { other.fails(store.Refused) })
	})
}

func releaseRules() []rule {
	return []rule{
		{
			name:  "release/own running",
			rule:  "a release of the owner's running record, lapsed or not, lets the next claim start; token and attempt stay, the mark goes",
			why:   "the owner says that nothing final happened; a retry must run at once",
			check: releaseOwn,
		},
		{
			name:  "release/again",
			rule:  "a release that is repeated, or comes after the completion, is done and changes nothing",
			why:   "releases are sent again until acknowledged, and must not take back an answer",
			check: releaseAgain,
		},
		{
			name:  "release/unknown",
			rule:  "a release of a record that is unknown by fail is refused and changes nothing",
			why:   "the owner already said that it does not know; a late or reordered release would start a second run",
			check: releaseUnknown,
		},
		{
			name:  "release/not the owner",
			rule:  "a release by anybody but the owner is refused on every record that there is, and changes nothing",
			why:   "a rejected duplicate that cleans up would delete the running holder's record",
			check: releaseStranger,
		},
	}
}

func releaseOwn(c *check) {
	both := []situation{
		{"running", running},
		{"running and lapsed", lapsed},
		{"running and marked", func(c *check) *caller {
			owner := running(c)
			owner.marks(store.Done)
			return owner
		}},
	}
	c.each(both, func(owner *caller) {
		before := c.record()
		reply := owner.releases(store.Done)
		want := before
		want.State, want.Marked = store.Released, false
		want.Finished, want.Expires = reply.Now, reply.Now.Add(keep)
		c.sameRecord("the released record", c.record(), want)
		c.caller("retry").claims(store.Claimed)
	})
}

func releaseAgain(c *check) {
	again := []situation{{"released", released}, {"completed", completed}, {"a tombstone", tombstoned}}
	c.each(again, func(owner *caller) {
		owner.retention = 48 * keep
		c.unchanged(func() {
			owner.releases(store.Done)
			owner.voids(store.Done)
		})
	})
}

func releaseUnknown(c *check) {
	owner := failed(c)
	c.unchanged(func() { owner.releases(store.Refused) })
}

func releaseStranger(c *check) {
	c.each(existing(), func(*caller) {
		c.unchanged(func() {
			c.stranger().releases(store.Refused)
			c.stranger().voids(store.Refused)
		})
	})
}

func voidRules() []rule {
	return []rule{
		{
			name:  "void release/gives back the number",
			rule:  "releasing an attempt that never started gives its attempt number back; the token keeps growing",
			why:   "handlers read the attempt number as how often the operation was started",
			check: voidNumber,
		},
		{
			name:  "void release/restores unknown",
			rule:  "a void release of a take-over makes the outcome unknown again, with its mark, and may be repeated",
			why:   "the earlier attempt's outcome is as unknown as before: released would start a second run",
			check: voidRestoresUnknown,
		},
		{
			name:  "void release/first attempt only",
			rule:  "a record counts as void only if no attempt of it ever started",
			why:   "only then may the answer of an earlier, lost record be adopted over it",
			check: voidFirstOnly,
		},
	}
}

func voidNumber(c *check) {
	released(c)
	second := c.caller("second")
	second.claims(store.Claimed)
	second.voids(store.Done)
	c.is("Attempt of the record", c.inState(store.Released).Attempt, 1)
	second.voids(store.Done)
	c.is("Attempt after the release was repeated", c.inState(store.Released).Attempt, 1)
	third := c.caller("third")
	reply := third.claims(store.Claimed)
	c.is("Attempt", reply.Attempt, 2)
	if reply.Token <= second.token {
		c.errorf("Token is %d, not more than the void attempt's %d", reply.Token, second.token)
	}
}

func voidRestoresUnknown(c *check) {
	c.each(append(unknowns(), marked()...), func(*caller) {
		before := c.record()
		next := c.stranger()
		next.claims(store.Claimed)
		next.voids(store.Done)
		next.voids(store.Done)
		rec := c.inState(store.Unknown)
		c.is("Marked of the record", rec.Marked, before.Marked)
		c.is("Attempt of the record", rec.Attempt, before.Attempt)
		c.is("TookOver of the record", rec.TookOver, false)
		next.claims(store.Ended)
		c.caller("duplicate").claims(store.OutcomeUnknown)
		c.stranger().claims(store.Claimed)
	})
}

func voidFirstOnly(c *check) {
	first := running(c)
	first.voids(store.Done)
	rec := c.inState(store.Released)
	c.is("Void of a record that never started", rec.Void, true)
	c.is("Attempt of a record that never started", rec.Attempt, 0)
	second := c.caller("second")
	second.claims(store.Claimed)
	c.is("Void while running", c.record().Void, false)
	second.releases(store.Done)
	c.is("Void after a start", c.record().Void, false)
	third := c.caller("third")
	third.claims(store.Claimed)
	third.voids(store.Done)
	c.is("Void of a later attempt", c.record().Void, false)
}
