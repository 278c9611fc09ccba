package conformance_test

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/redistest"
)

// retries collects what a client tells of its retries.
type retries struct {
	first chan struct{} // closed at the first
	all   []idemhttp.Retry
}

func newRetries() *retries { return &retries{first: make(chan struct{})} }

func (r *retries) option() idemhttp.TransportOption {
	return idemhttp.OnRetry(func(_ context.Context, retry idemhttp.Retry) {
		r.all = append(r.all, retry)
		if len(r.all) == 1 {
			close(r.first)
		}
	})
}

// requireFirst asserts that the first try was refused by the library itself, and
// that the client waits as it was told.
func (r *retries) requireFirst(t *testing.T) {
	t.Helper()
	require.NotEmpty(t, r.all)
	assert.Equal(t, 503, r.all[0].Status)
	assert.Equal(t, "rejected", r.all[0].Mark)
	assert.GreaterOrEqual(t, r.all[0].Wait, time.Second, "Retry-After")
}

func TestX8_StoreThatIsAwayForAMomentIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} { // before the pause
		name := map[bool]string{false: "a first request", true: "a duplicate"}[done]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			s := newService(t, setup{redis: srv.Client(t)})
			requireExecuted(t, send(t, s.URL, call{key: newKey(), body: "warm-up"}))
			key, mark := newKey(), "executed"
			if done {
				mark = "replayed"
				requireExecuted(t, send(t, s.URL, call{key: key, body: "order"}))
			}
			tried := newRetries()
			c := newClient(t, tried.option(), idemhttp.MaxAttempts(10))
			srv.Pause()
			paused := time.Now()
			resumed := make(chan struct{})
			go func() {
				defer close(resumed)
				select {
				case <-tried.first:
				case <-time.After(10 * time.Second):
				}
				time.Sleep(time.Until(paused.Add(time.Second))) // for which Redis stands still at least
				srv.Resume()
			}()
			resp, body := c.do(t, s.URL, call{key: key, body: "order"})
			<-resumed
			assert.Equal(t, 201, resp.StatusCode)
			assert.Equal(t, mark, resp.Header.Get("Idempotency-Status"))
			assert.Equal(t, "{\"run\": 2}\n", body)
			tried.requireFirst(t)
			assert.Positive(t, s.Guard.Stats()[0].Refused[idempotency.ErrStoreUnavailable])
			assert.Equal(t, 2, s.Runs())
			requireOneKey(t, c.sent(), len(tried.all)+1)
		})
	}
}

// A balancer sends the first connection to a server that is about to end, and
// every further one to another.
func TestX8_DrainingServerIsLeftForAnother(t *testing.T) {
	t.Parallel()
	nodes := newNodes(t, 2, setup{})
	require.NoError(t, nodes[0].Guard.Shutdown(t.Context()))
	var dialled atomic.Int64
	tried := newRetries()
	c := newClient(t, tried.option())
	c.base.DisableKeepAlives = true
	c.base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		to := nodes[min(dialled.Add(1)-1, 1)].Server.Listener.Addr().String()
		return new(net.Dialer).DialContext(ctx, network, to)
	}
	resp, body := c.do(t, nodes[0].URL, call{body: "order"})
	assert.Equal(t, 201, resp.StatusCode)
	assert.Equal(t, "executed", resp.Header.Get("Idempotency-Status"))
	assert.Equal(t, "{\"run\": 1}\n", body)
	tried.requireFirst(t)
	requireOneKey(t, c.sent(), 2)
	assert.EqualValues(t, 1, nodes[0].Guard.Stats()[0].Refused[idempotency.ErrDraining])
	assert.Zero(t, nodes[0].Runs())
	assert.Equal(t, 1, nodes[1].Runs())
}

// Without another server the tries end, and what the caller sees still says that
// nothing was started and the same key is the one to come back with.
func TestX8_TriesThatEndInARefusalKeepItsAdvice(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	require.NoError(t, s.Guard.Shutdown(t.Context()))
	c := newClient(t, idemhttp.MaxAttempts(2))
	resp, _ := c.do(t, s.URL, call{body: "order"})
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	refused := requireResponseError(t, resp, idempotency.ErrDraining)
	assert.True(t, refused.Retryable)
	assert.False(t, refused.SafeNewKey)
	requireOneKey(t, c.sent(), 2)
	assert.Zero(t, s.Runs())
}
