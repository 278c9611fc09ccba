package model_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// leaseTicks is LEASE in protocol.pml; a tick is a microsecond here.
const leaseTicks = 2

// fields are those of the model's record, in the order of its declaration.
type fields struct {
	State, Owner, Token, Attempt, Left, Marked, TookOver, Void, Answer int
}

// transition is one line of what transitions.pml prints.
type transition struct {
	event                         string
	owner, token, now, one, other int
	before, after                 fields
	verdict                       int
}

func TestModelsTransitionsAreThoseOfStep(t *testing.T) {
	t.Parallel()
	transitions := walk(t)
	require.Greater(t, len(transitions), 40_000)
	for _, tr := range transitions {
		after, verdict := tr.byStep()
		if after != tr.after || verdict != store.Verdict(tr.verdict) {
			require.Fail(t, "the model differs", "%+v\nStep says %v and %+v", tr, verdict, after)
		}
	}
}

// A variant that is wrong on purpose is one that differs from Step, and in the
// events that it is about only.
func TestBrokenVariantsDifferFromStep(t *testing.T) {
	t.Parallel()
	tests := []struct {
		flag   string
		events []string
	}{
		{flag: "-DBROKEN_EARLY_LAPSE", events: []string{"claim"}},
		{flag: "-DBROKEN_NO_LAPSE", events: []string{"claim"}},
		{flag: "-DBROKEN_CLAIM_AGAIN", events: []string{"claim"}},
		{flag: "-DBROKEN_TAKEOVER", events: []string{"claim"}},
		{flag: "-DBROKEN_TOKEN", events: []string{"claim"}},
		{flag: "-DBROKEN_OWNER_MARK", events: []string{"mark", "renew"}},
		{flag: "-DBROKEN_OWNER_COMPLETE", events: []string{"complete"}},
		{flag: "-DBROKEN_OWNER_RELEASE", events: []string{"release"}},
	}
	for _, test := range tests {
		t.Run(test.flag, func(t *testing.T) {
			differ := map[string]int{}
			for _, tr := range walk(t, test.flag) {
				after, verdict := tr.byStep()
				if after != tr.after || verdict != store.Verdict(tr.verdict) {
					differ[tr.event]++
				}
			}
			var events []string
			for event := range differ {
				events = append(events, event)
			}
			assert.ElementsMatch(t, test.events, events)
		})
	}
}

// walk has Spin print all transitions.
func walk(t *testing.T, flags ...string) []transition {
	t.Helper()
	f := search{file: "transitions.pml", flags: flags, compile: []string{"-DSAFETY", "-DNOREDUCE", "-DPRINTF"}}.run(t)
	require.Equal(t, ok, f.verdict)
	var transitions []transition
	for line := range strings.Lines(f.output) {
		if strings.HasPrefix(line, "step ") {
			transitions = append(transitions, parse(t, line))
		}
	}
	return transitions
}

// parse reads a line: the event with its numbers, the record before and after it,
// and the verdict.
func parse(t *testing.T, line string) transition {
	t.Helper()
	words := strings.Fields(strings.ReplaceAll(line, ":", ""))
	if len(words) != 26 {
		require.Fail(t, "not a transition", line)
	}
	var n [24]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(words[i+2]); err != nil {
			require.NoError(t, err, line)
		}
	}
	return transition{
		event: words[1], owner: n[0], token: n[1], now: n[2], one: n[3], other: n[4],
		before: fieldsFrom([9]int(n[5:14])), after: fieldsFrom([9]int(n[14:23])), verdict: n[23],
	}
}

func fieldsFrom(n [9]int) fields {
	return fields{
		State: n[0], Owner: n[1], Token: n[2], Attempt: n[3], Left: n[4],
		Marked: n[5], TookOver: n[6], Void: n[7], Answer: n[8],
	}
}

// byStep is what store.Step makes of the same record and event.
func (tr transition) byStep() (fields, store.Verdict) {
	now := store.Instant(tr.now)
	next, reply := store.Step(tr.before.record(now), tr.stepEvent(now), now)
	return fieldsOf(next, now), reply.Verdict
}

func (tr transition) stepEvent(now store.Instant) store.Event {
	owner := ownerOf(tr.owner)
	attempt := store.Attempt{
		Owner: owner, Token: store.Token(tr.token), Number: 1,
		Lease: leaseTicks * time.Microsecond, Retention: time.Hour,
	}
	adoption := store.Adoption{Confirmed: now, Within: time.Duration(tr.one) * time.Microsecond}
	switch tr.event {
	case "claim":
		return store.Claim{Owner: owner, Lease: attempt.Lease, Retention: time.Hour, TakeOver: store.TakeOver(tr.one)}
	case "renew":
		return store.Renew{Owner: owner, Lease: attempt.Lease, Retention: time.Hour}
	case "mark":
		return store.Mark{Owner: owner}
	case "complete":
		return store.Complete{Attempt: attempt, Adoption: adoption, Answer: answerOf(tr.owner)}
	case "fail":
		return store.Fail{Attempt: attempt, Adoption: adoption, Marked: tr.other == 1}
	case "release":
		return store.Release{Attempt: attempt, Void: tr.one == 1}
	case "settle":
		settle := store.Settle{Owner: owner, Token: attempt.Token, Retention: time.Hour, Running: tr.other == 1}
		if tr.one == 1 {
			answer := answerOf(tr.owner)
			settle.Answer = &answer
		}
		return settle
	}
	return nil
}

func ownerOf(n int) store.Owner { return store.Owner{byte(n)} }

func answerOf(n int) store.Answer { return store.Answer{Codec: strings.Repeat("x", n)} }

// record is the store's record that the model's stands for.
func (f fields) record(now store.Instant) store.Record {
	if f.State == int(store.Absent) {
		return store.Record{}
	}
	return store.Record{
		State:    store.State(f.State),
		Owner:    ownerOf(f.Owner),
		Token:    store.Token(f.Token),
		Attempt:  f.Attempt,
		LeaseEnd: now + store.Instant(f.Left),
		Lease:    leaseTicks * time.Microsecond,
		Marked:   f.Marked == 1,
		TookOver: f.TookOver == 1,
		Void:     f.Void == 1,
		Expires:  now.Add(time.Hour),
		Answer:   answerOf(f.Answer),
	}
}

func fieldsOf(rec store.Record, now store.Instant) fields {
	f := fields{
		State:    int(rec.State),
		Owner:    int(rec.Owner[0]),
		Token:    int(rec.Token),
		Attempt:  rec.Attempt,
		Marked:   number(rec.Marked),
		TookOver: number(rec.TookOver),
		Void:     number(rec.Void),
		Answer:   len(rec.Answer.Codec),
	}
	if rec.State == store.Running {
		f.Left = int(rec.LeaseEnd - now)
	}
	return f
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
