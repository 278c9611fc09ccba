package linearizability

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/reprise-go/reprise/store"
)

// Input is an operation as it was sent.
type Input struct {
	// Event was sent to the record; nil is a look at it.
	Event store.Event
	// Floor is a server time that somebody had heard of before it was sent.
	Floor store.Instant
	// Ceiling is a server time that is known to be after a look: that of an event
	// sent when the look was over.
	Ceiling store.Instant
	// Earlier is how many answered events of the history were executed before.
	Earlier int
}

// Output is the answer to an operation.
type Output struct {
	// Reply is the answer to an event.
	Reply store.Reply
	// Record is the answer to a look.
	Record store.Record
}

// model is the sequential model of one record: [store.Step], and the events that
// nobody knows the fate of.
//
// An unanswered event may be executed between any two answered ones, but not
// before the server time that its sender had heard of, and once at most. What it
// writes with its time is known within the bounds that its neighbours set. Where
// such points of time are compared, a step goes through all ways in which that
// can end, and keeps for each the bounds within which it is so.
//
// Bounds are kept for each point on its own, and not what they say about one
// another, so the model may accept what an exact one would not. It does not
// refuse what that would accept.
type model struct {
	unanswered []Input
	// twins gives for each unanswered event the same one sent before, or -1. They
	// are executed in this order: it makes no difference which of them it was.
	twins    []int
	evidence evidence
}

func newModel(answered []porcupine.Operation, unanswered []sent) model {
	m := model{evidence: gather(answered, unanswered)}
	for i, s := range unanswered {
		m.unanswered = append(m.unanswered, s.Input)
		m.twins = append(m.twins, -1)
		for j := range i {
			if reflect.DeepEqual(unanswered[j].Event, s.Event) {
				m.twins[i] = j
			}
		}
	}
	return m
}

// maxPending is how many unanswered events a model can tell apart.
const maxPending = 64

// porcupine returns the model in porcupine's terms. Its state is all that the
// record can be.
func (m model) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return []state{{}} },
		Step: func(s, in, out any) (bool, any) {
			next := m.step(s.([]state), in.(Input), out.(Output)) //nolint:forcetypeassert // by construction
			return len(next) > 0, next
		},
		Equal: func(a, b any) bool {
			return slices.Equal(a.([]state), b.([]state)) //nolint:forcetypeassert // by construction
		},
		DescribeOperation: func(in, out any) string {
			return describe(in.(Input), out.(Output)) //nolint:forcetypeassert // by construction
		},
		DescribeState: func(s any) string { return fmt.Sprint(s) },
	}
}

// step returns what the record can be after an answered operation.
func (m model) step(states []state, in Input, out Output) []state {
	var next []state
	if in.Event == nil {
		for _, s := range m.meanwhile(states, in.Ceiling-1) {
			next = append(next, look(s, out.Record)...)
		}
		return thin(next)
	}
	// Out of turn: not wrong yet, but it cannot become right.
	if states[0].answered < in.Earlier {
		return nil
	}
	for _, s := range m.meanwhile(states, out.Reply.Now-1) {
		if s.now <= out.Reply.Now {
			s.answered++
			next = append(next, answered(s, in.Event, out.Reply)...)
		}
	}
	return thin(next)
}

// meanwhile returns what the record can become by unanswered events until an
// instant, what it is included. An execution that changes nothing is left out.
func (m model) meanwhile(states []state, until store.Instant) []state {
	all := states
	for len(states) > 0 {
		next := make([]state, 0, len(states))
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

// look compares the whole record. It changes nothing, but it ends doubts.
func look(s state, rec store.Record) []state {
	if s.facts != factsOf(&rec) {
		return nil
	}
	for i, at := range instantsOf(&rec) {
		if !s.observe(i, at) {
			return nil
		}
	}
	return []state{s}
}

// observe notes that a point of time has been seen. False if it cannot be this.
func (s *state) observe(point int, at store.Instant) bool {
	return s.moments[point].observe(at)
}

// answered executes an event at the time that its reply tells.
func answered(s state, event store.Event, reply store.Reply) []state {
	var next []state
	for _, c := range s.cases(event, exactly(reply.Now)) {
		if n, ok := c.execute(event, reply); ok {
			next = append(next, n)
		}
	}
	return next
}

// execute runs the protocol in one case and compares the replies.
func (c cases) execute(event store.Event, reply store.Reply) (state, bool) {
	at := c.representative(reply.Now)
	rec, expected := store.Step(c.state.record(at), event, reply.Now)
	next := c.state.after(&rec, reply.Now)
	for i, after := range instantsOf(&rec) {
		if after != at[i] {
			next.moments[i] = exactly(after)
		}
	}
	return next, next.agrees(expected, reply)
}

// agrees compares the reply that the protocol gives with the one that was
// heard, and takes from that what it tells about points of time.
func (s *state) agrees(expected, heard store.Reply) bool {
	if expected.Verdict != heard.Verdict || expected.Attempt != heard.Attempt ||
		expected.TookOver != heard.TookOver || expected.Marked != heard.Marked ||
		expected.Algorithm != heard.Algorithm {
		return false
	}
	if expected.Verdict == store.Recorded && s.answer != answerOf(heard.Answer) {
		return false
	}
	return s.tells(token, store.Instant(expected.Token), store.Instant(heard.Token)) &&
		s.tells(started, expected.Started, heard.Started) &&
		s.tells(leaseEnd, expected.LeaseEnd, heard.LeaseEnd) &&
		s.tells(finished, expected.Finished, heard.Finished)
}

func (s *state) tells(point int, expected, heard store.Instant) bool {
	if expected == 0 {
		return heard == 0
	}
	return s.observe(point, heard)
}

// sometime executes an unanswered event at some time until an instant.
func (m *model) sometime(s state, number int, until store.Instant) []state {
	in, twin, bit := m.unanswered[number], m.twins[number], uint64(1)<<number
	when := moment{max(s.now, in.Floor) + 1, until}
	if s.executed&bit != 0 || when.empty() || twin >= 0 && s.executed&(1<<twin) == 0 {
		return nil
	}
	var all []state
	for _, c := range s.cases(in.Event, when) {
		next := c.executeSometime(in.Event)
		if next.facts == s.facts && next.moments == c.state.moments {
			continue
		}
		for _, c.when = range m.evidence.windows(c, next) {
			if c.when.empty() {
				continue
			}
			next := c.executeSometime(in.Event)
			next.executed |= bit
			all = append(all, next)
		}
	}
	return all
}

// executeSometime runs the protocol twice, a microsecond apart: what differs
// then depends on the time of the execution.
func (c cases) executeSometime(event store.Event) state {
	now := c.when.least
	at, later := c.representative(now), c.representative(now+1)
	rec, _ := store.Step(c.state.record(at), event, now)
	other, _ := store.Step(c.state.record(later), event, now+1)
	next := c.state.after(&rec, now)
	shifted := instantsOf(&other)
	for i, t := range instantsOf(&rec) {
		switch {
		case t == at[i] && shifted[i] == later[i]: // left as it was
		case t == shifted[i]:
			next.moments[i] = exactly(t)
		default:
			next.moments[i] = moment{t, c.when.most + t - now}
		}
	}
	return next
}

// after returns the state that an execution leaves behind.
func (s state) after(rec *store.Record, now store.Instant) state {
	s.facts = factsOf(rec)
	if rec.Answer.Codec == known {
		s.answer = string(rec.Answer.Body)
	}
	s.now = now
	return s
}

func describe(in Input, out Output) string {
	if in.Event == nil {
		return "look → " + out.Record.State.String()
	}
	return fmt.Sprintf("%s %.4s → %v, token %d, at %d",
		in.Event.Name(), owner(in.Event), out.Reply.Verdict, out.Reply.Token, out.Reply.Now)
}
