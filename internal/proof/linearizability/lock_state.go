package linearizability

import (
	"fmt"
	"slices"

	"github.com/reprise-go/reprise/lock"
)

// lockState is a lock as the model knows it. It is comparable. Of the points of
// time it has the token and the lease's end.
type lockState struct {
	lockFacts
	span
}

// lockFacts are what a lock's record holds beside its points of time. That a
// trace is forgotten in the end is left out: no history lasts so long.
type lockFacts struct {
	phase lockPhase
	owner lock.Owner
	kept  bool
	// former are the last who held the lock up to their release, the latest first,
	// without the owner of a trace.
	former [Formers]FormerOwner
}

type lockPhase uint8

const (
	free lockPhase = iota
	held
	ended
)

func (s lockState) content() any               { return s.lockFacts }
func (s lockState) times() span                { return s.span }
func (s lockState) withTimes(t span) lockState { s.span = t; return s }

// String describes the state in a counterexample.
func (s lockState) String() string {
	if s.phase == free {
		return "free"
	}
	return fmt.Sprintf("%s of %.4s, token %v, lease end %v",
		[...]string{held: "held", ended: "trace"}[s.phase], s.owner, s.moments[token], s.moments[leaseEnd])
}

// lockCase is one of the ways in which the time of an execution and the lease's
// end, each known within bounds, can compare.
type lockCase struct {
	lockState
	when    moment // of the execution
	running bool   // the lease has not lapsed by then
}

// cases returns all ways. In each, the call is decided the same wherever within
// the bounds the points are.
func (s lockState) cases(when moment) []lockCase {
	when = when.within(s.now, never)
	lapsed := lockCase{lockState: s, when: when}
	if s.phase != held {
		return possible(lapsed)
	}
	running := lapsed
	running.running = true
	end := s.moments[leaseEnd]
	running.when = when.within(0, end.most-1)
	running.moments[leaseEnd] = end.within(running.when.least+1, never)
	lapsed.when = when.within(end.least, never)
	lapsed.moments[leaseEnd] = end.within(0, lapsed.when.most)
	return possible(running, lapsed)
}

func possible(cases ...lockCase) []lockCase {
	return slices.DeleteFunc(cases, func(c lockCase) bool {
		return c.when.empty() || c.moments[leaseEnd].empty() || c.moments[token].empty()
	})
}

// step executes a call: it returns what the lock becomes, and the answer without
// its points of time.
func (c lockCase) step(call lockCall) (next lockState, answer lockAnswer) {
	next = c.lockState
	next.now = c.when.least
	switch call.verb {
	case acquires:
		answer.reply.Verdict = next.acquire(c, call)
	case renews:
		if answer.done = c.holds(call.owner); answer.done {
			next.moments[leaseEnd] = c.when.plus(call.lease)
		}
	case releases:
		answer.done = next.release(c, call.owner)
	case looks:
	}
	return next, answer
}

// holds reports whether an owner's lease runs.
func (c lockCase) holds(owner lock.Owner) bool {
	return c.phase == held && c.running && c.owner == owner
}

func (s *lockState) acquire(c lockCase, call lockCall) lock.Verdict {
	mine := c.phase != free && c.owner == call.owner
	switch {
	case mine && c.phase == ended, c.released(call.owner):
		return lock.Ended
	case c.phase == held && c.running && !mine:
		return lock.Held
	case !mine:
		s.lockFacts = lockFacts{phase: held, owner: call.owner, former: c.formers()}
		s.moments[token] = c.when.atLeast(c.moments[token].plus(1))
	}
	s.moments[leaseEnd] = c.when.plus(call.lease)
	return lock.Acquired
}

func (s *lockState) release(c lockCase, owner lock.Owner) (done bool) {
	switch {
	case c.phase == ended && c.owner == owner:
		return c.kept
	case c.released(owner):
		return true
	case c.phase == held && c.running && c.owner != owner:
		return false
	}
	done = c.holds(owner)
	if !done {
		s.former = c.formers()
		s.moments[token] = c.when.atLeast(c.moments[token])
	}
	s.phase, s.owner, s.kept = ended, owner, done
	s.moments[leaseEnd] = moment{}
	return done
}

// released reports an owner who held the lock up to its release, before others
// did.
func (f lockFacts) released(owner lock.Owner) bool {
	return slices.Contains(f.former[:], formerOf(owner))
}

// formers returns the former owners for the record that takes this one's place.
func (f lockFacts) formers() [Formers]FormerOwner {
	if f.phase != ended || !f.kept {
		return f.former
	}
	later := [Formers]FormerOwner{formerOf(f.owner)}
	copy(later[1:], f.former[:])
	return later
}
