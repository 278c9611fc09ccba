package faultproxy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
)

func TestPartitionIsSilentUntilHealed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		begin    func(p *faultproxy.Proxy)
		executed int
	}{
		{name: "F21 both ways", begin: (*faultproxy.Proxy).Partition, executed: 0},
		{name: "F22 replies only", begin: (*faultproxy.Proxy).DropReplies, executed: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			require.NoError(t, r.rdb.Ping(t.Context()).Err(), "there is a connection")

			tt.begin(r.proxy)
			err := r.incr(t, "old connection")
			require.True(t, isTimeout(err), "%v", err)
			r.requireValue(t, "old connection", tt.executed)
			err = r.incr(t, "new connection")
			require.Error(t, err)
			r.requireValue(t, "new connection", 0)

			r.proxy.Heal()
			require.NoError(t, r.incr(t, "healed"))
			r.requireValue(t, "healed", 1)
			r.requireValue(t, "new connection", 0)
		})
	}
}

// A caller that waits on through a partition must not get, as its answer, the
// reply to something that was sent later on the same connection.
func TestHealResetsConnectionsWithHoles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.rdb.Ping(t.Context()).Err())
	r.proxy.Partition()
	answer := make(chan error, 1)
	go func() { answer <- r.rdb.Incr(t.Context(), "count").Err() }()
	require.Eventually(t, func() bool { return r.proxy.Requests()["incr"] == 1 }, 5*time.Second, time.Millisecond)
	select {
	case err := <-answer:
		require.Fail(t, "answered", "%v", err)
	case <-time.After(patience):
	}
	r.proxy.Heal()
	require.Error(t, <-answer)
	r.requireValue(t, "count", 0)
}

func TestRefusalHitsNewConnectionsOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.incr(t, "count"))

	r.proxy.RefuseConnections()
	require.NoError(t, r.incr(t, "count"), "the old connection goes on")

	r.proxy.ResetConnections()
	require.Error(t, r.incr(t, "count"), "the old connection is broken")
	require.Error(t, r.incr(t, "count"), "a new one is refused")

	r.proxy.Heal()
	require.NoError(t, r.incr(t, "count"))
	r.requireValue(t, "count", 3)
}

func TestDelayHitsAPacketOnce(t *testing.T) {
	t.Parallel()
	const delay = 60 * time.Millisecond
	tests := []struct {
		name  string
		begin func(p *faultproxy.Proxy, d time.Duration)
	}{
		{name: "F29 requests", begin: (*faultproxy.Proxy).DelayRequests},
		{name: "F29 replies", begin: (*faultproxy.Proxy).DelayReplies},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			require.NoError(t, r.rdb.Ping(t.Context()).Err())
			tt.begin(r.proxy, delay)
			took := r.pipelined(t, 20)
			assert.GreaterOrEqual(t, took, delay)
			assert.Less(t, took, 10*delay, "20 times would be a delay of each request")

			tt.begin(r.proxy, 0)
			ctx, cancel := context.WithTimeout(t.Context(), delay)
			defer cancel()
			_ = r.rdb.Ping(ctx).Err() // whatever was under way
			require.NoError(t, r.incr(t, "after"))
		})
	}
}

// pipelined sends n commands in one pipeline and returns how long it took.
func (r *rig) pipelined(t *testing.T, n int) time.Duration {
	t.Helper()
	pipe := r.rdb.Pipeline()
	for range n {
		pipe.Incr(t.Context(), "count")
	}
	began := time.Now()
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	return time.Since(began)
}

func TestServerThatIsDownLooksLikeARefusal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.srv.Kill()
	require.Error(t, r.incr(t, "count"))
	r.srv.Restart()
	require.NoError(t, r.incr(t, "count"))
}
