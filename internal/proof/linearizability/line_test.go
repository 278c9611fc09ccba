package linearizability_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/proof/linearizability"
	"github.com/reprise-go/reprise/internal/redistest"
)

// line is a server and the way to it: what a trouble can reach.
type line struct {
	t      *testing.T
	seed   uint64
	server *redistest.Server
	proxy  *faultproxy.Proxy
	direct *redis.Client // around the proxy
	// sent counts what the clients have sent. Troubles keep step with it, so that
	// they come as often on a fast machine as on a slow one.
	sent atomic.Int64
	// up is held while there is no server, so that clients do not spend their
	// operations on connections that are refused.
	up sync.RWMutex
	// struck counts the blows of those troubles that come one by one.
	struck int
	blows  bool
}

// leastBlows is how often such a trouble must have come.
const leastBlows = 3

func (p profile) start(t *testing.T) *line {
	t.Helper()
	var opts []redistest.Option
	if p.durable {
		opts = append(opts, redistest.AOF())
	}
	server := redistest.Start(t, opts...)
	return &line{
		t: t, seed: p.seed, server: server, proxy: faultproxy.Start(t, server.Addr()), direct: server.Client(t),
	}
}

// troubled is where clients connect, and spared where those do that are to meet
// with no trouble, if there are any. Their line is as slow, so that they send no
// more than the others.
func (l *line) troubled() string { return l.proxy.Addr() }

func (l *line) spared(some bool) string {
	if !some {
		return l.proxy.Addr()
	}
	proxy := faultproxy.Start(l.t, l.server.Addr())
	proxy.DelayReplies(slowness * time.Millisecond)
	return proxy.Addr()
}

// during troubles the line for as long as the work lasts. The trouble is on the
// test's own goroutine, as a server's methods must be.
func (l *line) during(
	t *testing.T, tr trouble, work func() (*linearizability.Histories, error),
) (h *linearizability.Histories) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer stop()
		h, err = work()
	}()
	if tr != nil {
		tr(ctx, l)
	}
	<-done
	require.NoError(t, err)
	if l.blows {
		t.Logf("%d blows", l.struck)
		require.GreaterOrEqual(t, l.struck, leastBlows, "too few to prove anything")
	}
	return h
}

// each strikes whenever the clients have sent so many operations more.
func (l *line) each(ctx context.Context, operations int64, strike func()) {
	l.blows = true
	for next := l.sent.Load() + operations; pause(ctx, time.Millisecond); {
		if l.sent.Load() >= next {
			strike()
			l.struck++
			next = l.sent.Load() + operations
		}
	}
}

// pause waits, and reports whether to go on. Real time is what is troubled here.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
