package store

// Step is the protocol: it returns what event makes of a record at now, and
// the answer to it. It is pure, and it is the specification that every store
// follows.
//
// An expired record counts as absent. The event must be valid ([Validate]); one
// of another type changes nothing and gets no verdict. Whoever was waiting is to
// be notified when rec.Waiters is set and next.Waiters is not.
func Step(rec Record, event Event, now Instant) (next Record, reply Reply) {
	rec = rec.Live(now)
	switch ev := event.(type) {
	case Claim:
		next, reply = claim(rec, ev, now)
	case Renew:
		next, reply = renew(rec, ev, now)
	case Mark:
		next, reply = mark(rec, ev, now)
	case Complete:
		next, reply = complete(rec, ev, now)
	case Fail:
		next, reply = fail(rec, ev, now)
	case Release:
		next, reply = release(rec, ev, now)
	case Settle:
		next, reply = settle(rec, ev, now)
	default:
		next = rec
	}
	reply.Now = now
	return next, reply
}

func renew(rec Record, ev Renew, now Instant) (Record, Reply) {
	if !rec.heldBy(ev.Owner, now) {
		return rec, Reply{Verdict: Lost}
	}
	rec.Lease = ev.Lease
	rec.LeaseEnd = now.Add(ev.Lease)
	rec.Expires = now.Add(RunningTTL(ev.Lease, ev.Retention))
	return rec, Reply{Verdict: Done}
}

func mark(rec Record, ev Mark, now Instant) (Record, Reply) {
	if !rec.heldBy(ev.Owner, now) {
		return rec, Reply{Verdict: Lost}
	}
	rec.Marked = true
	return rec, Reply{Verdict: Done}
}

// heldBy reports whether the owner holds a lease that has not lapsed.
func (r *Record) heldBy(owner Owner, now Instant) bool {
	return r.State == Running && r.Owner == owner && !r.Lapsed(now)
}
