package bubble

import (
	"strings"
	"time"

	"github.com/reprise-go/reprise/internal/proof/simulation"
)

// executed judges a command that Redis has just executed, by its reply and the
// records before and after it. No other command came in between.
func (j *judge) executed(p *process, c *command, frame string, before, after []record) {
	j.world.count(Commands)
	if c.handshake() || c.name() == "get" {
		return
	}
	owner := c.owner()
	j.world.note(p, "redis: %s by %.6s: %s", c.name(), owner, verdictOf(frame))
	j.mu.Lock()
	defer j.mu.Unlock()
	for k := range before {
		if !c.names(j.world.keys[k].raw) {
			continue
		}
		j.changed(k, c, before[k], after[k])
		j.claimed(k, owner, frame, after[k])
	}
}

// changed judges a change by who made it. What is absent belongs to nobody, and so
// does what is released.
func (j *judge) changed(k int, c *command, before, after record) {
	if before.raw == after.raw {
		return
	}
	if before.state == 'C' && !keepsAnswer(before, after) {
		j.violateLocked(simulation.AnswersStay, "key %d: a completed record changed into %c of token %d", k, after.state, after.token)
		return
	}
	if before.state == 0 || before.state == 'L' || c.names(before.owner) || before.onlyWaits(after) {
		return
	}
	lapsed := before.state == 'U' || time.Now().UnixMicro() >= before.leaseEnd
	switch {
	case after.state != 'R' || after.token <= before.token:
		j.violateLocked(simulation.OwnerOnly, "key %d: the record %c of token %d became %c of token %d by another owner's command",
			k, before.state, before.token, after.state, after.token)
	case !lapsed:
		j.violateLocked(simulation.OneHolder, "key %d is granted with token %d while token %d holds it", k, after.token, before.token)
	}
}

// keepsAnswer reports that a completed record is what it was, but for its expiry.
func keepsAnswer(before, after record) bool {
	return after.state == 'C' && after.token == before.token && after.raw == before.raw
}

// claimed takes note of a claim that was granted, and judges one that was refused.
func (j *judge) claimed(k int, owner, frame string, after record) {
	op, verdict := &j.ops[k], verdictOf(frame)
	refused := verdict == "in progress" || verdict == "outcome unknown"
	if refused && after.state == 'R' && after.owner == owner {
		j.violateLocked(simulation.OwnClaim, "key %d: %s because of its own claim %d", k, verdict, after.token)
	}
	if verdict != "claimed" || owner == "" {
		return
	}
	holder, again := op.granted[after.token]
	switch {
	case again && holder != owner:
		j.violateLocked(simulation.TokensGrow, "token %d of key %d is granted to two owners", after.token, k)
	case !again && after.token <= op.tokens:
		j.violateLocked(simulation.TokensGrow, "key %d grants token %d after %d", k, after.token, op.tokens)
	}
	op.granted[after.token] = owner
	op.tokens = max(op.tokens, after.token)
}

// delivered is called when an owner is about to read a reply in its own name.
func (j *judge) delivered(owner string, reply []byte) {
	if !strings.Contains(string(reply), " claim: claimed: ") {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.heard[owner] = true
}
