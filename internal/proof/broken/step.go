package broken

import "github.com/reprise-go/reprise/store"

// Step is the shape of [store.Step].
type Step func(store.Record, store.Event, store.Instant) (store.Record, store.Reply)

// NoOwnerCheck takes every renewal, mark and ending for the record's owner's:
// unlock without a look at who holds the lock.
func NoOwnerCheck(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	owner, ok := sender(event)
	_, claims := event.(store.Claim)
	if ok && !claims && rec.State != store.Absent {
		rec.Owner = owner
	}
	return store.Step(rec, event, now)
}

// ForgetfulClaim does not recognise the owner that asks again: a claim whose
// reply was lost meets itself.
func ForgetfulClaim(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	claim, ok := event.(store.Claim)
	if !ok || rec.State == store.Absent || rec.Owner != claim.Owner {
		return store.Step(rec, event, now)
	}
	other := rec
	other.Owner = store.Owner{}
	next, reply := store.Step(other, event, now)
	if next.Owner == (store.Owner{}) {
		next.Owner = rec.Owner
	}
	return next, reply
}

// LeaseIsTTL lets a running record expire with its lease, so that nothing tells
// of a handler that died.
func LeaseIsTTL(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	next, reply := store.Step(rec, event, now)
	if next.State == store.Running {
		next.Expires = next.LeaseEnd
	}
	return next, reply
}

// AmnesicTombstone releases an absent record without leaving anything behind,
// so that a late claim of an owner that gave up starts an attempt of nobody.
func AmnesicTombstone(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	if _, ok := event.(store.Release); ok && rec.Live(now).State == store.Absent {
		return store.Record{}, store.Reply{Verdict: store.Done, Now: now}
	}
	return store.Step(rec, event, now)
}

// UncheckedMark lets an attempt mark its effect after its lease lapsed.
func UncheckedMark(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	if _, ok := event.(store.Mark); ok {
		return rec, store.Reply{Verdict: store.Done, Now: now}
	}
	return store.Step(rec, event, now)
}

// sender returns the owner in whose name an event is sent.
func sender(event store.Event) (store.Owner, bool) {
	switch ev := event.(type) {
	case store.Claim:
		return ev.Owner, true
	case store.Renew:
		return ev.Owner, true
	case store.Mark:
		return ev.Owner, true
	case store.Complete:
		return ev.Owner, true
	case store.Fail:
		return ev.Owner, true
	case store.Release:
		return ev.Owner, true
	}
	return store.Owner{}, false
}
