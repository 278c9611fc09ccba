package simulation

import (
	"bytes"

	"github.com/reprise-go/reprise/store"
)

// executed is called for each execution of an event, with the record as it was
// and as it became. The world is locked.
func (j *judge) executed(p *process, id store.ID, event store.Event, before, after store.Record, reply store.Reply) {
	key := j.key(id)
	owner, claims := sender(event)
	j.world.trace.add(entry{
		process: p.number, key: key, what: event.Name(), verdict: reply.Verdict.String(),
		owner: j.owner(owner), token: int64(reply.Token), note: after.State.String(),
	})
	if claims && reply.Verdict == store.Claimed {
		j.grant(key, owner, reply.Token)
	}
	if j.world.core.Outside {
		return
	}
	j.stays(key, before, after)
	_, settles := event.(store.Settle)
	if !claims && !settles {
		j.ownerOnly(key, event, owner, before, after)
	}
}

// grant judges a token by those granted before it.
func (j *judge) grant(key int, owner store.Owner, token store.Token) {
	op := &j.ops[key]
	holder, again := op.granted[token]
	switch {
	case again && holder != owner && !j.forgetful():
		j.violate(TokensGrow, "token %d of key %d is granted to two owners", token, key)
	case !again && token <= op.tokens && !j.forgetful():
		j.violate(TokensGrow, "key %d grants token %d after %d", key, token, op.tokens)
	}
	op.granted[token] = owner
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
