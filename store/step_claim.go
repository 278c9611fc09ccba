package store

// claim decides who may start. The order of the questions matters: the owner's
// own earlier claim first (a lost reply), then the request's identity (422
// beats 409), then the state.
func claim(rec Record, ev Claim, now Instant) (Record, Reply) {
	if rec.State == Absent {
		return start(rec, ev, now)
	}
	if rec.Owner == ev.Owner && rec.State != Completed {
		return claimAgain(rec, ev, now)
	}
	if rec.Fingerprint.Algorithm != ev.Fingerprint.Algorithm {
		return rec, Reply{Verdict: OtherAlgorithm, Algorithm: rec.Fingerprint.Algorithm}
	}
	if !rec.Fingerprint.Equal(ev.Fingerprint) {
		return rec, Reply{Verdict: Mismatch}
	}
	switch rec.State {
	case Released, Absent:
		return start(rec, ev, now)
	case Completed:
		reply := rec.describe(Recorded)
		reply.Answer, reply.Finished = rec.Answer, rec.Finished
		return rec, reply
	case Running:
		rec.clampLease(now)
		if !rec.Lapsed(now) {
			return inProgress(rec, ev)
		}
	case Unknown:
	}
	return takeOver(rec, ev, now)
}

// start makes the claim's owner the running one, on a record that is absent,
// released, or taken over.
func start(rec Record, ev Claim, now Instant) (Record, Reply) {
	next := Record{
		State:       Running,
		Owner:       ev.Owner,
		Token:       max(Token(now), rec.Token+1),
		Attempt:     rec.Attempt + 1,
		LeaseEnd:    now.Add(ev.Lease),
		Lease:       ev.Lease,
		Fingerprint: ev.Fingerprint,
		Scope:       ev.Scope,
		Operation:   ev.Operation,
		Created:     now,
		Started:     now,
		Expires:     now.Add(RunningTTL(ev.Lease, ev.Retention)),
	}
	if rec.State != Absent {
		next.Created = rec.Created
	}
	reply := next.describe(Claimed)
	reply.LeaseEnd = next.LeaseEnd
	return next, reply
}

// claimAgain answers an owner that asks a second time: because a reply was
// lost, or because an earlier packet arrived late.
func claimAgain(rec Record, ev Claim, now Instant) (Record, Reply) {
	if rec.State != Running {
		return rec, Reply{Verdict: Ended}
	}
	rec.Lease = ev.Lease
	rec.LeaseEnd = now.Add(ev.Lease)
	rec.Expires = now.Add(RunningTTL(ev.Lease, ev.Retention))
	reply := rec.describe(Claimed)
	reply.LeaseEnd = rec.LeaseEnd
	reply.TookOver, reply.Marked = rec.TookOver, rec.Marked
	return rec, reply
}

func inProgress(rec Record, ev Claim) (Record, Reply) {
	rec.Waiters = rec.Waiters || ev.Wait
	reply := rec.describe(InProgress)
	reply.LeaseEnd = rec.LeaseEnd
	return rec, reply
}

// takeOver starts an attempt after one whose outcome is unknown, if the claim
// may. The mark stays: the earlier attempt's effect may have happened.
func takeOver(rec Record, ev Claim, now Instant) (Record, Reply) {
	allowed := ev.TakeOver == TakeOverAlways || ev.TakeOver == TakeOverUnmarked && !rec.Marked
	if !allowed || now < rec.NotBefore {
		reply := rec.describe(OutcomeUnknown)
		reply.Marked = rec.Marked
		return rec, reply
	}
	next, reply := start(rec, ev, now)
	next.TookOver, next.Marked = true, rec.Marked
	reply.TookOver, reply.Marked = true, rec.Marked
	return next, reply
}

// clampLease repairs a lease that reaches further than it is long, which means
// that the server's clock was set back.
func (r *Record) clampLease(now Instant) {
	if r.LeaseEnd.Sub(now) > r.Lease {
		r.LeaseEnd = now.Add(r.Lease)
	}
}

func (r *Record) describe(v Verdict) Reply {
	return Reply{Verdict: v, Token: r.Token, Attempt: r.Attempt, Started: r.Started}
}
