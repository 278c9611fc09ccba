package simulation

import (
	"bytes"

	"github.com/reprise-go/reprise/store"
)

// held is the claim that was granted, or given up, last.
type held struct {
	owner store.Owner
	token store.Token
	until store.Instant
	ended bool
}

// executed is called for each execution of an event. The world is locked.
func (j *judge) executed(p *process, id store.ID, event store.Event, reply store.Reply) {
	key := j.key(id)
	owner, _ := sender(event)
	j.world.trace.add(entry{
		process: p.number, key: key, what: event.Name(), verdict: reply.Verdict.String(),
		owner: j.owner(owner), token: int64(reply.Token),
	})
	j.tells(&j.ops[key], event, reply)
	hold := &j.ops[key].hold
	switch ev := event.(type) {
	case store.Claim:
		if reply.Verdict == store.Claimed {
			j.grant(key, owner, reply)
		}
	case store.Renew:
		if reply.Verdict == store.Done && hold.owner == owner {
			hold.until = reply.Now.Add(ev.Lease)
		}
	case store.Release:
		// It also ends a claim that has not been executed yet.
		if reply.Verdict == store.Done {
			j.parted[owner] = true
			*hold = held{owner: owner, token: hold.token, ended: true}
		}
	case store.Complete, store.Fail:
		hold.ended = hold.ended || reply.Verdict == store.Done && hold.owner == owner
	case store.Settle:
		hold.ended = hold.ended || reply.Verdict == store.Done
	}
}

// tells notes the answers that the store has recorded, or hands out.
func (j *judge) tells(op *ledger, event store.Event, reply store.Reply) {
	switch ev := event.(type) {
	case store.Claim:
		if reply.Verdict == store.Recorded {
			op.told[string(reply.Answer.Body)] = j.era
		}
	case store.Complete:
		if reply.Verdict == store.Done {
			op.told[string(ev.Answer.Body)] = j.era
		}
	}
}

// changed is called with a record as it was before an event and as it became.
func (j *judge) changed(id store.ID, event store.Event, before, after store.Record) {
	key := j.key(id)
	owner, claims := sender(event)
	j.stays(key, before, after)
	if _, settles := event.(store.Settle); !claims && !settles {
		j.ownerOnly(key, event, owner, before, after)
	}
}

// grant judges a claim by those granted before it.
func (j *judge) grant(key int, owner store.Owner, reply store.Reply) {
	op, token := &j.ops[key], reply.Token
	lasting := !j.forgetful() && j.world.plan.clocks == 0
	if op.hold.owner == owner && op.hold.ended && lasting {
		j.violate(StaysEnded, "key %d is granted to owner %d, who gave it up", key, j.owner(owner))
	}
	taken := op.hold.owner != owner && !op.hold.ended && reply.Now < op.hold.until
	// A clock that was set back shortens leases when it is noticed.
	if taken && lasting {
		j.violate(OneHolder, "key %d is granted to owner %d while owner %d holds it",
			key, j.owner(owner), j.owner(op.hold.owner))
	}
	op.hold = held{owner: owner, token: token, until: reply.LeaseEnd}
	holder, again := op.granted[token]
	switch {
	case again && holder != owner && !j.forgetful():
		j.violate(TokensGrow, "token %d of key %d is granted to two owners", token, key)
	case !again && token <= op.tokens && !j.forgetful():
		j.violate(TokensGrow, "key %d grants token %d after %d", key, token, op.tokens)
	}
	op.granted[token] = owner
	op.late[token] = op.late[token] || j.isLate(owner)
	op.tokens = max(op.tokens, token)
}

// stays judges what became of a completed record.
func (j *judge) stays(key int, before, after store.Record) {
	if before.State != store.Completed {
		return
	}
	if after.State != store.Completed || after.Owner != before.Owner ||
		!bytes.Equal(after.Answer.Body, before.Answer.Body) {
		j.violate(AnswersStay, "key %d: completed %q became %v %q",
			key, before.Answer.Body, after.State, after.Answer.Body)
	}
}

// ownerOnly judges a change by who made it. What is absent belongs to nobody,
// and so does the trace of a claim that never started.
func (j *judge) ownerOnly(key int, event store.Event, owner store.Owner, before, after store.Record) {
	if before.State == store.Absent || before.State == store.Released && before.Void || before.Owner == owner {
		return
	}
	if after.State != before.State || after.Owner != before.Owner || after.Token != before.Token ||
		after.Marked != before.Marked || after.LeaseEnd != before.LeaseEnd {
		j.violate(OwnerOnly, "key %d: %s of owner %d changed the record of owner %d",
			key, event.Name(), j.owner(owner), j.owner(before.Owner))
	}
}

// sender returns in whose name an event is sent, and whether it claims.
func sender(event store.Event) (owner store.Owner, claims bool) {
	switch ev := event.(type) {
	case store.Claim:
		return ev.Owner, true
	case store.Renew:
		return ev.Owner, false
	case store.Mark:
		return ev.Owner, false
	case store.Complete:
		return ev.Owner, false
	case store.Fail:
		return ev.Owner, false
	case store.Release:
		return ev.Owner, false
	case store.Settle:
		return ev.Owner, false
	}
	return store.Owner{}, false
}
