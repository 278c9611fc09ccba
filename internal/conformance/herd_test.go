package conformance_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
)

// The requests do not come over sockets: that many do not fit into a process
// that plays both sides.
func TestF78_TenThousandDuplicatesOfOneRunningRequest(t *testing.T) {
	srv := redistest.Start(t)
	n := newNode(t, srv, setup{policy: waits(time.Minute), handler: takes(3 * time.Second)})
	over := make(chan struct{})
	defer close(over)
	go func() { // the hooks tell more than the node's lists hold
		for {
			select {
			case <-n.events.finished:
			case <-over:
				return
			}
		}
	}()
	herd(t, n, "first", 10) // connections, scripts
	time.Sleep(100 * time.Millisecond)
	before := runtime.NumGoroutine()
	n.line.ResetCounts()
	var good atomic.Int64
	good.Store(herd(t, n, "herd", 10_000))
	assert.EqualValues(t, 10_000, good.Load(), "each got the one answer")
	assert.Equal(t, 2, n.Runs(), "one execution of each")
	commands := n.line.Requests()
	assert.LessOrEqual(t, commands["evalsha"]+commands["eval"], 14, commands)
	assert.LessOrEqual(t, commands["subscribe"], 2)
	eventually(t, "nothing is left", func() bool { return runtime.NumGoroutine() <= before+3 })
	rdb := srv.Client(t)
	channels, err := rdb.PubSubChannels(t.Context(), "*").Result()
	require.NoError(t, err)
	assert.Empty(t, channels)
}

// herd serves so many equal requests at once and says how many got the answer.
func herd(t *testing.T, n *node, key string, size int) int64 {
	t.Helper()
	var good atomic.Int64
	var wg sync.WaitGroup
	for range size {
		wg.Go(func() {
			r := httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, "/orders", strings.NewReader("B"))
			r.Header.Set("Idempotency-Key", key)
			w := httptest.NewRecorder()
			n.Mux.ServeHTTP(w, r)
			if w.Code == http.StatusCreated && w.Body.String() == "done" {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	return good.Load()
}

// Waiters vanish, sockets break, Redis restarts: nothing is left of them.
func TestF79_NothingIsLeftOfWaitersWhateverBreaks(t *testing.T) {
	for name, disturb := range map[string]func(t *testing.T, srv *redistest.Server, n *node, hangUp func()){
		"they hang up": func(_ *testing.T, _ *redistest.Server, _ *node, hangUp func()) { hangUp() },
		"their sockets break": func(_ *testing.T, _ *redistest.Server, n *node, _ func()) {
			n.Server.CloseClientConnections()
		},
		"redis restarts": func(_ *testing.T, srv *redistest.Server, _ *node, hangUp func()) {
			srv.Kill()
			srv.Restart()
			hangUp()
		},
		"redis freezes": func(_ *testing.T, srv *redistest.Server, _ *node, hangUp func()) {
			srv.Pause()
			hangUp()
			srv.Resume()
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := redistest.Start(t)
			handler, started, goOn := blocking(t)
			n := newNode(t, srv, setup{policy: waits(time.Minute), handler: handler})
			c := call{key: newKey()}
			first := make(chan struct{})
			go func() {
				defer close(first)
				_, _ = trySend(t, n.URL, c)
			}()
			<-started
			ctx, hangUp := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					req := newRequest(t, n.URL, c).WithContext(ctx)
					transport := &http.Transport{DisableKeepAlives: true}
					if resp, err := transport.RoundTrip(req); err == nil {
						_ = resp.Body.Close()
					}
				})
			}
			haveWaiting(t, n.service, 20)
			require.Contains(t, allStacks(), "idempotency.(*crowd)", "what is looked for is there now")
			require.Contains(t, allStacks(), "redisstore.(*listener)")
			disturb(t, srv, n, hangUp)
			haveWaiting(t, n.service, 0)
			hangUp()
			close(goOn)
			wg.Wait()
			<-first
			n.Server.Close()
			require.NoError(t, n.Guard.Shutdown(t.Context()))
			// The subscription's connection lingers for three seconds.
			eventually(t, "no goroutine is left", func() bool {
				stacks := allStacks()
				return !strings.Contains(stacks, "idempotency.(*crowd)") &&
					!strings.Contains(stacks, "idempotency.(*execution)") &&
					!strings.Contains(stacks, "redisstore.(*listener)") &&
					!strings.Contains(stacks, "go-redis/v9.(*PubSub)")
			})
		})
	}
}

func allStacks() string {
	buf := make([]byte, 4<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
