package store

// complete makes the answer the recorded one.
func complete(rec Record, ev Complete, now Instant) (Record, Reply) {
	switch {
	case rec.absentFor(ev.Token):
		if !ev.Allows(now) {
			return rec, Reply{Verdict: Refused}
		}
		rec = adopt(ev.Attempt, now)
	case rec.Owner != ev.Owner || rec.State == Released:
		return rec, Reply{Verdict: Refused}
	case rec.State == Completed:
		return rec, Reply{Verdict: Done}
	}
	return rec.completed(ev.Owner, ev.Answer, now, now.Add(ev.Retention)), Reply{Verdict: Done}
}

// fail makes the outcome unknown. The record keeps the time to live that the
// running claim gave it.
func fail(rec Record, ev Fail, now Instant) (Record, Reply) {
	switch {
	case rec.absentFor(ev.Token):
		if !ev.Allows(now) {
			return rec, Reply{Verdict: Refused}
		}
		rec = adopt(ev.Attempt, now)
	case rec.Owner != ev.Owner || rec.State == Released:
		return rec, Reply{Verdict: Refused}
	case rec.State != Running:
		return rec, Reply{Verdict: Done}
	}
	rec = rec.unknown(now)
	rec.Marked = rec.Marked || ev.Marked
	if ev.Backoff > 0 {
		rec.NotBefore = now.Add(ev.Backoff)
	}
	return rec, Reply{Verdict: Done}
}

// release ends an attempt in which nothing final happened.
func release(rec Record, ev Release, now Instant) (Record, Reply) {
	switch {
	case rec.State == Absent:
		return tombstone(ev, now), Reply{Verdict: Done}
	case rec.Owner != ev.Owner || rec.State == Unknown && !ev.Void:
		return rec, Reply{Verdict: Refused}
	case rec.State != Running:
		return rec, Reply{Verdict: Done}
	}
	if ev.Void {
		rec.Attempt--
	}
	if ev.Void && rec.TookOver {
		return rec.unknown(now), Reply{Verdict: Done}
	}
	rec = rec.released(now, now.Add(ev.Retention))
	rec.Void = ev.Void && rec.Attempt == 0
	return rec, Reply{Verdict: Done}
}

// settle decides an unknown outcome from outside.
func settle(rec Record, ev Settle, now Instant) (Record, Reply) {
	open := rec.State == Unknown ||
		rec.State == Running && (ev.Running || rec.Lapsed(now)) ||
		rec.State == Completed && ev.Erase
	expires := max(now.Add(ev.Retention), rec.Expires)
	switch {
	case rec.State == Absent || rec.Token != ev.Token:
		return rec, Reply{Verdict: Refused}
	case rec.settledBy(ev):
		return rec, Reply{Verdict: Done}
	case !open:
		return rec, Reply{Verdict: Refused}
	case ev.Answer == nil:
		return rec.released(now, expires), Reply{Verdict: Done}
	}
	return rec.completed(ev.Owner, *ev.Answer, now, expires), Reply{Verdict: Done}
}

// settledBy recognises an earlier execution of the same settlement.
func (r *Record) settledBy(ev Settle) bool {
	if ev.Answer == nil {
		return r.State == Released
	}
	return r.State == Completed && r.Owner == ev.Owner
}

// absentFor reports whether the record counts as absent for the end of an
// attempt with that token: it is gone, or all that happened since is that a
// later claim came and went without ever starting.
func (r *Record) absentFor(token Token) bool {
	return r.State == Absent || r.State == Released && r.Void && token < r.Token
}

// adopt writes the record of an attempt that the store has lost.
func adopt(a Attempt, now Instant) Record {
	return Record{
		State:       Running,
		Owner:       a.Owner,
		Token:       a.Token,
		Attempt:     a.Number,
		LeaseEnd:    now,
		Lease:       a.Lease,
		Fingerprint: a.Fingerprint,
		Scope:       a.Scope,
		Operation:   a.Operation,
		Created:     a.Started,
		Started:     a.Started,
		Expires:     now.Add(RunningTTL(a.Lease, a.Retention)),
	}
}

// tombstone remembers a release that found nothing.
func tombstone(ev Release, now Instant) Record {
	return Record{
		State:       Released,
		Owner:       ev.Owner,
		Token:       Token(now),
		LeaseEnd:    now,
		Lease:       ev.Lease,
		Void:        ev.Void,
		Fingerprint: ev.Fingerprint,
		Scope:       ev.Scope,
		Operation:   ev.Operation,
		Created:     now,
		Started:     now,
		Finished:    now,
		Expires:     now.Add(TombstoneTTL),
	}
}

func (r Record) completed(owner Owner, answer Answer, now, expires Instant) Record {
	r = r.ended(Completed, now)
	r.Owner, r.Answer, r.Expires = owner, answer, expires
	return r
}

func (r Record) released(now, expires Instant) Record {
	r = r.ended(Released, now)
	r.Answer, r.Marked, r.Expires = Answer{}, false, expires
	return r
}

func (r Record) unknown(now Instant) Record { return r.ended(Unknown, now) }

// ended leaves running for a final state; whoever waited is to be notified.
func (r Record) ended(state State, now Instant) Record {
	r.State, r.Finished = state, now
	r.Waiters, r.TookOver, r.Void, r.NotBefore = false, false, false, 0
	return r
}
