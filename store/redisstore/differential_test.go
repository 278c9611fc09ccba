package redisstore_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// The scripts against the specification, on a real server: each random event
// must bring the reply, and leave the record, that store.Step says. The suite
// of storetest does this for every store; here it also covers answers above
// the size where completions take another way, operations of every length,
// lost records, and leases that lapse by the server's own clock.
func TestScriptsFollowTheSpecification(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("differential"))
	seen := make(map[string]bool)
	for seed := range uint64(60) {
		d := newDifferential(t, s, rdb, seed)
		d.seen = seen
		for step := range 80 {
			d.step(step)
		}
	}
	require.Zero(t, s.Stats().ClaimsRepeated)
	for _, transition := range []string{
		"claim absent claimed", "claim running claimed", "claim running in progress", "claim running outcome unknown",
		"claim unknown claimed", "claim unknown outcome unknown", "claim unknown ended", "claim completed recorded",
		"claim completed mismatch", "claim running other algorithm", "claim released claimed", "claim released ended",
		"renew running done", "renew running lost", "mark running done", "mark absent lost",
		"complete absent done", "complete absent refused", "complete running done", "complete unknown done",
		"complete completed done", "complete released refused", "complete released done",
		"fail absent done", "fail absent refused", "fail running done", "fail unknown done", "fail completed done",
		"fail released refused", "release absent done", "release running done", "release unknown refused",
		"release unknown done", "release completed done", "release released done",
		"settle running done", "settle running refused", "settle unknown done", "settle completed refused",
		"settle completed done", "settle released done", "settle absent refused",
	} {
		require.Contains(t, seen, transition, "the sequences are too tame")
	}
}

type differential struct {
	t    *testing.T
	s    *redisstore.Store
	rdb  *redis.Client
	rng  *rand.Rand
	seed uint64

	id     store.ID
	owners []*request
	model  store.Record
	seen   map[string]bool // "event state verdict"
}

func newDifferential(t *testing.T, s *redisstore.Store, rdb *redis.Client, seed uint64) *differential {
	d := &differential{t: t, s: s, rdb: rdb, rng: rand.New(rand.NewPCG(seed, 1)), seed: seed}
	first := newRequest(t)
	d.id = first.id
	for range 3 {
		r := first.duplicate()
		r.claim.Operation = strings.Repeat("o", 1+d.rng.IntN(store.MaxOperationName))
		d.owners = append(d.owners, r)
	}
	return d
}

func (d *differential) step(n int) {
	if d.rng.IntN(12) == 0 || d.model.State == store.Completed && d.rng.IntN(4) == 0 {
		require.NoError(d.t, d.rdb.Del(d.t.Context(), recordKey("differential", d.id)).Err())
		d.model = store.Record{}
	}
	who := d.owners[d.rng.IntN(len(d.owners))]
	event := d.event(who)
	got, err := d.s.Apply(d.t.Context(), d.id, event)
	require.NoErrorf(d.t, err, "seed %d step %d: %#v", d.seed, n, event)

	next, want := store.Step(d.model, event, got.Now)
	require.Equalf(d.t, want, got, "seed %d step %d: %s on %s", d.seed, n, event.Name(), d.model.State)
	d.seen[event.Name()+" "+d.model.Live(got.Now).State.String()+" "+got.Verdict.String()] = true
	if got.Verdict == store.Claimed {
		who.reply = got
	}

	stored, err := d.s.Lookup(d.t.Context(), d.id)
	require.NoErrorf(d.t, err, "seed %d step %d: %s", d.seed, n, event.Name())
	require.InDeltaf(d.t, int64(next.Expires), int64(stored.Expires), float64(50_000),
		"seed %d step %d: expiry after %s", d.seed, n, event.Name())
	stored.Expires = next.Expires
	require.Equalf(d.t, next, stored, "seed %d step %d: %s on %s", d.seed, n, event.Name(), d.model.State)
	d.model = next
}

// event draws an event of one of the owners, with a claim that lapses at once,
// or may, or does not.
func (d *differential) event(r *request) store.Event {
	r.claim.Lease = []time.Duration{time.Millisecond, 2 * time.Millisecond, time.Minute}[d.rng.IntN(3)]
	r.claim.TakeOver = store.TakeOver(d.rng.IntN(3))
	r.claim.Wait = d.coin()
	r.claim.Fingerprint = store.Fingerprint{Algorithm: "sha256-1"}
	if d.rng.IntN(10) == 0 {
		r.claim.Fingerprint.Sum[5] = 1
	}
	if d.rng.IntN(12) == 0 {
		r.claim.Fingerprint.Algorithm = store.NoFingerprint
	}
	if d.rng.IntN(6) == 0 {
		r.claim.Owner, r.reply = store.NewOwner(), store.Reply{}
	}
	answer := bodyOf(1 + d.rng.IntN(8<<10))
	answer.Omitted = store.Omission(d.rng.IntN(4))
	adoption := r.adoption()
	if d.rng.IntN(4) == 0 {
		adoption.Within = time.Nanosecond
	}
	switch d.rng.IntN(10) {
	case 0:
		return r.renew()
	case 1:
		return r.mark()
	case 2:
		return store.Complete{Attempt: r.attempt(), Adoption: adoption, Answer: answer}
	case 3:
		return store.Fail{
			Attempt: r.attempt(), Adoption: adoption, Marked: d.coin(),
			Backoff: time.Duration(d.rng.IntN(3)) * time.Millisecond,
		}
	case 4, 5:
		return store.Release{Attempt: r.attempt(), Void: d.coin()}
	case 6:
		settle := store.Settle{
			Owner: r.claim.Owner, Token: d.model.Token, Retention: time.Hour, Answer: &answer, Running: d.coin(),
		}
		if d.coin() {
			settle.Answer, settle.Erase = nil, d.coin()
		}
		if d.rng.IntN(4) == 0 {
			settle.Token--
		}
		return settle
	default:
		return r.claim
	}
}

func (d *differential) coin() bool { return d.rng.IntN(2) == 0 }

// A token is written to the last microsecond: Lua would write a number of this
// size as 1.7953553421438e+15 if it were concatenated.
func TestTokensAreExactAndGrow(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("tokens"))
	r := newRequest(t)
	last := store.Token(0)
	for i := range 2000 {
		r = r.duplicate()
		reply := r.claims(t, s, store.Claimed)
		require.Greater(t, reply.Token, last)
		require.InDelta(t, int64(reply.Now), int64(reply.Token), 1)
		require.Equal(t, i+1, reply.Attempt)
		last = reply.Token
		r.applies(t, s, r.release(), store.Done)
	}
	raw, err := rdb.Get(t.Context(), recordKey("tokens", r.id)).Result()
	require.NoError(t, err)
	assert.Regexp(t, `^RPR1L[01]{4}\d{16}00002000\d{16}`, raw)
}

// A token that was drawn by a server whose clock was ahead is not given out
// twice.
func TestTokenIsRaisedAbovePreviousOne(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("raised"))
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.release(), store.Done)
	const ahead = "8999999999990000"
	require.NoError(t, rdb.SetRange(t.Context(), recordKey("raised", r.id), 9, ahead).Err())

	reply := r.duplicate().claims(t, s, store.Claimed)
	require.Equal(t, store.Token(8999999999990001), reply.Token)
}
