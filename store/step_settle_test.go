package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// answered returns a record that alice has completed, kept for so long.
func answered(retention time.Duration) store.Record {
	done := store.Complete{Attempt: attempt(alice, store.Token(t0)), Answer: store.Answer{Codec: "c", Body: []byte("wrong")}}
	done.Retention = retention
	return after(claim(alice), done)
}

func TestStepSettleNeverShortensALife(t *testing.T) {
	t.Parallel()
	unknown := after(claim(alice), store.Fail{Attempt: attempt(alice, 1)})
	left := unknown.Expires.Sub(t0)
	for _, test := range []struct {
		name      string
		rec       store.Record
		settle    store.Settle
		now       store.Instant
		wantAfter time.Duration // from t0
	}{
		{"answer, shorter", unknown, store.Settle{Retention: time.Minute, Answer: &store.Answer{Codec: "c"}}, t0, left},
		{"answer, longer", unknown, store.Settle{Retention: left + 1000, Answer: &store.Answer{Codec: "c"}}, t0, left + 1000},
		{"answer, longer because it is late", unknown, store.Settle{Retention: left, Answer: &store.Answer{Codec: "c"}}, t0 + 1, left + 1000},
		{"release, shorter", unknown, store.Settle{Retention: time.Minute}, t0, left},
		{"release, longer", unknown, store.Settle{Retention: left + 1000}, t0, left + 1000},
		{"of the living, shorter", after(claim(alice)), store.Settle{Retention: time.Minute, Running: true}, t0, left},
		{"erase, shorter", answered(keep), store.Settle{Retention: time.Minute, Erase: true}, t0, keep},
		{"erase, longer", answered(time.Minute), store.Settle{Retention: keep, Erase: true}, t0, keep},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.settle.Owner, test.settle.Token = bob, test.rec.Token
			next, reply := store.Step(test.rec, test.settle, test.now)
			require.Equal(t, store.Done, reply.Verdict)
			assert.Equal(t, t0.Add(test.wantAfter), next.Expires)
			again, reply := store.Step(next, test.settle, test.now.Add(time.Second))
			assert.Equal(t, store.Done, reply.Verdict)
			assert.Equal(t, next, again, "repeated, it changes nothing")
		})
	}
}

func TestStepEraseReleasesWhatIsCompleted(t *testing.T) {
	t.Parallel()
	rec := answered(keep)
	erase := store.Settle{Owner: bob, Token: rec.Token, Retention: time.Minute, Erase: true}
	next, reply := store.Step(rec, erase, t0.Add(time.Second))
	require.Equal(t, store.Done, reply.Verdict)
	want := rec
	want.State, want.Answer, want.Finished = store.Released, store.Answer{}, t0.Add(time.Second)
	assert.Equal(t, want, next)
	assert.Equal(t, []byte("wrong"), rec.Answer.Body, "the record that was given is not written to")

	late := store.Complete{
		Attempt:  attempt(alice, rec.Token),
		Adoption: store.Adoption{Confirmed: t0, Within: keep},
		Answer:   store.Answer{Codec: "c", Body: []byte("wrong")},
	}
	assert.Equal(t, store.Refused, verdict(next, late, t0.Add(time.Second)))
	assert.Equal(t, store.Ended, verdict(next, claim(alice), t0.Add(time.Second)))

	// Even if the clock stands still the next token is larger.
	started, reply := store.Step(next, claim(bob), t0)
	assert.Equal(t, store.Claimed, reply.Verdict)
	assert.Equal(t, rec.Attempt+1, started.Attempt)
	assert.Equal(t, rec.Token+1, started.Token)
	assert.Equal(t, store.Refused, verdict(started, erase, t0))
}

func TestStepEraseIsForWhatWasSeen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		rec    store.Record
		change func(s *store.Settle)
		now    store.Instant
		want   store.Verdict
	}{
		{"completed", answered(keep), func(*store.Settle) {}, t0, store.Done},
		{"completed, without the word", answered(keep), func(s *store.Settle) { s.Erase = false }, t0, store.Refused},
		{"completed, Running is another word", answered(keep), func(s *store.Settle) { s.Erase, s.Running = false, true }, t0, store.Refused},
		{"completed, another token", answered(keep), func(s *store.Settle) { s.Token++ }, t0, store.Refused},
		{"completed, just expired", answered(keep), func(*store.Settle) {}, t0.Add(keep), store.Refused},
		{"absent", store.Record{}, func(*store.Settle) {}, t0, store.Refused},
		{"running", after(claim(alice)), func(*store.Settle) {}, t0.Add(lease) - 1, store.Refused},
		{"running, with the word", after(claim(alice)), func(s *store.Settle) { s.Running = true }, t0, store.Done},
		{"just lapsed", after(claim(alice)), func(*store.Settle) {}, t0.Add(lease), store.Done},
		{"unknown", after(claim(alice), store.Fail{Attempt: attempt(alice, 1)}), func(*store.Settle) {}, t0, store.Done},
		{"released already", after(claim(alice), store.Release{Attempt: attempt(alice, 1)}), func(*store.Settle) {}, t0, store.Done},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			erase := store.Settle{Owner: bob, Token: test.rec.Token, Retention: keep, Erase: true}
			test.change(&erase)
			next, reply := store.Step(test.rec, erase, test.now)
			assert.Equal(t, test.want, reply.Verdict)
			if test.want == store.Refused {
				assert.Equal(t, test.rec.Live(test.now), next)
			} else {
				assert.Equal(t, store.Released, next.State)
			}
		})
	}
}
