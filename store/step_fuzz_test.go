package store_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// FuzzStep runs the protocol on events made of random bytes, seven a step, and
// holds the record to what must be true of every history.
func FuzzStep(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00"))
	f.Add(bytes.Repeat([]byte("\x00\x01\x02\x03\x04\x05\x06\x05\x01\x00\x01\x02\x03\x09\x04\x00\x03\x01\x01\x02\x04"), 8))
	f.Add([]byte("\x00\x00\x05\x01\x00\x00\x00\x05\x00\x00\x01\x00\x00\x00\x03\x01\x00\x00\x00\x02\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var rec store.Record
		now := t0
		for len(data) >= 7 {
			step := data[:7]
			data = data[7:]
			now = now.Add(pick(step[6], 0, 0, time.Microsecond, lease, time.Minute, 25*time.Hour, 2*keep))
			event := eventOf(step, rec, now)
			require.NoError(t, store.Validate(event))
			next, reply := store.Step(rec, event, now)
			checkStep(t, rec.Live(now), next, event, reply, now)
			rec = next
		}
	})
}

func pick[T any](by byte, values ...T) T { return values[int(by)%len(values)] }

func eventOf(b []byte, rec store.Record, now store.Instant) store.Event {
	owner := store.Owner{1 + b[1]%3}
	token := max(0, rec.Token+pick[store.Token](b[2], 0, 0, -1, 1, -1000))
	a := attempt(owner, token)
	a.Lease, a.Retention = pick(b[3], lease, time.Millisecond), pick(b[4], keep, time.Minute, time.Millisecond)
	adoption := store.Adoption{Confirmed: pick(b[5], now, 0), Within: pick(b[4], time.Hour, time.Millisecond)}
	answer := store.Answer{Codec: "c", Body: []byte{b[1], b[2]}}
	switch b[0] % 7 {
	case 0:
		c := claim(owner)
		c.Lease, c.Retention, c.Wait = a.Lease, a.Retention, b[5]%2 == 0
		c.TakeOver = pick(b[2], store.TakeOverNever, store.TakeOverUnmarked, store.TakeOverAlways)
		c.Fingerprint.Algorithm = pick(b[5], "a", "a", "a", "b")
		c.Fingerprint.Sum[0] = pick[byte](b[5], 0, 0, 1)
		return c
	case 1:
		return store.Renew{Owner: owner, Lease: a.Lease, Retention: a.Retention}
	case 2:
		return store.Mark{Owner: owner}
	case 3:
		return store.Complete{Attempt: a, Adoption: adoption, Answer: answer}
	case 4:
		return store.Fail{Attempt: a, Adoption: adoption, Marked: b[3]%2 == 0, Backoff: pick(b[5], 0, time.Minute)}
	case 5:
		return store.Release{Attempt: a, Void: b[5]%2 == 0}
	}
	settle := store.Settle{Owner: owner, Token: token, Retention: a.Retention, Running: b[3]%2 == 0}
	if b[5]%2 == 0 {
		settle.Answer = &answer
	} else {
		settle.Erase = b[5]%4 == 1
	}
	return settle
}

// checkStep holds one step to the invariants.
func checkStep(t *testing.T, rec, next store.Record, event store.Event, reply store.Reply, now store.Instant) {
	t.Helper()
	require.NotZero(t, reply.Verdict)
	require.Equal(t, now, reply.Now)
	checkGrowth(t, rec, next, reply)
	checkShape(t, next, now)

	refused := reply.Verdict == store.Lost || reply.Verdict == store.Refused || reply.Verdict == store.Ended ||
		reply.Verdict == store.Mismatch || reply.Verdict == store.OtherAlgorithm ||
		reply.Verdict == store.Recorded || reply.Verdict == store.OutcomeUnknown
	if refused && rec.State != store.Running {
		require.Equal(t, rec, next, "%s changed the record and answered %s", event.Name(), reply.Verdict)
	}
	settle, settles := event.(store.Settle)
	if rec.State == store.Completed && !settle.Erase {
		require.Equal(t, rec, next, "%s changed a completed record", event.Name())
	}
	if settles {
		require.GreaterOrEqual(t, next.Expires, rec.Expires, "a settlement shortened the record's life")
		require.Equal(t, rec.Token, next.Token)
	}
	if reply.Verdict == store.Recorded {
		require.Equal(t, rec.Answer, reply.Answer)
	}
	again, second := store.Step(next, event, now)
	if reply.Verdict == store.Done || reply.Verdict == store.Claimed {
		require.Equal(t, reply.Verdict, second.Verdict, "%s is not idempotent", event.Name())
		require.Equal(t, next, again, "%s changes more when it is repeated", event.Name())
		require.Equal(t, reply, second)
	}
}

// checkGrowth: tokens grow with every start and the request stays the same.
// Both may change only where a lost attempt is adopted over a later claim that
// never started: that record counts as absent.
func checkGrowth(t *testing.T, rec, next store.Record, reply store.Reply) {
	t.Helper()
	if rec.State == store.Absent || next.State == store.Absent {
		return
	}
	if adopted := rec.Void && (next.State == store.Completed || next.State == store.Unknown); adopted {
		return
	}
	require.GreaterOrEqual(t, next.Token, rec.Token)
	if reply.Verdict == store.Claimed && rec.Owner != next.Owner {
		require.Greater(t, next.Token, rec.Token)
		require.Equal(t, rec.Attempt+1, next.Attempt)
		require.Equal(t, rec.Created, next.Created)
	}
	require.Equal(t, rec.Fingerprint, next.Fingerprint)
}

// checkShape: what fields a record of each state has.
func checkShape(t *testing.T, rec store.Record, now store.Instant) {
	t.Helper()
	if rec.State == store.Absent {
		require.Equal(t, store.Record{}, rec)
		return
	}
	require.Greater(t, rec.Expires, now, "a record without a future")
	require.NotZero(t, rec.Owner)
	require.GreaterOrEqual(t, rec.Attempt, 0)
	require.Equal(t, rec.State == store.Running, rec.Finished == 0, "finished %d while %s", rec.Finished, rec.State)
	require.Equal(t, rec.State == store.Completed, rec.Answer.Codec != "", "an answer while %s", rec.State)
	if rec.State != store.Running {
		require.False(t, rec.Waiters || rec.TookOver, "waiters or take-over while %s", rec.State)
	}
	if rec.State != store.Released {
		require.False(t, rec.Void, "void while %s", rec.State)
	}
}
