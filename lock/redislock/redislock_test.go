package redislock_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/locktest"
	"github.com/reprise-go/reprise/lock/redislock"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	locktest.Run(t, func(t *testing.T) locktest.Harness {
		return locktest.Harness{Backend: open(t, rdb), Fenced: true}
	}, locktest.InParallel())
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	deaf := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	hearing := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true})
	ring := redis.NewRing(&redis.RingOptions{})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	for _, c := range []redis.UniversalClient{deaf, hearing, ring, cluster} {
		defer func() { require.NoError(t, c.Close()) }()
	}
	tests := []struct {
		name string
		rdb  redis.UniversalClient
		opts []redislock.Option
		want string
	}{
		{"no client", nil, nil, "no client"},
		{"nil client", (*redis.Client)(nil), nil, "no client"},
		{"nil cluster", (*redis.ClusterClient)(nil), nil, "no client"},
		{"ring", ring, nil, "Ring"},
		{"no deadlines", deaf, nil, "ContextTimeoutEnabled"},
		{"no deadlines on a cluster", cluster, nil, "ContextTimeoutEnabled"},
		{"nil option", hearing, []redislock.Option{nil}, "nil option"},
		{"namespace", hearing, []redislock.Option{redislock.Namespace("a{b")}, "Namespace"},
		{"short trace", hearing, []redislock.Option{redislock.Trace(time.Millisecond)}, "Trace"},
		{"long trace", hearing, []redislock.Option{redislock.Trace(25 * time.Hour)}, "Trace"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := redislock.New(tt.rdb, tt.opts...)
			require.ErrorContains(t, err, tt.want)
		})
	}
	open(t, deaf, redislock.AllowNoContextTimeout())
}

// A token is the server's clock to the last digit: Redis would write a number
// that is concatenated as 1.7953553421438e+15.
func TestTokenIsTheServersClock(t *testing.T) {
	t.Parallel()
	b := open(t, shared.Server(t).Client(t))
	exact := false
	for range 20 {
		before := time.Now().UnixMicro()
		reply := newHold().acquires(t, b, lock.Acquired)
		assert.GreaterOrEqual(t, int64(reply.Token), before)
		assert.LessOrEqual(t, int64(reply.Token), time.Now().UnixMicro())
		exact = exact || reply.Token%1000 != 0
	}
	assert.True(t, exact)
}

// A clock that was set back makes no token smaller, and no lease longer than it is.
func TestServerClockThatWasSetBack_F61(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	b := open(t, srv.Client(t))
	h := newHold()
	first := h.acquires(t, b, lock.Acquired)
	future := time.Now().Add(time.Hour).UnixMicro()
	srv.Do("setrange", h.key(), 7, strconv.FormatInt(future, 10))  // the token
	srv.Do("setrange", h.key(), 23, strconv.FormatInt(future, 10)) // the last confirmation
	reply := h.rival().acquires(t, b, lock.Held)
	assert.LessOrEqual(t, reply.Left, time.Minute)
	assert.LessOrEqual(t, h.rival().acquires(t, b, lock.Held).Left, time.Minute, "it was rewritten")
	h.releases(t, b, true)
	assert.Equal(t, lock.Token(future+1), h.rival().acquires(t, b, lock.Acquired).Token)
	assert.Less(t, first.Token, lock.Token(future))
}

func TestKeysNeverReachRedis_I10(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	b := open(t, srv.Client(t), redislock.Namespace("app.locks"))
	l := newLocker(t, b)
	le, err := l.TryLock(t.Context(), "canary-4711")
	require.NoError(t, err)
	assert.Empty(t, srv.Holding("canary"))
	assert.Equal(t, []string{"app.locks:{" + lock.NewID("canary-4711").String() + "}"}, srv.Keys("*"))
	require.NoError(t, le.Release(t.Context()))
	assert.Empty(t, srv.Holding("canary"))
}

func TestRecordsExpire(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	b := open(t, srv.Client(t), redislock.Trace(2*time.Second))
	h := newHold()
	h.acquires(t, b, lock.Acquired)
	assert.InDelta(t, 62_000, srv.Do("pttl", h.key()), 1000)
	h.releases(t, b, true)
	assert.InDelta(t, 2000, srv.Do("pttl", h.key()), 1000)
	h = newHold()
	h.releases(t, b, false)
	assert.InDelta(t, 2000, srv.Do("pttl", h.key()), 1000)
}

func TestEveryCallIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	b, proxy, _ := proxied(t)
	h := newHold()
	h.acquires(t, b, lock.Acquired)
	h.rival().acquires(t, b, lock.Held)
	h.releases(t, b, true)
	assert.Equal(t, [][]string{{"evalsha"}, {"evalsha"}, {"evalsha"}}, proxy.Packets())
}

func TestRenewalsShareScripts(t *testing.T) {
	t.Parallel()
	b, proxy, _ := proxied(t)
	renewals := make([]lock.Renewal, 300)
	for i := range renewals {
		h := newHold()
		h.acquires(t, b, lock.Acquired)
		renewals[i] = h.renewal()
	}
	proxy.ResetCounts()
	for _, r := range b.Renew(t.Context(), renewals) {
		require.Equal(t, lock.RenewResult{}, r)
	}
	assert.Equal(t, [][]string{{"evalsha"}, {"evalsha"}, {"evalsha"}}, proxy.Packets())
}

// F23 to F26: whatever call's reply gets lost, the next execution finds the first.
func TestLostReplyIsNoFalseHeld_F23(t *testing.T) {
	t.Parallel()
	t.Run("the client repeats", func(t *testing.T) {
		t.Parallel()
		b, proxy, _ := proxied(t, repeating)
		h := newHold()
		for _, call := range []func(){
			func() { h.acquires(t, b, lock.Acquired) },
			func() { h.releases(t, b, true) },
		} {
			lost := proxy.LoseReply("evalsha", 1)
			call()
			assert.Equal(t, 1, lost.Fired())
		}
	})
	t.Run("the caller repeats", func(t *testing.T) {
		t.Parallel()
		b, proxy, _ := proxied(t)
		h := newHold()
		proxy.LoseReply("evalsha", 1)
		_, err := b.Acquire(t.Context(), h.id, h.claim)
		require.ErrorIs(t, err, io.EOF)
		require.NotErrorIs(t, err, lock.ErrNotExecuted)
		h.acquires(t, b, lock.Acquired)
		proxy.LoseReply("evalsha", 1)
		require.ErrorIs(t, b.Renew(t.Context(), []lock.Renewal{h.renewal()})[0].Err, io.EOF)
		h.renews(t, b, false)
		proxy.LoseReply("evalsha", 1)
		_, err = b.Release(t.Context(), h.id, h.claim.Owner)
		require.ErrorIs(t, err, io.EOF)
		h.releases(t, b, true)
	})
}

// F28: what arrives late does no harm.
func TestLatePacketsAreHarmless_F28(t *testing.T) {
	t.Parallel()
	b, proxy, _ := proxied(t)
	h := newHold()
	late := proxy.Hold("evalsha", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := b.Acquire(ctx, h.id, h.claim)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	h.releases(t, b, false)
	late.Deliver()
	h.rival().acquires(t, b, lock.Acquired)
}

func TestDeadlineEndsACallToASilentServer_F13(t *testing.T) {
	t.Parallel()
	b, _, srv := proxied(t)
	h := newHold()
	srv.Pause()
	defer srv.Resume()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
		began := time.Now()
		_, err := b.Acquire(ctx, h.id, h.claim)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = b.Release(ctx, h.id, h.claim.Owner)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Error(t, b.Renew(ctx, []lock.Renewal{h.renewal()})[0].Err)
		require.Less(t, time.Since(began), time.Second)
		cancel()
	}
}

func TestForgottenScriptsAreSentAgain_F37(t *testing.T) {
	t.Parallel()
	b, proxy, srv := proxied(t)
	h := newHold()
	for _, call := range []func(){
		func() { h.acquires(t, b, lock.Acquired) },
		func() { h.renews(t, b, false) },
		func() { h.releases(t, b, true) },
	} {
		srv.ScriptFlush()
		proxy.ResetCounts()
		loads := b.Stats().ScriptLoads
		call()
		assert.Equal(t, loads+1, b.Stats().ScriptLoads)
	}
}

func TestFullServerRefusesNewLocksAndFreesOldOnes_F32(t *testing.T) {
	t.Parallel()
	b, _, srv := proxied(t)
	h := newHold()
	h.acquires(t, b, lock.Acquired)
	srv.Config("maxmemory", "1")
	other := newHold()
	_, err := b.Acquire(t.Context(), other.id, other.claim)
	require.ErrorContains(t, err, "OOM")
	h.rival().acquires(t, b, lock.Held)
	h.renews(t, b, false)
	h.releases(t, b, true)
}

func TestForeignValuesStayUntouched_F41(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	b := open(t, srv.Client(t))
	right := newHold()
	right.acquires(t, b, lock.Acquired)
	record, _ := srv.Do("get", right.key()).(string)
	require.Len(t, record, 119)
	other := lock.NewOwner().String()
	trace := record[:4] + "T01" + record[7:55] + other + record[87:]
	held := func(h *hold) string { return record[:55] + h.claim.Owner.String() + record[87:] }
	tests := []struct {
		name string
		// value is what is under the lock's name, put there by the command set, or rpush.
		value func(h *hold) string
		list  bool
		want  string
	}{
		{"list", func(*hold) string { return "x" }, true, "type"},
		{"text", func(*hold) string { return "some session" }, false, "format"},
		{"empty", func(*hold) string { return "" }, false, "format"},
		{"newer", func(*hold) string { return "RPK3" + record[4:] }, false, "newer format"},
		{"older", func(*hold) string { return "RPK1" + record[4:87] }, false, "format"},
		{"short", func(*hold) string { return record[:118] }, false, "length"},
		{"long", func(*hold) string { return record + "x" }, false, "length"},
		{"state", func(*hold) string { return record[:4] + "X" + record[5:] }, false, "number"},
		{"number", func(*hold) string { return record[:20] + "x" + record[21:] }, false, "number"},
		{"number of a trace", func(*hold) string { return trace[:9] + "x" + trace[10:] }, false, "number"},
		{"last number of a trace", func(*hold) string { return trace[:54] + "x" + trace[55:] }, false, "number"},
		{"flag of a trace", func(*hold) string { return trace[:5] + "y" + trace[6:] }, false, "number"},
		{"token that is too large", func(*hold) string { return trace[:7] + "9" + trace[8:] }, false, "number"},
		{"short trace", func(*hold) string { return trace[:118] }, false, "length"},
		{"long trace", func(*hold) string { return trace + "0" }, false, "length"},
		{"number of an own hold", func(h *hold) string { return held(h)[:54] + "x" + held(h)[55:] }, false, "number"},
		{"short own hold", func(h *hold) string { return held(h)[:118] }, false, "length"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHold()
			if tt.list {
				srv.Do("rpush", h.key(), tt.value(h))
			} else {
				srv.Do("set", h.key(), tt.value(h), "px", 3_600_000)
			}
			before := srv.Do("dump", h.key())
			_, err := b.Acquire(t.Context(), h.id, h.claim)
			require.ErrorIs(t, err, redislock.ErrUnreadable)
			require.ErrorIs(t, err, lock.ErrNotExecuted)
			require.ErrorContains(t, err, "its "+tt.want+" is wrong")
			_, err = b.Release(t.Context(), h.id, h.claim.Owner)
			require.ErrorIs(t, err, redislock.ErrUnreadable)
			results := b.Renew(t.Context(), []lock.Renewal{h.renewal(), right.renewal()})
			require.ErrorIs(t, results[0].Err, redislock.ErrUnreadable)
			require.NoError(t, results[1].Err, "one that cannot be read does not disturb the others")
			assert.Equal(t, before, srv.Do("dump", h.key()))
			if !tt.list {
				assert.InDelta(t, 3_600_000, srv.Do("pttl", h.key()), 600_000)
			}
		})
	}
}

func TestClosedBackendSendsNothing_F80(t *testing.T) {
	t.Parallel()
	b, proxy, _ := proxied(t)
	require.NoError(t, b.Close())
	h := newHold()
	_, err := b.Acquire(t.Context(), h.id, h.claim)
	require.ErrorIs(t, err, redis.ErrClosed)
	require.ErrorIs(t, err, lock.ErrNotExecuted)
	_, err = b.Release(t.Context(), h.id, h.claim.Owner)
	require.ErrorIs(t, err, redis.ErrClosed)
	require.ErrorIs(t, b.Renew(t.Context(), []lock.Renewal{h.renewal()})[0].Err, redis.ErrClosed)
	assert.Empty(t, proxy.Packets())
}

// I10: neither a key nor a digest is in an error, whatever a server quotes.
func TestErrorsAreDiscreet(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.User("app", "secret", "~*", "+@all", "-evalsha", "-eval"))
	rdb := srv.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "secret" })
	b := open(t, rdb)
	h := newHold()
	_, err := b.Acquire(t.Context(), h.id, h.claim)
	require.ErrorContains(t, err, "NOPERM")
	assert.NotContains(t, err.Error(), h.id.String())
	assert.NotContains(t, err.Error(), h.claim.Owner.String())
	assert.Contains(t, err.Error(), h.id.Short())
}

func TestWaiterIsWokenByTheRelease(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	l, other := newLocker(t, open(t, srv.Client(t)), lock.Recheck(time.Minute)), newLocker(t, open(t, srv.Client(t)))
	holder, err := other.TryLock(t.Context(), "k")
	require.NoError(t, err)
	got := make(chan *lock.Lease)
	go func() {
		le, err := l.Lock(t.Context(), "k")
		assert.NoError(t, err)
		got <- le
	}()
	require.Eventually(t, func() bool {
		record, _ := srv.Do("get", redislock.DefaultNamespace+":{"+lock.NewID("k").String()+"}").(string)
		return strings.HasPrefix(record, "RPK2H1")
	}, 5*time.Second, time.Millisecond)
	require.NoError(t, holder.Release(t.Context()))
	began := time.Now()
	le := <-got
	assert.Less(t, time.Since(began), time.Second)
	require.NoError(t, le.Release(t.Context()))
}

func TestNothingIsPublishedForNobody(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	b := open(t, srv.Client(t))
	before := srv.CommandCounts()
	h := newHold()
	h.acquires(t, b, lock.Acquired)
	h.rival().acquires(t, b, lock.Held)
	h.releases(t, b, true)
	assert.Zero(t, srv.CommandCounts().Since(before)["publish"])
	assert.Zero(t, srv.CommandCounts().Since(before)["subscribe"])
	h = newHold()
	h.acquires(t, b, lock.Acquired)
	waiting := h.rival()
	waiting.claim.Wait = true
	waiting.acquires(t, b, lock.Held)
	h.releases(t, b, true)
	assert.Equal(t, 1, srv.CommandCounts().Since(before)["publish"])
}

// F78: a thousand waiters of one process cost Redis what one does.
func TestThousandWaitersCostWhatOneDoes_F78(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	l, other := newLocker(t, open(t, srv.Client(t))), newLocker(t, open(t, srv.Client(t)))
	holder, err := other.TryLock(t.Context(), "k")
	require.NoError(t, err)
	before := srv.CommandCounts()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			_, err := l.Lock(ctx, "k")
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
	all.Wait()
	grown := srv.CommandCounts().Since(before)
	assert.LessOrEqual(t, grown["evalsha"]+grown["eval"], 8, fmt.Sprint(grown))
	assert.LessOrEqual(t, grown["subscribe"], 2)
	require.NoError(t, holder.Release(t.Context()))
}
