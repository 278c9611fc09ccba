package linearizability

import (
	"fmt"

	"github.com/reprise-go/reprise/store"
)

// state is a record as the model knows it. It is comparable.
type state struct {
	facts
	span
}

// span is what is known of the times in a record, and of how it got there.
type span struct {
	moments moments
	// now is the earliest time of the last execution; the next one is not before.
	now store.Instant
	// answered is how many answered events have been executed, if that is counted.
	answered int
	// executed are the unanswered events that have been, by their number.
	executed uint64
}

func (s state) content() any           { return s.facts }
func (s state) times() span            { return s.span }
func (s state) withTimes(t span) state { s.span = t; return s }

// facts are what a record holds beside its points of time. Its expiry is left
// out: no record of a history lives long enough.
type facts struct {
	state       store.State
	owner       store.Owner
	attempt     int
	lease       int64
	marked      bool
	waiters     bool
	tookOver    bool
	void        bool
	fingerprint store.Fingerprint
	operation   string
	answer      string
}

func factsOf(rec *store.Record) facts {
	return facts{
		state:       rec.State,
		owner:       rec.Owner,
		attempt:     rec.Attempt,
		lease:       rec.Lease.Microseconds(),
		marked:      rec.Marked,
		waiters:     rec.Waiters,
		tookOver:    rec.TookOver,
		void:        rec.Void,
		fingerprint: rec.Fingerprint,
		operation:   rec.Operation,
		answer:      answerOf(rec.Answer),
	}
}

// answerOf makes an answer comparable.
func answerOf(a store.Answer) string {
	if a.Codec == "" {
		return ""
	}
	return fmt.Sprintf("%s %d %s|%s", a.Codec, a.Omitted, a.Meta, a.Body)
}

// record returns the record with certain points of time.
func (s *state) record(at instants) store.Record {
	rec := store.Record{
		State:       s.state,
		Owner:       s.owner,
		Attempt:     s.attempt,
		Lease:       store.Instant(s.lease).Sub(0),
		Marked:      s.marked,
		Waiters:     s.waiters,
		TookOver:    s.tookOver,
		Void:        s.void,
		Fingerprint: s.fingerprint,
		Operation:   s.operation,
		Expires:     never,
		Answer:      store.Answer{Codec: known, Body: []byte(s.answer)},
	}
	at.write(&rec)
	return rec
}

// known is the codec under which [store.Step] carries the answer of a state
// through: its body is the comparable form.
const known = "known"

// least returns the earliest that each point of time can be.
func (s *span) least() (at instants) {
	for i, m := range s.moments {
		at[i] = m.least
	}
	return at
}

// String describes the state in a counterexample.
func (s state) String() string {
	if s.state == store.Absent {
		return "absent"
	}
	return fmt.Sprintf("%v owner %.4s attempt %d marked %t token %v lease end %v",
		s.state, s.owner, s.attempt, s.marked, s.moments[token], s.moments[leaseEnd])
}
