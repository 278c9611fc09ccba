package conformance_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/quorumlock"
)

// ledger knows which attempts run at the same time.
type ledger struct {
	mu    sync.Mutex
	now   map[string]int
	most  map[string]int
	total map[string]int
}

func newLedger() *ledger {
	return &ledger{now: map[string]int{}, most: map[string]int{}, total: map[string]int{}}
}

func (l *ledger) enter(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now[key]++
	l.total[key]++
	l.most[key] = max(l.most[key], l.now[key])
}

func (l *ledger) leave(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now[key]--
}

// overlapping returns the keys of which two attempts ran at once.
func (l *ledger) overlapping() (keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, n := range l.most {
		if n > 1 {
			keys = append(keys, key)
		}
	}
	return keys
}

func (l *ledger) started(key string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total[key]
}

// five starts masters that know nothing of each other.
func five(t *testing.T) []*redistest.Server {
	t.Helper()
	servers := make([]*redistest.Server, 5)
	for i := range servers {
		servers[i] = redistest.Start(t)
	}
	return servers
}

// quorum is the lock of one process on them.
func quorum(t *testing.T, servers []*redistest.Server) *lock.Locker {
	t.Helper()
	masters := make([]redis.UniversalClient, len(servers))
	for i, srv := range servers {
		masters[i] = srv.Client(t, withoutRetries)
	}
	backend, err := quorumlock.New(masters)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, backend.Close()) })
	locker, err := lock.New(backend)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, locker.Close()) })
	return locker
}

// forgetful is a Redis that two services share and that loses everything whenever
// it is told to, as one does whose failover promotes a replica that had received
// nothing.
type forgetful struct {
	srv    *redistest.Server
	ledger *ledger
	a, b   *service
	goOn   chan struct{} // closed once handlers may end
}

func newForgetful(t *testing.T, handler func(f *forgetful) http.HandlerFunc, guards ...[]idempotency.Option) *forgetful {
	t.Helper()
	f := &forgetful{srv: redistest.Start(t), ledger: newLedger(), goOn: make(chan struct{})}
	namespace := namespaceOf(t)
	open := func(opts []idempotency.Option) *service {
		return newService(t, setup{
			redis: f.srv.Client(t), namespace: namespace, guard: opts, handler: handler(f),
		})
	}
	f.a, f.b = open(guards[0]), open(guards[1])
	return f
}

// unheeding waits to be let go and does not heed its context.
func unheeding(f *forgetful) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		f.ledger.enter(key)
		defer f.ledger.leave(key)
		<-f.goOn
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, "run %d", f.ledger.started(key))
	}
}

// loseInMidHandler starts an attempt at one service and has the record lost.
func (f *forgetful) loseInMidHandler(t *testing.T, key string) (first chan response) {
	t.Helper()
	first = make(chan response, 1)
	go func() {
		resp, err := trySend(t, f.a.URL, call{key: key})
		assert.NoError(t, err)
		first <- resp
	}()
	require.Eventually(t, func() bool { return f.ledger.started(key) == 1 }, 10*time.Second, time.Millisecond)
	f.srv.Do("flushall")
	return first
}

func TestWithLocker_QuorumKeepsAttemptsApartWhenTheClaimIsLost(t *testing.T) {
	t.Parallel()
	masters := five(t)
	f := newForgetful(t, unheeding,
		[]idempotency.Option{idempotency.WithLocker(quorum(t, masters))},
		[]idempotency.Option{idempotency.WithLocker(quorum(t, masters))})
	release := sync.OnceFunc(func() { close(f.goOn) })
	t.Cleanup(release)
	key := newKey()
	first := f.loseInMidHandler(t, key)
	for range 3 {
		for _, s := range []*service{f.a, f.b} {
			refused := send(t, s.URL, call{key: key})
			assert.Equal(t, http.StatusConflict, refused.Status)
			assert.Equal(t, "conflict", refused.Header.Get("Idempotency-Status"))
			assert.NotEmpty(t, refused.Header.Get("Retry-After"))
		}
	}
	release()
	answer := next(t, "the first answer", first)
	assert.Equal(t, http.StatusCreated, answer.Status)
	assert.Equal(t, "executed", answer.Header.Get("Idempotency-Status"), "recorded, as if nothing had been lost")
	replay := send(t, f.b.URL, call{key: key})
	assert.Equal(t, "replayed", replay.Header.Get("Idempotency-Status"))
	assert.Equal(t, answer.Body, replay.Body)
	assert.Equal(t, 1, f.ledger.started(key))
	assert.Empty(t, f.ledger.overlapping())
}

// The loss that the lock is for.
func TestWithoutALocker_TwoAttemptsRunAtOnceWhenTheClaimIsLost(t *testing.T) {
	t.Parallel()
	f := newForgetful(t, unheeding, nil, nil)
	release := sync.OnceFunc(func() { close(f.goOn) })
	t.Cleanup(release)
	key := newKey()
	first := f.loseInMidHandler(t, key)
	second := make(chan response, 1)
	go func() {
		resp, err := trySend(t, f.b.URL, call{key: key})
		assert.NoError(t, err)
		second <- resp
	}()
	require.Eventually(t, func() bool { return f.ledger.started(key) == 2 }, 10*time.Second, time.Millisecond)
	release()
	next(t, "the first answer", first)
	next(t, "the second answer", second)
	assert.Equal(t, []string{key}, f.ledger.overlapping())
}

// working is busy for a moment.
func working(f *forgetful) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		f.ledger.enter(key)
		defer f.ledger.leave(key)
		time.Sleep(30 * time.Millisecond) // the work
		w.WriteHeader(http.StatusCreated)
	}
}

// Many keys, each asked for again and again at both services, while everything is
// lost time after time, and two of the five masters stand still for some of it.
func TestWithLocker_NoTwoAttemptsAtOnceUnderLoadWhileRedisForgets(t *testing.T) {
	t.Parallel()
	masters := five(t)
	f := newForgetful(t, working,
		[]idempotency.Option{idempotency.WithLocker(quorum(t, masters))},
		[]idempotency.Option{idempotency.WithLocker(quorum(t, masters))})
	var clients sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		key := newKey()
		for _, s := range []*service{f.a, f.b} {
			clients.Go(func() { ask(t, s.URL, key, over) })
		}
	}
	for i := range 20 {
		f.srv.Do("flushall") // everything runs again
		time.Sleep(15 * time.Millisecond)
		f.srv.Do("flushall") // in the middle of it
		time.Sleep(60 * time.Millisecond)
		switch i {
		case 8:
			masters[0].Pause()
			masters[1].Pause()
		case 16:
			masters[0].Resume()
			masters[1].Resume()
		}
	}
	close(over)
	clients.Wait()
	assert.Greater(t, f.a.Runs()+f.b.Runs(), 2*4, "records were lost, and attempts ran again, one after the other")
	assert.Empty(t, f.ledger.overlapping())
}

// ask sends a call over and over.
func ask(t *testing.T, url, key string, over <-chan struct{}) {
	t.Helper()
	for {
		select {
		case <-over:
			return
		default:
		}
		_, err := trySend(t, url, call{key: key})
		if !assert.NoError(t, err) {
			return
		}
	}
}
