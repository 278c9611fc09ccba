package linearizability

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// script writes a history by hand: each operation begins when the one before it
// has ended, unless it says otherwise. Server time is in microseconds.
type script struct {
	h history
}

const millisecond = store.Instant(1000)

// executed adds an event with the answer that the protocol gives after the
// events in truth, which include those that nobody heard of.
func (s *script) executed(rec *store.Record, at store.Instant, event store.Event) {
	next, reply := store.Step(*rec, event, at)
	*rec = next
	s.heard(event, reply)
}

func (s *script) heard(event store.Event, reply store.Reply) {
	call := int64(reply.Now) * 10
	s.h.answered = append(s.h.answered, porcupine.Operation{
		Input: Input{Event: event}, Call: call, Output: Output{Reply: reply}, Return: call + 1,
	})
}

// silent adds an event without an answer.
func (s *script) silent(floor store.Instant, event store.Event) {
	s.h.unanswered = append(s.h.unanswered, sent{Input: Input{Event: event, Floor: floor}})
}

func claimOf(owner byte, mode store.TakeOver) store.Claim {
	return store.Claim{
		Owner: store.Owner{owner}, Fingerprint: store.Fingerprint{Algorithm: "proof"}, Operation: "proof",
		Lease: 10 * time.Millisecond, Retention: time.Hour, TakeOver: mode,
	}
}

func TestModelJudgesHistoriesWrittenByHand(t *testing.T) {
	t.Parallel()
	a, b := claimOf(1, store.TakeOverNever), claimOf(2, store.TakeOverAlways)
	markA := store.Mark{Owner: a.Owner}
	tests := []struct {
		name  string
		write func(s *script)
		want  porcupine.CheckResult
	}{
		{"what the protocol answers", func(s *script) {
			var rec store.Record
			s.executed(&rec, 1*millisecond, a)
			s.executed(&rec, 2*millisecond, b)
			s.executed(&rec, 20*millisecond, b)
			s.executed(&rec, 21*millisecond, markA)
		}, porcupine.Ok},
		{"two owners at once", func(s *script) {
			s.executed(new(store.Record), 1*millisecond, a)
			s.executed(new(store.Record), 2*millisecond, b)
		}, porcupine.Illegal},
		{"a take-over a moment before the lease lapses", func(s *script) {
			var rec store.Record
			s.executed(&rec, 1*millisecond, a)
			rec.LeaseEnd--
			s.executed(&rec, 11*millisecond-1, b)
		}, porcupine.Illegal},
		{"a claim that was never heard of runs", func(s *script) {
			var rec store.Record
			s.silent(0, a)
			rec, _ = store.Step(rec, a, 1*millisecond)
			s.executed(&rec, 2*millisecond, b)
			s.executed(&rec, 11*millisecond, b)
		}, porcupine.Ok},
		{"and was never executed", func(s *script) {
			s.silent(0, a)
			s.executed(new(store.Record), 2*millisecond, b)
		}, porcupine.Ok},
		{"its time is the one that was seen", func(s *script) {
			var rec store.Record
			s.silent(0, a)
			rec, _ = store.Step(rec, a, 1*millisecond)
			s.executed(&rec, 2*millisecond, b)
			rec.LeaseEnd--
			s.executed(&rec, 11*millisecond-1, b)
		}, porcupine.Illegal},
		{"an event is executed once", func(s *script) {
			var rec store.Record
			s.silent(0, a)
			rec, _ = store.Step(rec, a, 1*millisecond)
			s.executed(&rec, 2*millisecond, store.Release{Attempt: store.Attempt{Owner: a.Owner}})
			rec = store.Record{} // a store that starts the released claim again
			rec, _ = store.Step(rec, a, 3*millisecond)
			s.executed(&rec, 4*millisecond, b)
		}, porcupine.Illegal},
		{"an event is not executed before it was sent", func(s *script) {
			var rec store.Record
			s.silent(3*millisecond, a)
			rec, _ = store.Step(rec, a, 1*millisecond)
			s.executed(&rec, 4*millisecond, b)
		}, porcupine.Illegal},
		{"a renewal that was never heard of prolongs", func(s *script) {
			var rec store.Record
			s.executed(&rec, 1*millisecond, a)
			renew := store.Renew{Owner: a.Owner, Lease: a.Lease, Retention: a.Retention}
			s.silent(1*millisecond, renew)
			rec, _ = store.Step(rec, renew, 9*millisecond)
			s.executed(&rec, 15*millisecond, markA)
		}, porcupine.Ok},
		{"but no further than it can have", func(s *script) {
			var rec store.Record
			s.executed(&rec, 1*millisecond, a)
			s.silent(1*millisecond, store.Renew{Owner: a.Owner, Lease: a.Lease, Retention: a.Retention})
			rec.LeaseEnd = 30 * millisecond
			s.executed(&rec, 25*millisecond, markA)
		}, porcupine.Illegal},
		{"a settlement needs the token that was seen", func(s *script) {
			var rec store.Record
			s.executed(&rec, 1*millisecond, a)
			s.heard(store.Settle{Owner: store.Owner{9}, Token: 7}, store.Reply{Verdict: store.Done, Now: 20 * millisecond})
		}, porcupine.Illegal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var s script
			test.write(&s)
			finding := s.h.check(10 * time.Second)
			if test.want == porcupine.Ok {
				require.Nil(t, finding)
				return
			}
			require.NotNil(t, finding)
			require.Equal(t, test.want, finding.Result, finding.Text)
		})
	}
}
