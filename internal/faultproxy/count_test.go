package faultproxy_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRoundTripsAreWhatAClientSendsAtOnce(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 1<<20)
	pipeline := func(build func(redis.Pipeliner)) func(*redis.Client) error {
		return func(rdb *redis.Client) error {
			pipe := rdb.Pipeline()
			build(pipe)
			_, err := pipe.Exec(t.Context())
			return err
		}
	}
	tests := []struct {
		name string
		send func(rdb *redis.Client) error
		want [][]string
	}{
		{
			name: "nothing but a connection",
			send: func(*redis.Client) error { return nil },
			want: [][]string{},
		},
		{
			name: "two commands",
			send: func(rdb *redis.Client) error {
				rdb.Set(t.Context(), "k", "v", 0)
				return rdb.Get(t.Context(), "k").Err()
			},
			want: [][]string{{"set"}, {"get"}},
		},
		{
			name: "a pipeline",
			send: pipeline(func(p redis.Pipeliner) { p.Set(t.Context(), "k", "v", 0); p.Get(t.Context(), "k") }),
			want: [][]string{{"set", "get"}},
		},
		{
			name: "a pipeline with a large body first",
			send: pipeline(func(p redis.Pipeliner) { p.Set(t.Context(), "k", large, 0); p.Get(t.Context(), "k") }),
			want: [][]string{{"set", "get"}},
		},
		{
			name: "a transaction",
			send: func(rdb *redis.Client) error {
				_, err := rdb.TxPipelined(t.Context(), func(p redis.Pipeliner) error { return p.Incr(t.Context(), "n").Err() })
				return err
			},
			want: [][]string{{"multi", "incr", "exec"}},
		},
		{
			name: "a script that the server does not know",
			send: func(rdb *redis.Client) error {
				return redis.NewScript("return 1").Run(t.Context(), rdb, nil).Err()
			},
			want: [][]string{{"evalsha"}, {"eval"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *redis.Options) { o.DB = 1; o.ClientName = "canary" })
			require.NoError(t, r.rdb.Ping(t.Context()).Err())
			r.proxy.ResetCounts()
			require.NoError(t, tt.send(r.rdb))
			assert.Equal(t, tt.want, r.proxy.Packets())
			assert.Equal(t, len(tt.want), r.proxy.RoundTrips())
		})
	}
}

func TestSettingUpAConnectionDoesNotCount(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *redis.Options) { o.DB = 1; o.ClientName = "somebody" })
	require.NoError(t, r.rdb.Ping(t.Context()).Err())
	assert.Equal(t, map[string]int{"ping": 1}, r.proxy.Requests())
	assert.Equal(t, 1, r.proxy.RoundTrips())
}

func TestRoundTripsOfManyConnectionsAddUp(t *testing.T) {
	t.Parallel()
	const callers, calls = 8, 50
	r := newRig(t)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range calls {
				assert.NoError(t, r.rdb.Incr(t.Context(), "count").Err())
			}
		})
	}
	all.Wait()
	assert.Equal(t, callers*calls, r.proxy.RoundTrips())
	assert.Equal(t, callers*calls, r.proxy.Requests()["incr"])
	r.requireValue(t, "count", callers*calls)
}
