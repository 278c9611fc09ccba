package storetest

import "github.com/reprise-go/reprise/store"

func claimRules() []rule {
	return []rule{
		{
			name:  "claim/first",
			rule:  "a claim of an absent record starts attempt 1, with a lease from the store's own time",
			why:   "token and lease end are what the holder's watchdog and fencing are built on",
			check: claimFirst,
		},
		{
			name:  "claim/own again",
			rule:  "an owner that claims again gets its own claim: same token, attempt and start, a lease from now",
			why:   "Redis clients send a script again after a lost reply; a claim that does not know its owner answers 409 to the very request that holds it",
			check: claimOwnAgain,
		},
		{
			name:  "claim/own again after a lapse",
			rule:  "an owner that claims again after its lease lapsed, and before anybody took over, gets its own claim whatever its mode",
			why:   "the second try of a slow first claim would turn an operation that never started into an unknown outcome",
			check: claimOwnAgainLapsed,
		},
		{
			name:  "claim/own again says what it took over",
			rule:  "a repeated claim repeats TookOver and Marked",
			why:   "the reply that told them may be the one that was lost, and the handler would start as if nothing had been tried",
			check: claimOwnAgainTookOver,
		},
		{
			name:  "claim/in progress",
			rule:  "a claim of a running record is told the holder's token, attempt, start and lease end, and changes nothing",
			why:   "a rejected duplicate that writes can depose the holder",
			check: claimInProgress,
		},
		{
			name:  "claim/waiting is remembered",
			rule:  "a claim with Wait on a running record leaves a note of it, and the end of the attempt removes the note",
			why:   "an end is published only when somebody waits; without the note waiters sleep until their next re-check",
			check: claimWaits,
		},
		{
			name:  "claim/replay",
			rule:  "a claim of a completed record, also by its own owner, is told the answer, the attempt and its times, and changes nothing",
			why:   "this is the replay; the owner itself needs it when its completion was refused or its reply got lost",
			check: claimReplay,
		},
		{
			name:  "claim/after a release",
			rule:  "a claim of a released record starts the next attempt under a larger token and keeps the time of the first claim",
			why:   "a retry after a 503 must run, and must be able to fence off what the first attempt left behind",
			check: claimAfterRelease,
		},
		{
			name:  "claim/independent records",
			rule:  "an event acts on its own record and on no other",
			why:   "one tenant's operation would end another's",
			check: claimIndependent,
		},
	}
}

func claimFirst(c *check) {
	owner := c.caller("owner")
	reply := owner.claims(store.Claimed)
	c.is("Attempt", reply.Attempt, 1)
	c.is("Started", reply.Started, reply.Now)
	c.is("LeaseEnd", reply.LeaseEnd, reply.Now.Add(long))
	c.is("TookOver", reply.TookOver, false)
	c.is("Marked", reply.Marked, false)
	if reply.Token < store.Token(reply.Now) {
		c.errorf("Token %d is less than the store's time %d", reply.Token, reply.Now)
	}
}

func claimOwnAgain(c *check) {
	owner := c.caller("owner")
	first := owner.claims(store.Claimed)
	c.advance(short)
	second := owner.claims(store.Claimed)
	c.is("Token of the second reply", second.Token, first.Token)
	c.is("Attempt of the second reply", second.Attempt, first.Attempt)
	c.is("Started of the second reply", second.Started, first.Started)
	c.is("LeaseEnd of the second reply", second.LeaseEnd, second.Now.Add(long))
	c.is("LeaseEnd of the record", c.inState(store.Running).LeaseEnd, second.LeaseEnd)
	owner.completes(store.Done, "first")
}

func claimOwnAgainLapsed(c *check) {
	owner := lapsed(c)
	token := owner.token
	owner.lease = long
	again := owner.claims(store.Claimed)
	c.is("Token", again.Token, token)
	c.is("Attempt", again.Attempt, 1)
	owner.marks(store.Done)
	c.stranger().claims(store.InProgress)
}

func claimOwnAgainTookOver(c *check) {
	first := running(c)
	first.marks(store.Done)
	first.fails(store.Done)
	next := c.stranger()
	next.claims(store.Claimed)
	again := next.claims(store.Claimed)
	c.is("TookOver of the second reply", again.TookOver, true)
	c.is("Marked of the second reply", again.Marked, true)
	c.is("Attempt of the second reply", again.Attempt, 2)
}

func claimInProgress(c *check) {
	owner := c.caller("owner")
	held := owner.claims(store.Claimed)
	c.unchanged(func() {
		told := c.stranger().claims(store.InProgress)
		c.is("Token", told.Token, held.Token)
		c.is("Attempt", told.Attempt, held.Attempt)
		c.is("Started", told.Started, held.Started)
		c.is("LeaseEnd", told.LeaseEnd, held.Now.Add(long))
	})
}

func claimWaits(c *check) {
	owner := running(c)
	waiter := c.caller("waiter")
	waiter.wait = true
	waiter.claims(store.InProgress)
	c.is("Waiters while running", c.record().Waiters, true)
	c.stranger().claims(store.InProgress)
	owner.renews(store.Done)
	c.is("Waiters after a renewal and a claim that does not wait", c.record().Waiters, true)
	owner.completes(store.Done, "first")
	c.is("Waiters after the end", c.record().Waiters, false)
}

func claimReplay(c *check) {
	owner := completed(c)
	c.unchanged(func() {
		for _, who := range []*caller{c.stranger(), c.caller("duplicate"), owner} {
			reply := who.replays("first")
			c.is("Token", reply.Token, owner.token)
			c.is("Attempt", reply.Attempt, 1)
			c.is("Started", reply.Started, owner.started)
			c.is("Codec", reply.Answer.Codec, "http1")
			if reply.Finished < reply.Started || reply.Finished > reply.Now {
				c.errorf("Finished %d is not between Started %d and Now %d", reply.Finished, reply.Started, reply.Now)
			}
		}
	})
}

func claimAfterRelease(c *check) {
	first := released(c)
	c.advance(short)
	second := c.caller("second")
	reply := second.claims(store.Claimed)
	c.is("Attempt", reply.Attempt, 2)
	c.is("Started", reply.Started, reply.Now)
	c.is("TookOver", reply.TookOver, false)
	if reply.Token <= first.token {
		c.errorf("Token is %d, not more than the first attempt's %d", reply.Token, first.token)
	}
	rec := c.inState(store.Running)
	c.is("Created of the record", rec.Created, first.started)
	c.is("Finished of the record", rec.Finished, store.Instant(0))
}

func claimIndependent(c *check) {
	running(c)
	here := c.id
	before := c.record()
	c.id = newID()
	other := c.caller("owner of another record")
	other.claims(store.Claimed)
	other.completes(store.Done, "other")
	c.id = here
	c.sameRecord("an event on another record changed this one", c.record(), before)
}

func fingerprintRules() []rule {
	return []rule{
		{
			name:  "fingerprint/mismatch",
			rule:  "a claim with another fingerprint is told so on every record that there is, before anything about its state, and changes nothing",
			why:   "a reused key must be 422 and not 409, never gets another request's answer, and never takes over another request's attempt",
			check: fingerprintMismatch,
		},
		{
			name:  "fingerprint/bound through release",
			rule:  "a released record, a tombstone too, still belongs to the request that first used the key",
			why:   "the outcome of a retry would depend on whether the first attempt failed",
			check: fingerprintThroughRelease,
		},
		{
			name:  "fingerprint/other algorithm",
			rule:  "a fingerprint of another algorithm is answered with the record's algorithm on every record that there is, and changes nothing",
			why:   "during a rolling deploy the two cannot be compared: neither a run nor a false mismatch is right",
			check: fingerprintAlgorithm,
		},
	}
}

func fingerprintMismatch(c *check) {
	c.each(existing(), func(*caller) {
		other := c.stranger()
		other.fingerprint = fingerprint('2')
		c.unchanged(func() { other.claims(store.Mismatch) })
	})
}

func fingerprintThroughRelease(c *check) {
	c.each([]situation{{"released", released}, {"a tombstone", tombstoned}}, func(*caller) {
		other := c.caller("other request")
		other.fingerprint.Sum[31] ^= 1
		other.claims(store.Mismatch)
		c.caller("same request").claims(store.Claimed)
		other.claims(store.Mismatch)
	})
}

func fingerprintAlgorithm(c *check) {
	c.each(existing(), func(*caller) {
		other := c.stranger()
		other.fingerprint.Algorithm = "newer-9"
		c.unchanged(func() {
			reply := other.claims(store.OtherAlgorithm)
			c.is("Algorithm", reply.Algorithm, "sha256-1")
		})
	})
}
