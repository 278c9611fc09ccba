package linearizability

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/reprise-go/reprise/store"
)

// lockModel is the sequential model of one lock, and the calls that nobody knows
// the fate of. Unlike a store, a lock does not tell when it executed a call. It
// was between the call and its answer, by the backend's clock, which is this
// machine's; a token and what is left of a lease tell more. See [model] for what
// becomes of points of time that are known within bounds.
type lockModel struct {
	unanswered []lockCall
	// twins gives for each unanswered call the same one sent before, or -1.
	twins []int
}

func newLockModel(unanswered []lockSent) lockModel {
	var m lockModel
	for i, s := range unanswered {
		m.unanswered = append(m.unanswered, s.lockCall)
		m.twins = append(m.twins, -1)
		for j := range i {
			other := unanswered[j].lockCall
			if other.verb == s.verb && other.owner == s.owner && other.lease == s.lease {
				m.twins[i] = j
			}
		}
	}
	return m
}

// rounding is how far two readings of one clock in µs, one of them of a
// difference, may be apart.
const rounding = 2

func (m lockModel) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return []lockState{{}} },
		Step: func(s, in, out any) (bool, any) {
			next := m.step(s.([]lockState), in.(lockCall), out.(lockAnswer)) //nolint:forcetypeassert // by construction
			return len(next) > 0, next
		},
		Equal: func(a, b any) bool {
			return slices.Equal(a.([]lockState), b.([]lockState)) //nolint:forcetypeassert // by construction
		},
		DescribeOperation: func(in, out any) string {
			return in.(lockCall).describe(out.(lockAnswer)) //nolint:forcetypeassert // by construction
		},
		DescribeState: func(s any) string { return fmt.Sprint(s) },
	}
}

// step returns what the lock can be after an answered call.
func (m lockModel) step(states []lockState, call lockCall, heard lockAnswer) []lockState {
	var next []lockState
	for _, s := range m.meanwhile(states, call.when.most) {
		for _, c := range s.cases(call.when) {
			next = append(next, c.answered(call, heard)...)
		}
	}
	return thin(next)
}

// meanwhile returns what the lock can become by unanswered calls until an
// instant, what it is included.
func (m lockModel) meanwhile(states []lockState, until store.Instant) []lockState {
	all := states
	for len(states) > 0 {
		next := make([]lockState, 0, len(states))
		for _, s := range states {
			for number := range m.unanswered {
				next = append(next, m.sometime(s, number, until)...)
			}
		}
		states = thin(next)
		all = append(slices.Clip(all), states...)
	}
	return all
}

// sometime executes an unanswered call at some time until an instant. An
// execution that changes nothing is left out.
func (m lockModel) sometime(s lockState, number int, until store.Instant) []lockState {
	call, twin, bit := m.unanswered[number], m.twins[number], uint64(1)<<number
	if s.executed&bit != 0 || twin >= 0 && s.executed&(1<<twin) == 0 {
		return nil
	}
	var all []lockState
	for _, c := range s.cases(call.when.within(0, until)) {
		next, _ := c.step(call)
		if next.lockFacts == s.lockFacts && next.moments == c.moments {
			continue
		}
		next.executed |= bit
		all = append(all, next)
	}
	return all
}

// answered executes a call in one case, and compares the answer with the one that
// was heard, which may tell more of the points of time.
func (c lockCase) answered(call lockCall, heard lockAnswer) []lockState {
	var next []lockState
	for _, told := range c.told(call, heard) {
		s, answer := told.step(call)
		if answer.reply.Verdict != heard.reply.Verdict || answer.done != heard.done {
			continue
		}
		if at := store.Instant(heard.reply.Token); at != 0 && !s.moments[token].observe(at) {
			continue
		}
		if call.verb == looks && !s.look(heard.seen) {
			continue
		}
		next = append(next, s)
	}
	return next
}

// told splits a case by what an answer says about time, and leaves out what
// cannot be. A new token is the time of the execution, or the one after the last.
func (c lockCase) told(call lockCall, heard lockAnswer) []lockCase {
	if left := store.Instant(heard.reply.Left.Microseconds()); left != 0 {
		end := &c.moments[leaseEnd]
		c.when = c.when.within(end.least-left-rounding, end.most-left+rounding)
		*end = end.within(c.when.least+left-rounding, c.when.most+left+rounding)
		return possible(c)
	}
	at := store.Instant(heard.reply.Token)
	if at == 0 || c.phase == held && c.owner == call.owner {
		return possible(c)
	}
	now, last := c, c
	now.when = c.when.within(at, at)
	now.moments[token] = c.moments[token].within(0, at-1)
	last.when = c.when.within(0, at-1)
	last.moments[token] = c.moments[token].within(at-1, at-1)
	return possible(now, last)
}

// look compares the whole record. It changes nothing, but it ends doubts.
func (s *lockState) look(seen LockRecord) bool {
	facts := lockFacts{owner: seen.Owner, kept: seen.Kept, former: seen.Former}
	switch {
	case seen.Held:
		facts.phase = held
	case seen.Ended:
		facts.phase = ended
	}
	return s.lockFacts == facts &&
		s.moments[token].observe(store.Instant(seen.Token)) && s.moments[leaseEnd].observe(store.Instant(seen.End))
}
