package conformance_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

// The requests do not come over sockets: that many do not fit into a process
// that plays both sides.
func TestF78_TenThousandDuplicatesOfOneRunningRequest(t *testing.T) {
	const many = 10_000
	srv := redistest.Start(t)
	goOn := make(chan struct{})
	patient := []idempotency.Option{idempotency.WithStoreTimeout(5 * time.Second)} // the herd takes the processors
	n := newNode(t, srv, setup{policy: waits(time.Minute), guard: patient, handler: func(w http.ResponseWriter, _ *http.Request) {
		<-goOn
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte("done"))
	}})
	require.NoError(t, n.Guard.Preflight(t.Context())) // it is not counted
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
	herd(t, n, "first", 10, goOn) // connections, scripts
	rdb := srv.Client(t)
	var heaps []int64
	for runs := 2; runs <= 3; runs++ {
		before := runtime.NumGoroutine()
		n.line.ResetCounts()
		began := time.Now()
		good := herd(t, n, "herd-"+strconv.Itoa(runs), many, goOn)
		assert.EqualValues(t, many, good, "each got the one answer")
		assert.Equal(t, runs, n.Runs(), "one execution of each")
		requireFewCommands(t, n, time.Since(began))
		eventually(t, "nothing is left", func() bool { return runtime.NumGoroutine() <= before+3 })
		requireNoChannels(t, rdb)
		heaps = append(heaps, liveHeap())
	}
	t.Logf("heap after the herds: %d and %d KiB", heaps[0]>>10, heaps[1]>>10)
	assert.Less(t, heaps[1], heaps[0]+1<<20, "nothing is kept of a herd, not a hundred bytes for each")
}

// herd serves so many equal requests at once, lets the handler go on when all
// others wait for it, and says how many got the answer.
func herd(t *testing.T, n *node, key string, size int, goOn chan struct{}) int64 {
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
	haveWaiting(t, n.service, int64(size-1))
	atWork()
	goOn <- struct{}{}
	wg.Wait()
	return good.Load()
}

// requireNoChannels asserts that soon nobody is subscribed to anything: before
// the idle connection is closed, which would end every subscription, too.
func requireNoChannels(t *testing.T, rdb *redis.Client) {
	t.Helper()
	require.Eventually(t, func() bool {
		channels, err := rdb.PubSubChannels(t.Context(), "*").Result()
		return err == nil && len(channels) == 0
	}, 2*time.Second, 10*time.Millisecond, "a subscription is left")
}

// Waiters vanish, sockets break, Redis restarts: nothing is left of them.
func TestF79_NothingIsLeftOfWaitersWhateverBreaks(t *testing.T) {
	for name, disturb := range map[string]func(t *testing.T, srv *redistest.Server, n *node, hangUp func()){
		"they hang up": func(_ *testing.T, _ *redistest.Server, _ *node, hangUp func()) { hangUp() },
		"their sockets break": func(_ *testing.T, _ *redistest.Server, n *node, _ func()) {
			n.Server.CloseClientConnections()
		},
		"redis restarts": func(t *testing.T, srv *redistest.Server, _ *node, hangUp func()) {
			srv.Kill()
			srv.Restart()
			rdb := srv.Client(t)
			eventually(t, "they listen again", func() bool {
				channels, err := rdb.PubSubChannels(t.Context(), "*").Result()
				return err == nil && len(channels) == 1
			})
			hangUp()
		},
		"redis freezes": func(_ *testing.T, srv *redistest.Server, _ *node, hangUp func()) {
			srv.Pause()
			hangUp()
			time.Sleep(500 * time.Millisecond) // for which Redis stands still
			srv.Resume()
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := redistest.Start(t, redistest.AOF())
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
			require.Contains(t, allStacks(), "redisconn.(*Listener)")
			disturb(t, srv, n, hangUp)
			haveWaiting(t, n.service, 0)
			hangUp()
			requireNoChannels(t, srv.Client(t))
			// The service lives on, and so does the request that they waited for. The
			// subscription's connection lingers for three seconds.
			requireGone(t, "idempotency.(*crowd)", "idempotency.(*asker)", "redisconn.(*Listener)", "go-redis/v9.(*PubSub)")
			require.Equal(t, 1, n.Runs())
			require.Contains(t, allStacks(), "idempotency.(*execution)", "it runs")
			close(goOn)
			wg.Wait()
			<-first
			n.Server.Close()
			require.NoError(t, n.Guard.Shutdown(t.Context()))
			requireGone(t, "idempotency.(*execution)")
		})
	}
}

// requireGone asserts that soon no goroutine is in, or was started by, any of
// these.
func requireGone(t *testing.T, functions ...string) {
	t.Helper()
	eventually(t, "no goroutine is left", func() bool {
		stacks := allStacks()
		return !slices.ContainsFunc(functions, func(f string) bool { return strings.Contains(stacks, f) })
	})
}

func allStacks() string {
	buf := make([]byte, 4<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
