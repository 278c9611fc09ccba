package redisstore_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// startCluster runs a cluster of one node. It enforces what a larger one does:
// declared keys, in one slot.
func startCluster(t *testing.T) (*redis.ClusterClient, *redistest.Server) {
	t.Helper()
	bus, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(bus.Addr().String())
	require.NoError(t, err)
	require.NoError(t, bus.Close())
	srv := redistest.Start(t, redistest.Args("--cluster-enabled", "yes", "--cluster-port", port))
	srv.Do("cluster", "addslotsrange", "0", "16383")
	require.Eventually(t, func() bool {
		return strings.Contains(fmt.Sprint(srv.Do("cluster", "info")), "cluster_state:ok")
	}, 10*time.Second, 20*time.Millisecond)
	rdb := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{srv.Addr()}, ContextTimeoutEnabled: true, MaxRedirects: -1, DialerRetries: 1,
	})
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return rdb, srv
}

func TestCluster(t *testing.T) {
	t.Parallel()
	rdb, srv := startCluster(t)
	var logged bytes.Buffer
	s := newStore(t, rdb, redisstore.Logger(slog.New(slog.NewTextHandler(&logged, nil))))
	small, large := newRequest(t), newRequest(t)
	warm(t, s)
	srv.FlushAll()
	srv.ScriptFlush()

	// Every event, with keys in many slots.
	renewals := make([]store.Renewal, 40)
	for i := range renewals {
		r := newRequest(t)
		r.claims(t, s, store.Claimed)
		renewals[i] = store.Renewal{ID: r.id, Renew: r.renew()}
	}
	for _, result := range s.Renew(t.Context(), renewals) {
		require.NoError(t, result.Err)
		require.Equal(t, store.Done, result.Reply.Verdict)
	}
	small.claims(t, s, store.Claimed)
	small.applies(t, s, small.complete(bodyOf(10)), store.Done)
	small.replays(t, s, bodyOf(10))
	large.claims(t, s, store.Claimed)
	large.applies(t, s, large.complete(bodyOf(1<<20)), store.Done)
	large.replays(t, s, bodyOf(1<<20))
	require.Zero(t, s.Stats().LargeFallbacks)
	require.Len(t, srv.Keys("*"), len(renewals)+2)

	findings, err := s.Preflight(t.Context())
	require.NoError(t, err)
	requireFindings(t, findings, []string{"ClusterStateReloadInterval"}, nil)

	// A node that is gone makes the store look at the map again: once for the
	// many calls that fail at the same time.
	srv.Kill()
	for range 3 {
		_, err = s.Apply(t.Context(), small.id, small.claim)
		require.ErrorIs(t, err, store.ErrUnavailable)
		result := s.Renew(t.Context(), renewals[:1])[0]
		require.ErrorIs(t, result.Err, store.ErrUnavailable)
	}
	_, err = s.Preflight(t.Context())
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.NotZero(t, s.Stats().MapReloads)
	require.Contains(t, logged.String(), "asking the redis cluster for its map again")
	require.NotContains(t, logged.String(), canaryKey)
}

// A client that the store cannot take apart, such as a wrapper that measures,
// shares its connections with the renewals.
func TestWrappedClient(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	s := newStore(t, struct{ redis.UniversalClient }{srv.Client(t)})
	r, other := newRequest(t), newRequest(t)
	r.claims(t, s, store.Claimed)
	results := s.Renew(t.Context(), []store.Renewal{{ID: r.id, Renew: r.renew()}, {ID: other.id, Renew: other.renew()}})
	require.NoError(t, results[0].Err)
	require.Equal(t, store.Done, results[0].Reply.Verdict)
	require.Equal(t, store.Lost, results[1].Reply.Verdict)
	r.applies(t, s, r.complete(bodyOf(64<<10)), store.Done)
	r.replays(t, s, bodyOf(64<<10))
}
