package redisstore_test

import (
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

// proxied returns a store whose every connection leads through a proxy to a
// server of its own. The client does not repeat anything by itself.
func proxied(t *testing.T, mutate ...func(*redis.Options)) (*redisstore.Store, *faultproxy.Proxy, *redistest.Server) {
	t.Helper()
	srv := redistest.Start(t)
	proxy := faultproxy.Start(t, srv.Addr())
	opts := append([]func(*redis.Options){func(o *redis.Options) {
		o.Addr, o.MaxRetries = proxy.Addr(), -1
	}}, mutate...)
	return newStore(t, srv.Client(t, opts...)), proxy, srv
}

// warm makes the server know every script, and opens connections.
func warm(t *testing.T, s *redisstore.Store) {
	t.Helper()
	for _, answer := range []store.Answer{bodyOf(1), bodyOf(64 << 10)} {
		r := newRequest(t)
		r.claims(t, s, store.Claimed)
		r.applies(t, s, r.renew(), store.Done)
		r.applies(t, s, r.mark(), store.Done)
		r.applies(t, s, r.complete(answer), store.Done)
		r.applies(t, s, r.fail(), store.Done)
		r.applies(t, s, r.release(), store.Done)
		r.applies(t, s, r.settle(nil), store.Refused)
		_, err := s.Inspect(t.Context(), r.id)
		require.NoError(t, err)
		_, err = s.Lookup(t.Context(), r.id)
		require.NoError(t, err)
	}
}

func TestEveryEventIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t)
	warm(t, s)
	evalsha := []string{"evalsha"}
	small, large, failed, settled := newRequest(t), newRequest(t), newRequest(t), newRequest(t)
	tests := []struct {
		name string
		do   func()
		want [][]string
	}{
		{"claim", func() { small.claims(t, s, store.Claimed) }, [][]string{{"evalsha", "get"}}},
		{"mark", func() { small.applies(t, s, small.mark(), store.Done) }, [][]string{evalsha}},
		{"renew", func() { small.applies(t, s, small.renew(), store.Done) }, [][]string{evalsha}},
		{"complete", func() { small.applies(t, s, small.complete(bodyOf(1<<10)), store.Done) }, [][]string{evalsha}},
		{"replay", func() { small.replays(t, s, bodyOf(1<<10)) }, [][]string{{"evalsha", "get"}}},
		{"lookup", func() { _, _ = s.Lookup(t.Context(), small.id) }, [][]string{{"evalsha", "get"}}},
		{"claim again", func() { large.claims(t, s, store.Claimed) }, [][]string{{"evalsha", "get"}}},
		{
			"complete 1 MiB",
			func() { large.applies(t, s, large.complete(bodyOf(1<<20)), store.Done) },
			[][]string{{"set", "evalsha"}},
		},
		{"replay 1 MiB", func() { large.replays(t, s, bodyOf(1<<20)) }, [][]string{{"evalsha", "get"}}},
		{"inspect 1 MiB", func() { _, _ = s.Inspect(t.Context(), large.id) }, [][]string{evalsha}},
		{"erase 1 MiB", func() { large.applies(t, s, large.erase(), store.Done) }, [][]string{evalsha}},
		{"claim to fail", func() { failed.claims(t, s, store.Claimed) }, [][]string{{"evalsha", "get"}}},
		{"fail", func() { failed.applies(t, s, failed.fail(), store.Done) }, [][]string{evalsha}},
		{"settle", func() { failed.applies(t, s, failed.settle(nil), store.Done) }, [][]string{evalsha}},
		{"claim to release", func() { settled.claims(t, s, store.Claimed) }, [][]string{{"evalsha", "get"}}},
		{"release", func() { settled.applies(t, s, settled.release(), store.Done) }, [][]string{evalsha}},
	}
	for _, test := range tests {
		proxy.ResetCounts()
		test.do()
		assert.Equal(t, test.want, proxy.Packets(), test.name)
	}
	assert.Zero(t, s.Stats().LargeFallbacks)
}

func TestManyRenewalsAreOneRoundTripAHundredAndTwentyEight(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t)
	warm(t, s)
	renewals := make([]store.Renewal, 2*store.MaxRenewals)
	for i := range renewals {
		r := newRequest(t)
		r.claims(t, s, store.Claimed)
		renewals[i] = store.Renewal{ID: r.id, Renew: r.renew()}
	}
	proxy.ResetCounts()
	for _, result := range s.Renew(t.Context(), renewals) {
		require.NoError(t, result.Err)
		require.Equal(t, store.Done, result.Reply.Verdict)
	}
	require.Equal(t, [][]string{{"evalsha"}, {"evalsha"}}, proxy.Packets())
}

// One record of a batch that cannot be read, one renewal that is wrong, and one
// claim that is lost are each told so, and the others are renewed.
func TestOneRenewalsTroubleIsNotTheOthers(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("batch"))
	batch := make([]store.Renewal, 5)
	for i := range batch {
		r := newRequest(t)
		r.claims(t, s, store.Claimed)
		batch[i] = store.Renewal{ID: r.id, Renew: r.renew()}
	}
	ctx := t.Context()
	require.NoError(t, rdb.SetRange(ctx, recordKey("batch", batch[0].ID), 4, "?").Err())
	require.NoError(t, rdb.Del(ctx, recordKey("batch", batch[1].ID)).Err())
	require.NoError(t, rdb.LPush(ctx, recordKey("batch", batch[1].ID), "x").Err())
	batch[2].Lease = 0
	batch[3].Owner = store.NewOwner()

	results := s.Renew(ctx, batch)
	require.ErrorIs(t, results[0].Err, store.ErrUnreadable)
	require.ErrorContains(t, results[0].Err, "state")
	require.ErrorIs(t, results[1].Err, store.ErrUnreadable)
	require.ErrorContains(t, results[1].Err, "type")
	require.ErrorIs(t, results[2].Err, store.ErrInvalid)
	require.Equal(t, store.Lost, results[3].Reply.Verdict)
	require.NoError(t, results[4].Err)
	require.Equal(t, store.Done, results[4].Reply.Verdict)
}

// F31: requests that hold every connection of the client, and wait, must not
// keep running attempts from renewing.
func TestRenewalsHaveConnectionsOfTheirOwnF31(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t, func(o *redis.Options) {
		o.PoolSize, o.MaxActiveConns, o.PipelinePoolSize, o.MaxRetries = 1, 1, -1, -1
		o.PoolTimeout = 50 * time.Millisecond
	})
	s := newStore(t, rdb)
	r := newRequest(t)
	r.claims(t, s, store.Claimed)

	conn := rdb.Conn() // takes the only connection
	require.NoError(t, conn.Ping(t.Context()).Err())
	start := time.Now()
	_, err := s.Apply(t.Context(), r.id, r.mark())
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorIs(t, err, redis.ErrPoolTimeout)
	require.Less(t, time.Since(start), 2*time.Second)

	r.applies(t, s, r.renew(), store.Done)
	require.NoError(t, conn.Close())
	r.applies(t, s, r.mark(), store.Done)
}
