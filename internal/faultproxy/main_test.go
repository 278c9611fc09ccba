package faultproxy_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server, a proxy before it, a client through the proxy that tries
// everything once, and one that goes to the server directly.
type rig struct {
	srv    *redistest.Server
	proxy  *faultproxy.Proxy
	rdb    *redis.Client
	direct *redis.Client
}

func newRig(t *testing.T, mutators ...func(*redis.Options)) *rig {
	t.Helper()
	srv := redistest.Start(t)
	proxy := faultproxy.Start(t, srv.Addr())
	through := func(o *redis.Options) { o.Addr, o.MaxRetries, o.DialerRetries = proxy.Addr(), -1, 1 }
	return &rig{
		srv:    srv,
		proxy:  proxy,
		rdb:    srv.Client(t, append([]func(*redis.Options){through}, mutators...)...),
		direct: srv.Client(t),
	}
}

// incr adds one to a key through the proxy, and gives up after a while.
func (r *rig) incr(t *testing.T, key string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return r.rdb.Incr(ctx, key).Err()
}

// patience is how long a client waits for what is not going to come.
const patience = 100 * time.Millisecond

// requireValue reads a counter past the proxy.
func (r *rig) requireValue(t *testing.T, key string, want int) {
	t.Helper()
	got, err := r.direct.Get(t.Context(), key).Int()
	if want == 0 {
		require.ErrorIs(t, err, redis.Nil)
		return
	}
	require.NoError(t, err)
	require.Equal(t, want, got)
}
