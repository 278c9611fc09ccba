package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// replicated starts a master with a replica. The returned proxy stands before the
// master.
func replicated(t *testing.T) (*redis.Client, *faultproxy.Proxy, *redistest.Server, *redistest.Server) {
	t.Helper()
	fast := redistest.Args("--repl-diskless-sync-delay", "0")
	master, replica := redistest.Start(t, fast), redistest.Start(t, fast)
	replica.ReplicaOf(master)
	proxy := faultproxy.Start(t, master.Addr())
	rdb := master.Client(t, noRepeats, func(o *redis.Options) { o.Addr = proxy.Addr() })
	return rdb, proxy, master, replica
}

// unacknowledged wants an event to be told that too few replicas have it.
func (r *request) unacknowledged(t testing.TB, s *redisstore.Store, event store.Event) {
	t.Helper()
	_, err := s.Apply(t.Context(), r.id, event)
	require.ErrorIs(t, err, store.ErrUnavailable, event.Name())
	require.ErrorIs(t, err, redisstore.ErrUnacknowledged, event.Name())
}

func TestAcknowledgementCostsNoRoundTrip(t *testing.T) {
	t.Parallel()
	rdb, proxy, _, _ := replicated(t)
	s := newStore(t, rdb, redisstore.MinReplicas(1, time.Second))
	warm(t, s)
	small, large := newRequest(t), newRequest(t)
	tests := []struct {
		name string
		do   func()
		want []string
	}{
		{"claim", func() { small.claims(t, s, store.Claimed) }, []string{"evalsha", "get", "wait"}},
		{"mark", func() { small.applies(t, s, small.mark(), store.Done) }, []string{"evalsha", "wait"}},
		{"renew", func() { small.applies(t, s, small.renew(), store.Done) }, []string{"evalsha", "wait"}},
		{"complete", func() { small.applies(t, s, small.complete(bodyOf(9)), store.Done) }, []string{"evalsha", "wait"}},
		{"replay", func() { small.replays(t, s, bodyOf(9)) }, []string{"evalsha", "get", "wait"}},
		{"another claim", func() { large.claims(t, s, store.Claimed) }, []string{"evalsha", "get", "wait"}},
		{
			"complete 64 KiB",
			func() { large.applies(t, s, large.complete(bodyOf(64<<10)), store.Done) },
			[]string{"set", "evalsha", "wait"},
		},
		{"release", func() { large.applies(t, s, large.release(), store.Done) }, []string{"evalsha"}},
	}
	for _, test := range tests {
		proxy.ResetCounts()
		test.do()
		assert.Equal(t, [][]string{test.want}, proxy.Packets(), test.name)
	}
	assert.Zero(t, s.Stats().Unacknowledged)
}

// F16: what too few replicas have is no claim, no renewal, no mark and no recorded
// answer; and a completion that is repeated does not become one by that.
func TestUnacknowledgedWritesAreRefusedF16(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(master, replica *redistest.Server)
	}{
		{"frozen", func(_, replica *redistest.Server) { replica.Pause() }},
		{"cut off", func(master, replica *redistest.Server) { replica.Pause(); master.CutReplicas() }},
		{"gone", func(_, replica *redistest.Server) { replica.Kill() }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rdb, _, master, replica := replicated(t)
			s, patient := newStore(t, rdb, redisstore.MinReplicas(1, 250*time.Millisecond)), newStore(t, rdb)
			done, running, large, fresh := newRequest(t), newRequest(t), newRequest(t), newRequest(t)
			done.claims(t, patient, store.Claimed)
			done.applies(t, patient, done.complete(bodyOf(9)), store.Done)
			running.claims(t, patient, store.Claimed)
			large.claims(t, patient, store.Claimed)
			test.spoil(master, replica)

			fresh.unacknowledged(t, s, fresh.claim)
			running.unacknowledged(t, s, running.renew())
			running.unacknowledged(t, s, running.mark())
			for range 3 {
				running.unacknowledged(t, s, running.complete(bodyOf(9)))
				large.unacknowledged(t, s, large.complete(bodyOf(64<<10)))
			}
			other := newRequest(t)
			other.applies(t, s, other.renew(), store.Lost) // which says nothing about replicas
			done.replays(t, s, bodyOf(9))
			fresh.applies(t, s, fresh.release(), store.Done)
			assert.EqualValues(t, 9, s.Stats().Unacknowledged)
		})
	}
}

// A completion that nobody acknowledged is acknowledged when it is sent again and
// the replica is back.
func TestCompletionIsRecordedWhenTheReplicaIsBack(t *testing.T) {
	t.Parallel()
	rdb, _, _, replica := replicated(t)
	s := newStore(t, rdb, redisstore.MinReplicas(1, 250*time.Millisecond))
	r := newRequest(t)
	r.claims(t, newStore(t, rdb), store.Claimed) // it waits for no replica
	replica.Pause()
	r.unacknowledged(t, s, r.complete(bodyOf(9)))
	replica.Resume()
	require.Eventually(t, func() bool {
		reply, err := s.Apply(t.Context(), r.id, r.complete(bodyOf(9)))
		return err == nil && reply.Verdict == store.Done
	}, 10*time.Second, 10*time.Millisecond)
	onReplica := newStore(t, replica.Client(t))
	rec, err := onReplica.Lookup(t.Context(), r.id)
	require.NoError(t, err)
	require.Equal(t, store.Completed, rec.State)
	require.Equal(t, r.reply.Token, rec.Token)
}

// Whoever starts nothing has no reason to wait for replicas, however slow those
// are.
func TestReplaysDoNotWaitForReplicas(t *testing.T) {
	t.Parallel()
	rdb, _, _, replica := replicated(t)
	const timeout = time.Second
	s, patient := newStore(t, rdb, redisstore.MinReplicas(1, timeout)), newStore(t, rdb)
	done, running := newRequest(t), newRequest(t)
	done.claims(t, patient, store.Claimed)
	done.applies(t, patient, done.complete(bodyOf(64<<10)), store.Done)
	running.claims(t, patient, store.Claimed)
	replica.Pause()
	newRequest(t).unacknowledged(t, s, newRequest(t).claim) // so that something is outstanding

	began := time.Now()
	done.replays(t, s, bodyOf(64<<10))
	require.Less(t, time.Since(began), timeout)
	began = time.Now()
	running.duplicate().claims(t, s, store.InProgress)
	require.Less(t, time.Since(began), timeout)
	replica.Resume()
}

// Nor do they keep the connections busy that others need, once it is known that
// replicas are slow; and claims that start an attempt are acknowledged all the same.
func TestReplaysDoNotHoldConnectionsWhileReplicasLag(t *testing.T) {
	t.Parallel()
	_, proxy, master, replica := replicated(t)
	rdb := master.Client(t, noRepeats, func(o *redis.Options) {
		o.Addr, o.PoolSize, o.PipelinePoolSize = proxy.Addr(), 2, -1
	})
	const timeout = time.Second
	s, patient := newStore(t, rdb, redisstore.MinReplicas(1, timeout)), newStore(t, rdb)
	done := newRequest(t)
	done.claims(t, patient, store.Claimed)
	done.applies(t, patient, done.complete(bodyOf(9)), store.Done)
	replica.Pause()
	fresh := newRequest(t)
	fresh.unacknowledged(t, s, fresh.claim)

	began := time.Now()
	for range 20 {
		done.replays(t, s, bodyOf(9))
	}
	require.Less(t, time.Since(began), 8*timeout, "or else half of 20 times that on each connection")
	fresh.unacknowledged(t, s, fresh.claim)
	replica.Resume()
	require.Eventually(t, func() bool {
		_, err := s.Apply(t.Context(), fresh.id, fresh.claim)
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	proxy.ResetCounts()
	newRequest(t).claims(t, s, store.Claimed)
	require.Equal(t, [][]string{{"evalsha", "get", "wait"}}, proxy.Packets(), "as before")
}

// The wait ends before the caller's deadline does: an answer that says "too few"
// leaves the connection whole, a deadline does not.
func TestWaitEndsBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	rdb, _, master, _ := replicated(t)
	s := newStore(t, rdb, redisstore.MinReplicas(1, time.Second))
	warm(t, s)
	notes := master.Monitor()
	for deadline, most := range map[time.Duration]int{
		time.Minute: 1000, 900 * time.Millisecond: 750, 250 * time.Millisecond: 125,
	} {
		var asked int
		require.Eventually(t, func() bool { // a slow machine may not get to send it in time
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			r := newRequest(t)
			_, _ = s.Apply(ctx, r.id, r.claim)
			for _, command := range notes.Commands() {
				_, _ = fmt.Sscanf(command, `"wait" "1" "%d"`, &asked)
			}
			return asked > 0
		}, 20*time.Second, time.Millisecond)
		require.LessOrEqual(t, asked, most, "with %v", deadline)
	}
}

// A script that the server does not know is sent again together with its WAIT.
func TestForgottenScriptsAreAcknowledged(t *testing.T) {
	t.Parallel()
	rdb, _, master, _ := replicated(t)
	s := newStore(t, rdb, redisstore.MinReplicas(1, time.Second))
	for _, answer := range []store.Answer{bodyOf(9), bodyOf(64 << 10)} {
		r := newRequest(t)
		master.ScriptFlush()
		r.claims(t, s, store.Claimed)
		master.ScriptFlush()
		r.applies(t, s, r.renew(), store.Done)
		master.ScriptFlush()
		r.applies(t, s, r.complete(answer), store.Done)
		r.replays(t, s, answer)
	}
}

func TestMinReplicasIsValidated(t *testing.T) {
	t.Parallel()
	plain := redis.NewClient(&redis.Options{ContextTimeoutEnabled: true})
	hasty := redis.NewClient(&redis.Options{ContextTimeoutEnabled: true, ReadTimeout: 100 * time.Millisecond})
	t.Cleanup(func() { _, _ = plain.Close(), hasty.Close() })
	tests := []struct {
		name    string
		client  redis.UniversalClient
		n       int
		timeout time.Duration
		want    string
	}{
		{"no replicas", plain, 0, time.Second, "MinReplicas: 0 replicas"},
		{"for ever", plain, 1, 0, "timeout 0s"},
		{"too long", plain, 1, time.Minute, "timeout 1m0s"},
		{"longer than a read", hasty, 1, 100 * time.Millisecond, "ReadTimeout"},
		{"wrapped", struct{ redis.UniversalClient }{plain}, 1, time.Second, "not a struct"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := redisstore.New(test.client, redisstore.MinReplicas(test.n, test.timeout))
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestPreflightFindsTooFewReplicas(t *testing.T) {
	t.Parallel()
	rdb, _, _, _ := replicated(t) //nolint:dogsled // its servers are left alone
	for n, want := range map[int][]string{1: nil, 2: {"has 1 replicas and MinReplicas asks for 2"}} {
		s := newStore(t, rdb, redisstore.MinReplicas(n, time.Second))
		findings, err := s.Preflight(t.Context())
		require.NoError(t, err)
		requireFindings(t, findings, want, nil)
	}
}

// F40: without the right to wait nothing is started, and Preflight says why.
func TestMinReplicasNeedsTheRightToWaitF40(t *testing.T) {
	t.Parallel()
	fast := redistest.Args("--repl-diskless-sync-delay", "0")
	for _, may := range []bool{false, true} {
		rights := documentedRights(t)
		if may {
			rights = append(rights, "+wait")
		}
		master, replica := redistest.Start(t, fast, redistest.User("app", "x", rights...)), redistest.Start(t, fast)
		replica.ReplicaOf(master)
		rdb := master.Client(t, noRepeats, func(o *redis.Options) { o.Username, o.Password = "app", "x" })
		s := newStore(t, rdb, redisstore.MinReplicas(1, time.Second))
		findings, err := s.Preflight(t.Context())
		require.NoError(t, err)
		r := newRequest(t)
		if may {
			r.claims(t, s, store.Claimed)
			require.NotContains(t, errors.Join(findings...).Error(), "WAIT")
			continue
		}
		r.unacknowledged(t, s, r.claim)
		require.ErrorContains(t, errors.Join(findings...), "WAIT is refused")
	}
}

// WAIT counts up to the last write of its own connection, so a completion that is
// repeated has to write, too.
func TestRepeatedCompletionWrites(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	warm(t, s)
	for _, answer := range []store.Answer{bodyOf(9), bodyOf(64 << 10)} {
		r := newRequest(t)
		r.claims(t, s, store.Claimed)
		r.applies(t, s, r.complete(answer), store.Done)
		before := srv.CommandCounts()
		r.applies(t, s, r.complete(answer), store.Done)
		require.Equal(t, 1, srv.CommandCounts().Since(before)["setrange"])
		r.replays(t, s, answer)
	}
}

// Close waits for what a replay left behind, and then nothing is sent any more.
func TestCloseWaitsForOutstandingAcknowledgements(t *testing.T) {
	t.Parallel()
	rdb, _, _, replica := replicated(t)
	s, err := redisstore.New(rdb, redisstore.MinReplicas(1, 200*time.Millisecond))
	require.NoError(t, err)
	r := newRequest(t)
	r.claims(t, newStore(t, rdb), store.Claimed)
	replica.Pause()
	r.unacknowledged(t, s, r.renew())
	r.duplicate().claims(t, s, store.InProgress)
	require.NoError(t, s.Close())
	_, err = s.Apply(t.Context(), r.id, r.claim)
	require.ErrorIs(t, err, redis.ErrClosed)
	replica.Resume()
}

// F23, F25: a client that repeats a packet whose last reply was lost has done
// nothing twice.
func TestLostAcknowledgementIsAskedForAgainF23F25(t *testing.T) {
	t.Parallel()
	_, proxy, master, _ := replicated(t)
	s := newStore(t, master.Client(t, func(o *redis.Options) {
		o.Addr, o.ReadTimeout = proxy.Addr(), 2*time.Second
	}), redisstore.MinReplicas(1, time.Second))
	for _, answer := range []store.Answer{bodyOf(9), bodyOf(64 << 10)} {
		r := newRequest(t)
		lost := proxy.LoseReply("wait", 1)
		r.claims(t, s, store.Claimed)
		require.Equal(t, 1, lost.Fired())
		require.Equal(t, 1, r.reply.Attempt)
		lost = proxy.LoseReply("wait", 1)
		r.applies(t, s, r.complete(answer), store.Done)
		require.Equal(t, 1, lost.Fired())
		r.replays(t, s, answer)
	}
	require.Zero(t, s.Stats().Unacknowledged)
}
