package storetest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/reprise-go/reprise/store"
)

func renewRules() []rule {
	return []rule{
		{
			name:  "renew/moves the lease",
			rule:  "a renewal sets the lease end to the store's time plus the lease that it asks for",
			why:   "a handler that runs longer than one lease lives by it",
			check: renewMoves,
		},
		{
			name:  "renew/lapsed is lost",
			rule:  "a renewal after the lease has lapsed is lost and does not revive it",
			why:   "somebody may already have been told that the outcome is unknown, and may be settling it",
			check: renewLapsed,
		},
		{
			name:  "renew/not the owner",
			rule:  "a renewal by anybody but the owner is lost and changes nothing",
			why:   "a deposed holder would keep its successor's claim alive after the successor died",
			check: renewStranger,
		},
		{
			name:  "renew/finished is untouched",
			rule:  "a renewal of a record that is not running is lost; it neither shortens nor lengthens the retention",
			why:   "a late renewal guarded by owner only was seen to cut a retention of 24 hours to 30 seconds",
			check: renewFinished,
		},
		{
			name:  "renew/absent is lost",
			rule:  "a renewal of an absent record is lost and creates none",
			why:   "the holder must hear that the store forgot its claim",
			check: renewAbsent,
		},
	}
}

func renewMoves(c *check) {
	owner := running(c)
	for _, lease := range []time.Duration{2 * long, long / 2} {
		owner.lease = lease
		reply := owner.renews(store.Done)
		rec := c.inState(store.Running)
		c.is("LeaseEnd of the record", rec.LeaseEnd, reply.Now.Add(lease))
		c.is("Lease of the record", rec.Lease, lease)
		c.is("Token of the record", rec.Token, owner.token)
		c.is("Started of the record", rec.Started, owner.started)
	}
	owner.lease = short
	owner.renews(store.Done)
	c.lapse()
	c.caller("duplicate").claims(store.OutcomeUnknown)
}

func renewLapsed(c *check) {
	owner := lapsed(c)
	owner.lease = long
	c.unchanged(func() { owner.renews(store.Lost) })
	c.caller("duplicate").claims(store.OutcomeUnknown)
}

func renewStranger(c *check) {
	c.each(existing(), func(*caller) {
		c.unchanged(func() { c.stranger().renews(store.Lost) })
	})
}

func renewFinished(c *check) {
	c.each(append(finished(), situation{"a tombstone", tombstoned}), func(owner *caller) {
		owner.lease, owner.retention = short, short
		c.unchanged(func() { owner.renews(store.Lost) })
		owner.lease, owner.retention = long, 48*time.Hour
		c.unchanged(func() { owner.renews(store.Lost) })
	})
}

func renewAbsent(c *check) {
	c.caller("owner").renews(store.Lost)
	c.inState(store.Absent)
}

func batchRules() []rule {
	return []rule{
		{
			name:  "renew batch/answers by index",
			rule:  "each renewal of a batch is answered at its own index, the lost ones among the held ones",
			why:   "one confused index cancels a healthy handler and lets a deposed one go on",
			check: batchByIndex,
		},
		{
			name:  "renew batch/full",
			rule:  fmt.Sprintf("a batch of %d renewals is executed, each as one renewal would be", store.MaxRenewals),
			why:   "the watchdog sends as many as fall due together",
			check: batchFull,
		},
		{
			name:  "renew batch/empty",
			rule:  "an empty batch has an empty answer",
			why:   "a backend may object to a command without keys",
			check: batchEmpty,
		},
		{
			name:  "renew batch/one invalid",
			rule:  "an invalid renewal is answered with ErrInvalid at its index; the others are executed",
			why:   "one renewal's trouble is not the others'",
			check: batchInvalid,
		},
	}
}

// batch claims n records and returns the renewals of all of them, those that
// lose says for owners that do not hold.
func (c *check) batch(n int, lose func(i int) bool) []store.Renewal {
	renewals := make([]store.Renewal, n)
	for i := range renewals {
		c.id = newID()
		owner := c.caller("owner")
		reply, err := c.h.Store.Apply(c.ctx, c.id, owner.claim())
		if err != nil || reply.Verdict != store.Claimed {
			c.fatalf("claim: verdict %q, error %v", reply.Verdict, err)
		}
		renewals[i] = store.Renewal{
			ID:    c.id,
			Renew: store.Renew{Owner: owner.owner, Lease: long + time.Duration(i)*time.Second, Retention: keep},
		}
		if lose(i) {
			renewals[i].Owner = store.NewOwner()
		}
	}
	return renewals
}

// renewed sends a batch and compares every answer and every lease.
func (c *check) renewed(renewals []store.Renewal, want func(i int) store.Verdict) {
	results := c.h.Store.Renew(c.ctx, renewals)
	if len(results) != len(renewals) {
		c.fatalf("%d renewals have %d answers", len(renewals), len(results))
	}
	for i, result := range results {
		if result.Err != nil || result.Reply.Verdict != want(i) {
			c.errorf("renewal %d: verdict %q, error %v, want %q", i, result.Reply.Verdict, result.Err, want(i))
			continue
		}
		if result.Reply.Verdict == store.Done {
			c.id = renewals[i].ID
			end := result.Reply.Now.Add(renewals[i].Lease)
			c.is(fmt.Sprintf("LeaseEnd of record %d", i), c.record().LeaseEnd, end)
		}
	}
}

func batchByIndex(c *check) {
	odd := func(i int) bool { return i%3 == 1 }
	c.renewed(c.batch(11, odd), func(i int) store.Verdict {
		if odd(i) {
			return store.Lost
		}
		return store.Done
	})
}

func batchFull(c *check) {
	renewals := c.batch(store.MaxRenewals, func(int) bool { return false })
	c.renewed(renewals, func(int) store.Verdict { return store.Done })
}

func batchEmpty(c *check) {
	if n := len(c.h.Store.Renew(c.ctx, nil)); n != 0 {
		c.errorf("no renewals have %d answers", n)
	}
	if n := len(c.h.Store.Renew(c.ctx, []store.Renewal{})); n != 0 {
		c.errorf("an empty batch has %d answers", n)
	}
}

func batchInvalid(c *check) {
	renewals := c.batch(3, func(int) bool { return false })
	renewals[0].Lease = 0
	results := c.h.Store.Renew(c.ctx, renewals)
	if len(results) != len(renewals) {
		c.fatalf("%d renewals have %d answers", len(renewals), len(results))
	}
	for _, i := range []int{1, 2} {
		if results[i].Err != nil || results[i].Reply.Verdict != store.Done {
			c.errorf("renewal %d: verdict %q, error %v, want done", i, results[i].Reply.Verdict, results[i].Err)
		}
	}
	if err := results[0].Err; !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "Lease") {
		c.errorf("renewal 0: error %v, want ErrInvalid naming Lease", err)
	}
}

func markRules() []rule {
	return []rule{
		{
			name:  "mark/is recorded",
			rule:  "a mark of the holder is recorded, may be repeated, and outlives renewals and the fail",
			why:   "after a crash it decides whether the operation may run again",
			check: markRecorded,
		},
		{
			name:  "mark/lapsed is lost",
			rule:  "a mark after the lease has lapsed is lost and changes nothing",
			why:   "mark is the gate before the effect: a handler that was paused must not pass it once others may run",
			check: markLapsed,
		},
		{
			name:  "mark/not running is lost",
			rule:  "a mark on a record that is not running, or by anybody but the owner, is lost and changes nothing",
			why:   "a deposed handler must hear it before it has its effect",
			check: markNotRunning,
		},
	}
}

func markRecorded(c *check) {
	owner := running(c)
	c.is("Marked before", c.record().Marked, false)
	owner.marks(store.Done)
	owner.marks(store.Done)
	c.is("Marked", c.record().Marked, true)
	owner.renews(store.Done)
	c.is("Marked after a renewal", c.record().Marked, true)
	owner.claims(store.Claimed)
	c.is("Marked after the owner's claim was repeated", c.record().Marked, true)
	owner.fails(store.Done)
	c.is("Marked after the fail", c.record().Marked, true)
}

func markLapsed(c *check) {
	owner := lapsed(c)
	c.unchanged(func() { owner.marks(store.Lost) })
}

func markNotRunning(c *check) {
	c.each(append(finished(), situation{"a tombstone", tombstoned}), func(owner *caller) {
		c.unchanged(func() { owner.marks(store.Lost) })
	})
	c.each(existing(), func(*caller) {
		c.unchanged(func() { c.stranger().marks(store.Lost) })
	})
	c.fresh("on an absent record")
	c.caller("owner").marks(store.Lost)
	c.inState(store.Absent)
}
