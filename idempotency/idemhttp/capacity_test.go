//go:build !race

package idemhttp_test

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store/redisstore"
)

// What the documented formula of a process's memory says, in bytes, beside the bodies
// and beside what the goroutine takes behind a middleware that does nothing.
const (
	executionTakes = 24 << 10
	waitingTakes   = 12 << 10
)

// The capacity formula of the README and of operating.md, measured on a Redis.
func TestCapacityOfAProcessIsAsDocumented(t *testing.T) {
	const requests, body = 2000, 1 << 10
	bare := memoryOfEach(t, requests, body, func(next http.Handler) http.Handler { return next }, ownKeyOf)
	executing := memoryOfEach(t, requests, body, capacityPolicy(t, idempotency.Policy{}), ownKeyOf) - bare
	waiting := memoryOfEach(t, requests, body,
		capacityPolicy(t, idempotency.Policy{Wait: time.Minute}), func(int) string { return "same" }) - bare
	t.Logf("an execution %d bytes, a request that waits %d", executing, waiting)
	assert.LessOrEqual(t, executing, executionTakes+body)
	assert.LessOrEqual(t, waiting, waitingTakes+body)
	for _, page := range []string{"../../README.md", "../docs/operating.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, takes := range []int{executionTakes, waitingTakes} {
			said := strconv.Itoa(takes>>10) + " KiB + "
			if !strings.Contains(string(text), said) {
				t.Errorf("%s does not say %q", page, said)
			}
		}
	}
}

func ownKeyOf(i int) string { return strconv.Itoa(i) }

func capacityPolicy(t *testing.T, policy idempotency.Policy) func(http.Handler) http.Handler {
	t.Helper()
	rdb := redistest.Start(t).Client(t, func(o *redis.Options) { o.PoolSize = 50 })
	st, err := redisstore.New(rdb)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	guard, err := idempotency.New(st, idempotency.WithStoreTimeout(10*time.Second))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	protect, err := mw.Protect("capacity", policy)
	require.NoError(t, err)
	return protect
}

// memoryOfEach returns what each of many requests takes while all are under way. A
// first time opens the connections, whose buffers are not theirs.
func memoryOfEach(t *testing.T, requests, body int, protect func(http.Handler) http.Handler, key func(i int) string) int {
	t.Helper()
	var each int
	var hold, begun chan struct{}
	handler := protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-hold
	}))
	for _, name := range []string{"warm-", "hot-"} {
		hold, begun = make(chan struct{}), make(chan struct{}, requests)
		callers := make([]*caller, requests)
		for i := range callers {
			callers[i] = newCaller(body)
		}
		before := heapAndStacks()
		var all sync.WaitGroup
		for i, c := range callers {
			all.Go(func() { c.call(handler, name+key(i)) })
		}
		quiet()
		each = (heapAndStacks() - before) / requests
		close(hold)
		all.Wait()
		require.NotEmpty(t, begun)
		runtime.KeepAlive(callers)
	}
	return each
}

// quiet returns when no goroutine has begun or ended for a while.
func quiet() {
	for idle, last := 0, 0; idle < 10; idle++ {
		now := runtime.NumGoroutine()
		if now != last {
			idle, last = 0, now
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func heapAndStacks() int {
	for range 2 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
