package linearizability

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/reprise-go/reprise/store"
)

// Input is an operation as it was sent.
type Input struct {
	// Event was sent to the record; nil is a look at it.
	Event store.Event
	// Floor is the largest server time that anybody had heard of by then. No
	// execution is earlier.
	Floor store.Instant
}

// Output is what became of an operation.
type Output struct {
	// Known says that there was an answer.
	Known bool
	// Reply is the answer to an event.
	Reply store.Reply
	// Record is the answer to a look.
	Record store.Record
}

// Model returns the sequential model of one record: [store.Step].
//
// Where points of time are known within bounds only, a step goes through all
// ways in which they can compare with the time of the event, and keeps for each
// the bounds within which it is so. Bounds are kept for each point on its own,
// and not what they say about one another, so the model may accept what an exact
// one would not; it does not refuse what that would accept.
func Model() porcupine.Model {
	model := porcupine.NondeterministicModel{
		Init:  func() []any { return []any{state{}} },
		Equal: func(a, b any) bool { return a == b },
		Step: func(s, in, out any) []any {
			next := step(s.(state), in.(Input), out.(Output)) //nolint:forcetypeassert // by construction
			states := make([]any, len(next))
			for i, n := range next {
				states[i] = n
			}
			return states
		},
		DescribeOperation: func(in, out any) string {
			return describe(in.(Input), out.(Output)) //nolint:forcetypeassert // by construction
		},
		DescribeState: func(s any) string { return fmt.Sprint(s) },
	}
	return model.ToModel()
}

func step(s state, in Input, out Output) []state {
	switch {
	case in.Event == nil:
		return look(s, out)
	case out.Known:
		return answered(s, in.Event, out.Reply)
	}
	return append(unanswered(s, in), s)
}

// look compares the whole record. It has no time and changes nothing, but it
// ends doubts.
func look(s state, out Output) []state {
	if !out.Known {
		return []state{s}
	}
	if s.facts != factsOf(&out.Record) {
		return nil
	}
	for i, at := range read(&out.Record) {
		if !s.observe(i, at) {
			return nil
		}
	}
	return []state{s}
}

// observe notes that a point of time has been seen. False if it cannot be this.
func (s *state) observe(point int, at store.Instant) bool {
	if s.moments[point].within(at, at).empty() {
		return false
	}
	s.moments[point] = exactly(at)
	return true
}

// answered executes an event at the time that its reply tells.
func answered(s state, event store.Event, reply store.Reply) []state {
	if reply.Now < s.now {
		return nil
	}
	for i := range s.moments {
		s.moments[i] = s.moments[i].before(reply.Now)
	}
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
	for i, after := range read(&rec) {
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

// unanswered executes an event at a time of which only the earliest is known.
func unanswered(s state, in Input) []state {
	when := moment{least: max(s.now+1, in.Floor), most: never, open: true}
	var next []state
	for _, c := range s.cases(in.Event, when) {
		next = append(next, c.executeSometime(in.Event))
	}
	return next
}

// executeSometime runs the protocol twice, a microsecond apart: what differs
// then depends on the time of the execution.
func (c cases) executeSometime(event store.Event) state {
	now := c.when.least
	at, later := c.representative(now), c.representative(now+1)
	rec, _ := store.Step(c.state.record(at), event, now)
	other, _ := store.Step(c.state.record(later), event, now+1)
	next := c.state.after(&rec, now)
	shifted := read(&other)
	for i, t := range read(&rec) {
		switch {
		case t == at[i] && shifted[i] == later[i]: // left as it was
		case t == shifted[i]:
			next.moments[i] = exactly(t)
		default:
			after := t - now
			next.moments[i] = moment{c.when.least + after, min(c.when.most+after, never), after, true}
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
	what, verdict := "look", out.Record.State.String()
	if in.Event != nil {
		what, verdict = fmt.Sprintf("%T %.4s", in.Event, owner(in.Event)), out.Reply.Verdict.String()
	}
	if !out.Known {
		verdict = "?"
	}
	return fmt.Sprintf("%s → %s token %d at %d", what, verdict, out.Reply.Token, out.Reply.Now)
}
