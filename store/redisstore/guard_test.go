package redisstore_test

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

const quarantine = time.Hour

// guarded returns a store with the guard on a server whose memory is blessed.
func guarded(t *testing.T, opts ...redistest.Option) (*redisstore.Store, *redistest.Server) {
	t.Helper()
	srv := redistest.Start(t, opts...)
	s := newStore(t, srv.Client(t, noRepeats), redisstore.MemoryGuard(quarantine))
	require.NoError(t, s.Bless(t.Context()))
	return s, srv
}

// quarantined wants a claim to be refused for so long at most, and returns for how
// long.
func quarantined(t testing.TB, s *redisstore.Store, most time.Duration) time.Duration {
	t.Helper()
	r := newRequest(t)
	_, err := s.Apply(t.Context(), r.id, r.claim)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorIs(t, err, redisstore.ErrQuarantine)
	require.NotErrorIs(t, err, store.ErrNotExecuted, "it has to be released")
	left, told := store.RetryAfter(err)
	require.True(t, told)
	require.Positive(t, left)
	require.LessOrEqual(t, left, most)
	r.applies(t, s, r.release(), store.Done)
	return left
}

// F12, F14: after a loss of memory new claims are refused; what is still known, or
// runs, goes on.
func TestNewClaimsAreRefusedAfterALossOfMemoryF12F14(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		opts   []redistest.Option
		happen func(t *testing.T, srv *redistest.Server)
		kept   bool
	}{
		{"F12 killed and restarted empty", nil, restarted, false},
		{"F12 restarted with all its data", []redistest.Option{redistest.AOF()}, restarted, true},
		{"F14 flushed", nil, func(_ *testing.T, srv *redistest.Server) { srv.FlushAll() }, false},
		{"F15 another history", nil, otherHistory, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, srv := guarded(t, test.opts...)
			done, running := newRequest(t), newRequest(t)
			done.claims(t, s, store.Claimed)
			done.applies(t, s, done.complete(bodyOf(9)), store.Done)
			running.claims(t, s, store.Claimed)
			require.Zero(t, s.Stats().MemoryChanges)

			test.happen(t, srv)
			left := quarantined(t, s, quarantine)
			assert.LessOrEqual(t, quarantined(t, s, quarantine), left, "it began with the first look")
			running.applies(t, s, running.complete(bodyOf(9)), store.Done)
			running.replays(t, s, bodyOf(9))
			if test.kept {
				done.replays(t, s, bodyOf(9))
			}
			assert.EqualValues(t, 1, s.Stats().MemoryChanges)
			assert.EqualValues(t, 2, s.Stats().Quarantined)

			require.NoError(t, s.Bless(t.Context()))
			newRequest(t).claims(t, s, store.Claimed)
		})
	}
}

func restarted(t *testing.T, srv *redistest.Server) {
	t.Helper()
	srv.Kill()
	srv.Restart()
	require.Eventually(t, func() bool { return srv.Client(t).Ping(t.Context()).Err() == nil },
		5*time.Second, 10*time.Millisecond)
}

// otherHistory makes the server a copy of another one, and a master again.
func otherHistory(t *testing.T, srv *redistest.Server) {
	t.Helper()
	srv.ReplicaOf(redistest.Start(t, redistest.Args("--repl-diskless-sync-delay", "0")))
	srv.Do("replicaof", "no", "one")
}

// The quarantine is the server's: it holds for all processes, those that start in
// it included, and ends by its clock.
func TestQuarantineIsSharedAndEnds(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	const short = 700 * time.Millisecond
	open := func() *redisstore.Store {
		return newStore(t, srv.Client(t, noRepeats), redisstore.MemoryGuard(short))
	}
	first := open()
	left := quarantined(t, first, short) // a Redis that nobody knows
	second := open()
	require.LessOrEqual(t, quarantined(t, second, short), left)
	require.Zero(t, second.Stats().MemoryChanges, "it is no news")
	r := newRequest(t)
	require.Eventually(t, func() bool {
		reply, err := second.Apply(t.Context(), r.id, r.claim)
		return err == nil && reply.Verdict == store.Claimed
	}, 10*time.Second, 20*time.Millisecond)
	newRequest(t).claims(t, first, store.Claimed)
	newRequest(t).claims(t, open(), store.Claimed)
}

// A server whose clock was set back does not lengthen it.
func TestQuarantineIsNeverLongerThanItIs(t *testing.T) {
	t.Parallel()
	s, srv := guarded(t)
	id, _, _ := bytes.Cut([]byte(srv.Dump()["reprise:guard"]), []byte(" "))
	srv.Do("set", "reprise:guard", string(id)+" 7999999999999999")
	quarantined(t, s, quarantine)
}

// The check rides along with the claim and comes after it; only claims have it.
func TestMemoryIsCheckedInTheClaimsRoundTrip(t *testing.T) {
	t.Parallel()
	rdb, proxy, master, _ := replicated(t)
	s := newStore(t, rdb, redisstore.MemoryGuard(quarantine), redisstore.MinReplicas(1, time.Second))
	require.NoError(t, s.Bless(t.Context()))
	warm(t, s)
	r := newRequest(t)
	proxy.ResetCounts()
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.renew(), store.Done)
	r.applies(t, s, r.complete(bodyOf(9)), store.Done)
	r.replays(t, s, bodyOf(9))
	claim := []string{"evalsha", "get", "evalsha", "wait"}
	require.Equal(t, [][]string{claim, {"evalsha", "wait"}, {"evalsha", "wait"}, claim}, proxy.Packets())

	master.ScriptFlush()
	newRequest(t).claims(t, s, store.Claimed)
}

// F37: a server may know the claim and not the check, as when a process without the
// guard was there first.
func TestForgottenCheckIsSentAgainF37(t *testing.T) {
	t.Parallel()
	s, srv := guarded(t)
	plain := newStore(t, srv.Client(t, noRepeats))
	srv.ScriptFlush()
	newRequest(t).claims(t, plain, store.Claimed)
	newRequest(t).claims(t, s, store.Claimed)
	srv.FlushAll()
	newRequest(t).claims(t, plain, store.Claimed)
	srv.ScriptFlush()
	newRequest(t).claims(t, plain, store.Claimed)
	quarantined(t, s, quarantine)
}

// F40: a user who may not look at the memory gets nothing started, and Preflight
// says why.
func TestGuardWithoutRightsFailsClosedF40(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.User("app", "x", documentedRights(t)...))
	s := newStore(t, srv.Client(t, noRepeats, func(o *redis.Options) { o.Username, o.Password = "app", "x" }),
		redisstore.MemoryGuard(quarantine))
	r := newRequest(t)
	_, err := s.Apply(t.Context(), r.id, r.claim)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.NotErrorIs(t, err, redisstore.ErrQuarantine)
	require.ErrorContains(t, err, "memory guard")
	require.ErrorIs(t, s.Bless(t.Context()), store.ErrUnavailable)
	findings, err := s.Preflight(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, errors.Join(findings...), "permit INFO")
}

// A quarantine begins when a process starts, not with its first request; and the
// log says so.
func TestPreflightNoticesALossOfMemory(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	var logged bytes.Buffer
	s := newStore(t, srv.Client(t), redisstore.MemoryGuard(quarantine),
		redisstore.Logger(slog.New(slog.NewTextHandler(&logged, nil))))
	_, err := s.Preflight(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, s.Stats().MemoryChanges)
	require.Contains(t, logged.String(), "may have lost its memory")
	require.Contains(t, srv.Keys("*"), "reprise:guard")
}

func TestMemoryGuardIsValidated(t *testing.T) {
	t.Parallel()
	plain := redis.NewClient(&redis.Options{ContextTimeoutEnabled: true})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{ContextTimeoutEnabled: true})
	t.Cleanup(func() { _, _ = plain.Close(), cluster.Close() })
	_, err := redisstore.New(cluster, redisstore.MemoryGuard(time.Minute))
	require.ErrorContains(t, err, "MemoryGuard needs a *redis.Client")
	require.ErrorContains(t, err, "*redis.ClusterClient")
	for _, bad := range []time.Duration{0, -time.Second, 31 * 24 * time.Hour} {
		_, err = redisstore.New(plain, redisstore.MemoryGuard(bad))
		require.ErrorContains(t, err, "quarantine")
	}
	s := newStore(t, plain)
	require.ErrorContains(t, s.Bless(t.Context()), "no MemoryGuard")
}
