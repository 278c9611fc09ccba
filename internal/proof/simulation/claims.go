package simulation

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

// delivered is called when a process reads a reply.
func (j *judge) delivered(p *process, id store.ID, event store.Event, reply store.Reply) {
	claim, ok := event.(store.Claim)
	if !ok {
		return
	}
	j.world.mu.Lock()
	defer j.world.mu.Unlock()
	op := &j.ops[j.key(id)]
	switch reply.Verdict {
	case store.Claimed:
		op.heard[reply.Token] = true
	case store.InProgress, store.OutcomeUnknown:
		j.parted[claim.Owner] = true
		if op.granted[reply.Token] == claim.Owner {
			j.violate(OwnClaim, "process %d, owner %d: %v because of its own claim %d",
				p.number, j.owner(claim.Owner), reply.Verdict, reply.Token)
		}
	}
}

// asks is called when a claim is sent. Those who wait ask again and again in the
// name of one owner, who has not given up as long as they do.
func (j *judge) asks(event store.Event) {
	claim, ok := event.(store.Claim)
	if !ok {
		return
	}
	j.world.mu.Lock()
	defer j.world.mu.Unlock()
	delete(j.gaveUp, claim.Owner)
}

// unheard is called when a process has no answer to an event.
func (j *judge) unheard(event store.Event) {
	claim, ok := event.(store.Claim)
	if !ok {
		return
	}
	j.world.mu.Lock()
	defer j.world.mu.Unlock()
	j.gaveUp[claim.Owner] = time.Now()
}

// soon is how late a claim may be executed that is surely given back: before the
// first release is sent.
const soon = 45 * time.Millisecond

// isLate reports whether a claim that is executed now comes too late to be given
// back: after its owner has parted with it, or long after he gave up.
func (j *judge) isLate(owner store.Owner) bool {
	gaveUp, ok := j.gaveUp[owner]
	return j.parted[owner] || ok && time.Since(gaveUp) > soon
}

// leftBehind is called when the outcome of a key is unknown in the end. If no
// handler ever started, that is the trace of a claim that nobody gave back.
func (j *judge) leftBehind(key int) {
	w := j.world
	w.mu.Lock()
	defer w.mu.Unlock()
	op := &j.ops[key]
	if len(op.starts) == 0 && w.unharmed() && !op.late[op.tokens] {
		j.violate(LeftBehind, "the outcome of key %d is unknown, and no handler ever started", key)
	}
}
