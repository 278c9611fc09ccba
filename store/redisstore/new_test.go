package redisstore_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// deaf is where nothing listens; New must not mind.
const deaf = "127.0.0.1:1"

func client(t *testing.T, contextTimeout bool) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: deaf, ContextTimeoutEnabled: contextTimeout})
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return rdb
}

func TestNewRefusesWhatCannotKeepRecords(t *testing.T) {
	t.Parallel()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": deaf}})
	defer func() { require.NoError(t, ring.Close()) }()
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{deaf}})
	defer func() { require.NoError(t, cluster.Close()) }()
	good := client(t, true)
	tests := []struct {
		name string
		rdb  redis.UniversalClient
		opts []redisstore.Option
		want string
	}{
		{"no client", nil, nil, "no client"},
		{"nil client", (*redis.Client)(nil), nil, "no client"},
		{"nil cluster client", (*redis.ClusterClient)(nil), nil, "no client"},
		{"ring", ring, nil, "move to another shard"},
		{"no context timeout", client(t, false), nil, "ContextTimeoutEnabled"},
		{"no context timeout on a cluster", cluster, nil, "ContextTimeoutEnabled"},
		{"nil option", good, []redisstore.Option{nil}, "nil option"},
		{"empty namespace", good, []redisstore.Option{redisstore.Namespace("")}, "namespace"},
		{"long namespace", good, []redisstore.Option{redisstore.Namespace(strings.Repeat("n", 65))}, "namespace"},
		{"braces", good, []redisstore.Option{redisstore.Namespace("{a}")}, "namespace"},
		{"colon", good, []redisstore.Option{redisstore.Namespace("a:b")}, "namespace"},
		{"newline", good, []redisstore.Option{redisstore.Namespace("a\n")}, "namespace"},
		{"small cache", good, []redisstore.Option{redisstore.LocalCache(64<<10-1, time.Second)}, "LocalCache: size"},
		{"short cache", good, []redisstore.Option{redisstore.LocalCache(64<<10, 0)}, "LocalCache: age"},
		{"long cache", good, []redisstore.Option{redisstore.LocalCache(64<<10, time.Hour+1)}, "LocalCache: age"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, err := redisstore.New(test.rdb, test.opts...)
			require.ErrorContains(t, err, test.want)
			require.Nil(t, s)
		})
	}
}

func TestNewAcceptsWithoutConnecting(t *testing.T) {
	t.Parallel()
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{deaf}, ContextTimeoutEnabled: true})
	defer func() { require.NoError(t, cluster.Close()) }()
	sentinel := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "m", SentinelAddrs: []string{deaf}, ContextTimeoutEnabled: true,
	})
	defer func() { require.NoError(t, sentinel.Close()) }()
	tests := []struct {
		name string
		rdb  redis.UniversalClient
		opts []redisstore.Option
	}{
		{"single", client(t, true), nil},
		{"sentinel", sentinel, nil},
		{"cluster", cluster, nil},
		{"waived context timeout", client(t, false), []redisstore.Option{redisstore.AllowNoContextTimeout()}},
		{"wrapper", struct{ redis.UniversalClient }{client(t, true)}, nil},
		{"longest namespace", client(t, true), []redisstore.Option{redisstore.Namespace(strings.Repeat("n", 64))}},
		{"silent logger", client(t, true), []redisstore.Option{redisstore.Logger(nil)}},
		{"logger", client(t, true), []redisstore.Option{redisstore.Logger(slog.New(slog.DiscardHandler))}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, err := redisstore.New(test.rdb, test.opts...)
			require.NoError(t, err)
			require.NoError(t, s.Close())
		})
	}
}

// F80: the store closes what it opened; the client stays its owner's.
func TestCloseLeavesTheClientAloneF80(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("close"))
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.renew(), store.Done)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.NoError(t, rdb.Ping(t.Context()).Err())

	for _, event := range []store.Event{r.claim, r.renew(), r.mark()} {
		_, err := s.Apply(t.Context(), r.id, event)
		require.ErrorIs(t, err, store.ErrUnavailable, event.Name())
		require.ErrorIs(t, err, redis.ErrClosed, event.Name())
	}
	_, err := s.Lookup(t.Context(), r.id)
	require.ErrorIs(t, err, redis.ErrClosed)
}

func TestInvalidEventsAreNotSent(t *testing.T) {
	t.Parallel()
	s := newStore(t, client(t, true))
	r := newRequest(t)
	r.reply = store.Reply{Token: 1, Attempt: 1, Started: 1}
	change := func(change func(a *store.Attempt)) store.Attempt {
		a := r.attempt()
		change(&a)
		return a
	}
	outsized := store.Answer{Codec: "http1", Body: make([]byte, 256<<20)}
	unsound := map[string]store.Attempt{
		"negative token":  change(func(a *store.Attempt) { a.Token = -1 }),
		"huge token":      change(func(a *store.Attempt) { a.Token = 9_000_000_000_000_000 }),
		"huge start":      change(func(a *store.Attempt) { a.Started = 9_000_000_000_000_000 }),
		"negative number": change(func(a *store.Attempt) { a.Number = -1 }),
		"huge number":     change(func(a *store.Attempt) { a.Number = 100_000_000 }),
		"negative start":  change(func(a *store.Attempt) { a.Started = -1 }),
	}
	events := map[string]store.Event{
		"nil":               nil,
		"zero claim":        store.Claim{},
		"pointer":           &r.claim,
		"outsized":          r.complete(outsized),
		"outsized decision": r.settle(&outsized),
	}
	for name, attempt := range unsound {
		events["complete with "+name] = store.Complete{Attempt: attempt, Answer: answerOf("x")}
		events["fail with "+name] = store.Fail{Attempt: attempt}
	}
	for name, event := range events {
		_, err := s.Apply(t.Context(), r.id, event)
		require.ErrorIs(t, err, store.ErrInvalid, name)
		require.NotErrorIs(t, err, store.ErrUnavailable, name)
	}
}
