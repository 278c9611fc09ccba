package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

func noRepeats(o *redis.Options) { o.MaxRetries, o.DialerRetries = -1, 1 }

// own returns a store on a server that the test may disturb.
func own(t *testing.T, opts ...redistest.Option) (*redisstore.Store, *redistest.Server) {
	t.Helper()
	srv := redistest.Start(t, opts...)
	return newStore(t, srv.Client(t, noRepeats)), srv
}

// fill makes a server refuse every write that could need memory.
func fill(srv *redistest.Server) { srv.Config("maxmemory", "1") }

// refusesClaim wants a new claim to be told so, and nothing to be left of it.
func refusesClaim(t *testing.T, s *redisstore.Store, srv *redistest.Server, code string) {
	t.Helper()
	r := newRequest(t)
	_, err := s.Apply(t.Context(), r.id, r.claim)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorContains(t, err, code)
	require.NotContains(t, srv.Keys("*"), recordKey(redisstore.DefaultNamespace, r.id))
	requireDiscreet(t, err, r)
}

// requireDiscreet wants nothing in an error that was sent to the server.
func requireDiscreet(t *testing.T, err error, r *request) {
	t.Helper()
	for _, secret := range []string{canaryKey, canaryScope, r.id.String(), r.claim.Owner.String(), "pa55word"} {
		assert.NotContains(t, err.Error(), secret)
	}
	assert.Contains(t, err.Error(), r.id.Short())
}

// F32: a full server refuses to start an attempt, before any handler runs.
// Replays, and everything about attempts that run, go on.
func TestFullServerRefusesClaimsOnlyF32(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	done, running := newRequest(t), newRequest(t)
	done.claims(t, s, store.Claimed)
	done.applies(t, s, done.complete(bodyOf(64<<10)), store.Done)
	running.claims(t, s, store.Claimed)
	fill(srv)

	refusesClaim(t, s, srv, "OOM")
	done.replays(t, s, bodyOf(64<<10))
	other := running.duplicate()
	other.claim.Wait = true
	other.claims(t, s, store.InProgress)
	again := running.claims(t, s, store.Claimed)
	require.Equal(t, 1, again.Attempt)
	running.applies(t, s, running.renew(), store.Done)
	running.applies(t, s, running.mark(), store.Done)
	_, err := s.Lookup(t.Context(), running.id)
	require.NoError(t, err)
}

// F33: an attempt that ran while the server filled up still gets its end
// recorded, whatever the end and however large the answer.
func TestFullServerRecordsTheEndF33(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		event     func(r *request) store.Event
		forget    bool // the record is lost meanwhile, so the event writes it anew
		state     store.State
		fallbacks int64
	}{
		{"complete", func(r *request) store.Event { return r.complete(bodyOf(1 << 10)) }, false, store.Completed, 0},
		{"complete large", func(r *request) store.Event { return r.complete(bodyOf(1 << 20)) }, false, store.Completed, 1},
		{"fail", func(r *request) store.Event { return r.fail() }, false, store.Unknown, 0},
		{"release", func(r *request) store.Event { return r.release() }, false, store.Released, 0},
		{"settle", func(r *request) store.Event { a := bodyOf(1 << 10); return r.settle(&a) }, false, store.Completed, 0},
		{"adopt", func(r *request) store.Event { return r.complete(bodyOf(1 << 10)) }, true, store.Completed, 0},
		{"adopt large", func(r *request) store.Event { return r.complete(bodyOf(1 << 20)) }, true, store.Completed, 1},
		{"adopt failed", func(r *request) store.Event { return r.fail() }, true, store.Unknown, 0},
		{"tombstone", func(r *request) store.Event { return r.release() }, true, store.Released, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, srv := own(t)
			r := newRequest(t)
			r.claims(t, s, store.Claimed)
			if test.forget {
				srv.FlushAll()
			}
			fill(srv)
			event := test.event(r)
			r.applies(t, s, event, store.Done)
			r.applies(t, s, event, store.Done)

			rec, err := s.Lookup(t.Context(), r.id)
			require.NoError(t, err)
			require.Equal(t, test.state, rec.State)
			if complete, ok := event.(store.Complete); ok {
				require.Equal(t, complete.Answer, rec.Answer)
			}
			require.Equal(t, test.fallbacks, s.Stats().LargeFallbacks)
			require.Equal(t, []string{recordKey(redisstore.DefaultNamespace, r.id)}, srv.Keys("*"))
		})
	}
}

// F35: a server that became a replica answers replays and refuses the rest, the
// notes on somebody else's record included, which must not fail the claim.
func TestReadOnlyServerReplaysF35(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	done, running := newRequest(t), newRequest(t)
	done.claims(t, s, store.Claimed)
	done.applies(t, s, done.complete(bodyOf(64<<10)), store.Done)
	running.claims(t, s, store.Claimed)
	srv.Do("replicaof", "127.0.0.1", "1")

	refusesClaim(t, s, srv, "READONLY")
	done.replays(t, s, bodyOf(64<<10))
	done.applies(t, s, done.complete(bodyOf(64<<10)), store.Done)
	other := running.duplicate()
	other.claim.Wait = true
	other.claims(t, s, store.InProgress)
	for _, event := range []store.Event{
		running.renew(), running.mark(), running.complete(bodyOf(1)), running.complete(bodyOf(64 << 10)),
		running.fail(), running.release(), running.settle(nil),
	} {
		_, err := s.Apply(t.Context(), running.id, event)
		require.ErrorIs(t, err, store.ErrUnavailable, event.Name())
		require.ErrorContains(t, err, "READONLY", event.Name())
	}
	rec, err := s.Lookup(t.Context(), running.id)
	require.NoError(t, err)
	require.Equal(t, store.Running, rec.State)
	require.False(t, rec.Waiters)

	srv.Do("replicaof", "no", "one")
	running.applies(t, s, running.complete(bodyOf(1)), store.Done)
}

// F39: without enough replicas the server takes no writes, and still replays.
func TestTooFewReplicasFailClosedF39(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	done := newRequest(t)
	done.claims(t, s, store.Claimed)
	done.applies(t, s, done.complete(bodyOf(1<<10)), store.Done)
	srv.Config("min-replicas-to-write", "1")
	refusesClaim(t, s, srv, "NOREPLICAS")
	done.replays(t, s, bodyOf(1<<10))
}

// F40: what a user may not do is an error that names it and nothing else.
func TestMissingRightsFailClosedF40(t *testing.T) {
	t.Parallel()
	const password = "pa55word"
	tests := []struct {
		name string
		user string
		pass string
		rule []string
		want string
	}{
		{"no password", "", "", nil, "NOAUTH"},
		{"wrong password", "default", "pa55wordX", nil, "WRONGPASS"},
		{"no scripts", "app", password, []string{"~*", "&*", "+@all", "-evalsha"}, "NOPERM"},
		{"other keys", "app", password, []string{"~other:*", "&*", "+@all"}, "NOPERM"},
		{"command inside a script", "app", password, []string{"~*", "&*", "+@all", "-set"}, "NOPERM|ERR"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			opts := []redistest.Option{redistest.RequirePass(password)}
			if test.rule != nil {
				opts = append(opts, redistest.User(test.user, test.pass, test.rule...))
			}
			srv := redistest.Start(t, opts...)
			s := newStore(t, srv.Client(t, noRepeats, func(o *redis.Options) {
				o.Username, o.Password = test.user, test.pass
			}))
			r := newRequest(t)
			_, err := s.Apply(t.Context(), r.id, r.claim)
			require.ErrorIs(t, err, store.ErrUnavailable)
			require.Regexp(t, test.want, err.Error())
			requireDiscreet(t, err, r)
			require.Empty(t, srv.Keys("*"))
		})
	}
}

// F40: rights that are taken away while an attempt runs. The name under which
// an error quotes a request must not come through either.
func TestUnknownCommandIsNotQuotedF40(t *testing.T) {
	t.Parallel()
	s, _ := own(t, redistest.Args("--rename-command", "EVALSHA", ""))
	r := newRequest(t)
	_, err := s.Apply(t.Context(), r.id, r.claim)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorContains(t, err, "unknown command")
	requireDiscreet(t, err, r)
}

// F40: a user that may not publish still gets its answers recorded; waiters
// then find out by looking again.
func TestMissingRightToPublishDoesNotSpoilACompletion(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.User("app", "x", "~*", "resetchannels", "+@all"))
	s := newStore(t, srv.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "x" }))
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	waiter := r.duplicate()
	waiter.claim.Wait = true
	waiter.claims(t, s, store.InProgress)
	r.applies(t, s, r.complete(answerOf("x")), store.Done)
	r.replays(t, s, answerOf("x"))
}

// Rights for RENAME may be missing, too: then the answer goes through Lua.
func TestRefusedRenameFallsBackAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.User("app", "x", "~*", "&*", "+@all", "-rename"))
	s := newStore(t, srv.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "x" }))
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.complete(bodyOf(64<<10)), store.Done)
	r.replays(t, s, bodyOf(64<<10))
	require.EqualValues(t, 1, s.Stats().LargeFallbacks)
	require.Equal(t, []string{recordKey(redisstore.DefaultNamespace, r.id)}, srv.Keys("*"))
}

// F41, F42, F43: a value that is no record of ours, or a newer one, is a typed
// error for every event and stays as it is, to the byte and to its expiry.
func TestUnreadableRecordIsNotTouchedF41F42F43(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("unreadable"))
	id := goldenID()
	key := recordKey("unreadable", id)
	for _, m := range headMutilations() {
		value := m.bytes([]byte(golden))
		require.NoError(t, rdb.Set(t.Context(), key, value, time.Hour).Err())
		requireUnreadable(t, s, id, m.name, m.field)
		got, err := rdb.Get(t.Context(), key).Result()
		require.NoError(t, err)
		require.Equal(t, string(value), got, m.name)
	}
	require.NoError(t, rdb.Del(t.Context(), key).Err())
	require.NoError(t, rdb.HSet(t.Context(), key, "a", "b").Err())
	requireUnreadable(t, s, id, "F41 another type", "type")
	require.Equal(t, "hash", rdb.Type(t.Context(), key).Val())
	require.Equal(t, time.Duration(-1), rdb.PTTL(t.Context(), key).Val())
	require.Empty(t, rdb.Keys(t.Context(), key+":*").Val())
}

func requireUnreadable(t *testing.T, s *redisstore.Store, id store.ID, name, field string) {
	t.Helper()
	r := newRequest(t)
	a := answerOf("x")
	for _, event := range []store.Event{
		r.claim, r.renew(), r.mark(), r.complete(a), r.complete(bodyOf(64 << 10)), r.fail(), r.release(), r.settle(&a),
		r.erase(),
	} {
		_, err := s.Apply(t.Context(), id, event)
		require.ErrorIs(t, err, store.ErrUnreadable, name+": "+event.Name())
		require.True(t, strings.HasSuffix(err.Error(), ": "+field), "%s: %s: %v", name, event.Name(), err)
	}
	_, err := s.Lookup(t.Context(), id)
	require.ErrorIs(t, err, store.ErrUnreadable, name+": lookup")
	_, err = s.Inspect(t.Context(), id)
	require.ErrorIs(t, err, store.ErrUnreadable, name+": inspect")
	require.True(t, strings.HasSuffix(err.Error(), ": "+field), "%s: inspect: %v", name, err)
}

// F42: a damaged answer is found by whoever would replay it.
func TestDamagedAnswerIsNotReplayedF42(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("damaged"))
	id := goldenID()
	rec := goldenRecord()
	for _, m := range answerMutilations() {
		value := m.bytes([]byte(golden))
		require.NoError(t, rdb.Set(t.Context(), recordKey("damaged", id), value, time.Hour).Err())
		r := newRequest(t)
		r.claim.Fingerprint = rec.Fingerprint
		_, err := s.Apply(t.Context(), id, r.claim)
		require.ErrorIs(t, err, store.ErrUnreadable, m.name)
		require.ErrorContains(t, err, m.field, m.name)
		require.NotErrorIs(t, err, store.ErrUnavailable, m.name)
	}
}

// A running record with bytes after its operation is no record that any script
// wrote.
func TestTrailingBytesMakeARunningRecordUnreadable(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("trailing"))
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	require.NoError(t, rdb.Append(t.Context(), recordKey("trailing", r.id), "x").Err())
	_, err := s.Apply(t.Context(), r.id, r.mark())
	require.ErrorIs(t, err, store.ErrUnreadable)
}

// F68, F83: neither keys nor scopes reach Redis, and only a completed record
// holds what the answer holds.
func TestNothingOfKeyOrScopeReachesRedisF68(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	warm(t, s)
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	for _, canary := range []string{canaryKey, canaryScope} {
		require.Empty(t, srv.Holding(canary))
	}
	for _, key := range srv.Keys("*") {
		require.Regexp(t, `^reprise:\{[0-9a-f]{64}\}$`, key)
	}
}
