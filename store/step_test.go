package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// What single events do to single states is held by storetest, which every
// store runs against Step. Here is what can be asked only of the pure function:
// the exact moments, purity, and who is notified.

var alice, bob = store.Owner{1}, store.Owner{2}

const (
	t0    store.Instant = 1_700_000_000_000_000
	lease               = 30 * time.Second
	keep                = 48 * time.Hour
)

func claim(owner store.Owner) store.Claim {
	return store.Claim{
		Owner: owner, Fingerprint: store.Fingerprint{Algorithm: "a"}, Operation: "op",
		Lease: lease, Retention: keep,
	}
}

func attempt(owner store.Owner, token store.Token) store.Attempt {
	return store.Attempt{
		Owner: owner, Token: token, Number: 1, Lease: lease, Retention: keep,
		Fingerprint: store.Fingerprint{Algorithm: "a"}, Operation: "op", Started: t0,
	}
}

// after runs events on an absent record, all at t0.
func after(events ...store.Event) store.Record {
	var rec store.Record
	for _, event := range events {
		rec, _ = store.Step(rec, event, t0)
	}
	return rec
}

func verdict(rec store.Record, event store.Event, now store.Instant) store.Verdict {
	_, reply := store.Step(rec, event, now)
	return reply.Verdict
}

func TestStepLeaseEndsExactlyAtItsEnd(t *testing.T) {
	t.Parallel()
	rec, end := after(claim(alice)), t0.Add(lease)
	renew := store.Renew{Owner: alice, Lease: lease, Retention: keep}
	for _, test := range []struct {
		name         string
		event        store.Event
		before, then store.Verdict
	}{
		{"renew", renew, store.Done, store.Lost},
		{"mark", store.Mark{Owner: alice}, store.Done, store.Lost},
		{"claim of another", claim(bob), store.InProgress, store.OutcomeUnknown},
		{"settle", store.Settle{Owner: bob, Token: rec.Token, Retention: keep}, store.Refused, store.Done},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.before, verdict(rec, test.event, end-1))
			assert.Equal(t, test.then, verdict(rec, test.event, end))
		})
	}
}

func TestStepRecordIsForgottenExactlyAtItsExpiry(t *testing.T) {
	t.Parallel()
	done := store.Complete{Attempt: attempt(alice, store.Token(t0)), Answer: store.Answer{Codec: "c"}}
	for _, test := range []struct {
		name   string
		rec    store.Record
		before store.Verdict
	}{
		{"running", after(claim(alice)), store.OutcomeUnknown},
		{"completed", after(claim(alice), done), store.Recorded},
		{"released", after(claim(alice), store.Release{Attempt: attempt(alice, 1)}), store.Claimed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.before, verdict(test.rec, claim(bob), test.rec.Expires-1))
			next, reply := store.Step(test.rec, claim(bob), test.rec.Expires)
			assert.Equal(t, store.Claimed, reply.Verdict)
			assert.Equal(t, 1, next.Attempt)
			assert.Equal(t, test.rec.Expires, next.Created)
		})
	}
}

func TestStepRefusalOnAnExpiredRecordLeavesItAbsent(t *testing.T) {
	t.Parallel()
	rec := after(claim(alice))
	next, reply := store.Step(rec, store.Mark{Owner: alice}, rec.Expires)
	assert.Equal(t, store.Lost, reply.Verdict)
	assert.Equal(t, store.Record{}, next)
}

func TestStepNotBeforeAllowsExactlyThen(t *testing.T) {
	t.Parallel()
	rec := after(claim(alice), store.Fail{Attempt: attempt(alice, 1), Backoff: time.Minute})
	always := claim(bob)
	always.TakeOver = store.TakeOverAlways
	assert.Equal(t, store.OutcomeUnknown, verdict(rec, always, t0.Add(time.Minute)-1))
	assert.Equal(t, store.Claimed, verdict(rec, always, t0.Add(time.Minute)))
}

func TestStepAdoptionEndsExactlyAtTheWindow(t *testing.T) {
	t.Parallel()
	window := store.Adoption{Confirmed: t0, Within: time.Minute}
	for _, event := range []store.Event{
		store.Complete{Attempt: attempt(alice, 1), Adoption: window, Answer: store.Answer{Codec: "c"}},
		store.Fail{Attempt: attempt(alice, 1), Adoption: window},
	} {
		assert.Equal(t, store.Done, verdict(store.Record{}, event, t0.Add(time.Minute)-1), event.Name())
		assert.Equal(t, store.Refused, verdict(store.Record{}, event, t0.Add(time.Minute)), event.Name())
	}
}

// F61.
func TestStepLeaseIsCutOnlyWhenLongerThanItself(t *testing.T) {
	t.Parallel()
	rec := after(claim(alice))
	_, same := store.Step(rec, claim(bob), t0)
	assert.Equal(t, t0.Add(lease), same.LeaseEnd)
	next, cut := store.Step(rec, claim(bob), t0-1)
	assert.Equal(t, t0.Add(lease)-1, cut.LeaseEnd)
	assert.Equal(t, cut.LeaseEnd, next.LeaseEnd)
	back := t0.Add(-time.Hour)
	_, cut = store.Step(rec, claim(bob), back)
	assert.Equal(t, back.Add(lease), cut.LeaseEnd)
}

// L11.
func TestStepTokenIsTheClockUnlessThatWentBack(t *testing.T) {
	t.Parallel()
	rec := after(claim(alice), store.Release{Attempt: attempt(alice, 1)})
	for _, test := range []struct {
		now  store.Instant
		want store.Token
	}{
		{t0 + 7, store.Token(t0 + 7)},
		{t0 + 1, store.Token(t0 + 1)},
		{t0, store.Token(t0 + 1)},
		{t0 - 1000, store.Token(t0 + 1)},
	} {
		_, reply := store.Step(rec, claim(bob), test.now)
		assert.Equal(t, test.want, reply.Token)
	}
}

// Whoever waits is notified when rec.Waiters is set and next.Waiters is not.
func TestStepNotifiesWaitersAtEveryEndAndAtNothingElse(t *testing.T) {
	t.Parallel()
	waiting := claim(bob)
	waiting.Wait = true
	rec := after(claim(alice), waiting)
	require.True(t, rec.Waiters)
	always := claim(bob)
	always.TakeOver = store.TakeOverAlways
	for _, test := range []struct {
		name  string
		event store.Event
		now   store.Instant
		want  bool
	}{
		{"renew", store.Renew{Owner: alice, Lease: lease, Retention: keep}, t0, true},
		{"mark", store.Mark{Owner: alice}, t0, true},
		{"own claim again", claim(alice), t0, true},
		{"another claim", claim(store.Owner{3}), t0, true},
		{"refused completion", store.Complete{Attempt: attempt(bob, 1)}, t0, true},
		{"complete", store.Complete{Attempt: attempt(alice, 1)}, t0, false},
		{"fail", store.Fail{Attempt: attempt(alice, 1)}, t0, false},
		{"release", store.Release{Attempt: attempt(alice, 1)}, t0, false},
		{"void release", store.Release{Attempt: attempt(alice, 1), Void: true}, t0, false},
		{"settle", store.Settle{Owner: bob, Token: rec.Token, Running: true}, t0, false},
		{"settle with an answer", store.Settle{Owner: bob, Token: rec.Token, Running: true, Answer: &store.Answer{Codec: "c"}}, t0, false},
		{"settle without the word", store.Settle{Owner: bob, Token: rec.Token}, t0, true},
		{"erase", store.Settle{Owner: bob, Token: rec.Token, Erase: true}, t0, true},
		{"take-over", always, t0.Add(lease), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			next, _ := store.Step(rec, test.event, test.now)
			assert.Equal(t, test.want, next.Waiters)
		})
	}
}

func TestStepAlwaysTellsTheTime(t *testing.T) {
	t.Parallel()
	for _, event := range valid() {
		_, reply := store.Step(store.Record{}, event, t0)
		assert.Equal(t, t0, reply.Now, event.Name())
		assert.NotZero(t, reply.Verdict, event.Name())
	}
}

func TestLiveIsAbsentFromExpiryOn(t *testing.T) {
	t.Parallel()
	rec := after(claim(alice))
	assert.Equal(t, rec, rec.Live(rec.Expires-1))
	assert.Equal(t, store.Record{}, rec.Live(rec.Expires))
	assert.Equal(t, store.Record{}, store.Record{}.Live(t0))
}
