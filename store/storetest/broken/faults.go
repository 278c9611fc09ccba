package broken

import "github.com/reprise-go/reprise/store"

// NoOwnerCheck returns a store in which everybody may renew, mark, complete,
// fail and release everybody's attempt, as with a lock that is unlocked by
// deleting it.
func NoOwnerCheck() store.Store { return New(noOwnerCheck) }

func noOwnerCheck(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	if rec.Live(now).State == store.Absent {
		return store.Step(rec, event, now)
	}
	switch ev := event.(type) {
	case store.Renew:
		ev.Owner = rec.Owner
		event = ev
	case store.Mark:
		ev.Owner = rec.Owner
		event = ev
	case store.Complete:
		ev.Owner = rec.Owner
		event = ev
	case store.Fail:
		ev.Owner = rec.Owner
		event = ev
	case store.Release:
		ev.Owner = rec.Owner
		event = ev
	}
	return store.Step(rec, event, now)
}

// ClaimNotIdempotent returns a store in which an owner that claims again is
// anybody else: after a lost reply it finds its own claim in progress, as with
// SET NX.
func ClaimNotIdempotent() store.Store { return New(claimNotIdempotent) }

func claimNotIdempotent(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	claim, ok := event.(store.Claim)
	if !ok || rec.Owner != claim.Owner || rec.State != store.Running {
		return store.Step(rec, event, now)
	}
	// Seen as somebody else's: the claim fails, or takes the record over.
	other := rec
	other.Owner[0] ^= 0xff
	next, reply := store.Step(other, claim, now)
	if reply.Verdict != store.Claimed {
		next.Owner = rec.Owner
	}
	return next, reply
}

// EarlyLapse returns a store in which others find a lease lapsed while a quarter
// of it is left, so that an attempt is given up, or taken over, beside its owner.
func EarlyLapse() store.Store { return New(earlyLapse) }

func earlyLapse(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	claim, ok := event.(store.Claim)
	if !ok || rec.State != store.Running || rec.Owner == claim.Owner {
		return store.Step(rec, event, now)
	}
	early := rec
	early.LeaseEnd = rec.LeaseEnd.Add(-rec.Lease / 4)
	next, reply := store.Step(early, claim, now)
	if reply.Verdict != store.Claimed {
		next.LeaseEnd = rec.LeaseEnd
	}
	return next, reply
}

// DeposedAnswers returns a store that leaves another owner's record as it is, and
// tells the deposed owner that its answer was recorded.
func DeposedAnswers() store.Store { return New(deposedAnswers) }

func deposedAnswers(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	next, reply := store.Step(rec, event, now)
	if _, ok := event.(store.Complete); ok && reply.Verdict == store.Refused {
		return next, store.Reply{Verdict: store.Done, Now: now}
	}
	return next, reply
}

// LeaseIsTTL returns a store in which a running record is forgotten when its
// lease ends, so that a crash looks like an operation that never started.
func LeaseIsTTL() store.Store { return New(leaseIsTTL) }

func leaseIsTTL(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	next, reply := store.Step(rec, event, now)
	if next.State == store.Running {
		next.Expires = next.LeaseEnd
	}
	return next, reply
}

// TakeOverNotAtomic returns a store that reads a record, decides that it may be
// taken over, and writes a millisecond later, so that all claims which come in
// between take it over as well. See [NotAtomic].
func TakeOverNotAtomic() store.Store {
	return NotAtomic(func(_ store.Event, reply store.Reply) bool { return reply.TookOver })
}
