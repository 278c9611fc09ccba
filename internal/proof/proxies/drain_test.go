package proxies_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// load is clients that pay one after the other, each payment with a key of its
// own, until they are told to stop.
type load struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	paid    map[string]answer // by key
	refused int               // 503 that a client had to repeat
	failed  []string
}

func startLoad(t *testing.T, s *stage, clients int, source string) *load {
	t.Helper()
	l := &load{stop: make(chan struct{}), paid: make(map[string]answer)}
	for client := range clients {
		l.wg.Go(func() {
			for n := 0; !l.stopped(); n++ {
				l.pay(t, s, fmt.Sprintf("client-%d-%d", client, n), source)
			}
		})
	}
	return l
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// pay pays once, however often it has to ask.
func (l *load) pay(t *testing.T, s *stage, key, source string) {
	for range 20 {
		a, err := try(t, s.url, key, source)
		if !l.note(key, a, err) {
			return
		}
		time.Sleep(50 * time.Millisecond) // Retry-After is a whole second, which would only make the test slow
	}
	l.note(key, answer{}, fmt.Errorf("%s: refused 20 times", key))
}

// note reports whether the client has to ask again.
func (l *load) note(key string, a answer, err error) (again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.failed = append(l.failed, err.Error())
	case a.Status == http.StatusCreated:
		l.paid[key] = a
	case a.Status == http.StatusServiceUnavailable && retryable(a):
		l.refused++
		return true
	default:
		l.failed = append(l.failed, fmt.Sprintf("%s: %d %s", key, a.Status, a.Body))
	}
	return false
}

// retryable: the service says so itself. A proxy's own 503 does not.
func retryable(a answer) bool {
	var p struct {
		Retryable bool `json:"retryable"`
	}
	return json.Unmarshal([]byte(a.Body), &p) == nil && p.Retryable
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.paid)
}

// awaitMore waits until so many further payments were made.
func (l *load) awaitMore(t *testing.T, n int) {
	t.Helper()
	n += l.count()
	require.Eventually(t, func() bool { return l.count() >= n }, 30*time.Second, 5*time.Millisecond, "payments go on")
}

func (l *load) end() {
	close(l.stop)
	l.wg.Wait()
}

func TestDrainUnderLoadIsNotSeenByClients(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		s := newStage(t, kind, setting{both: true, args: waiting()})
		l := startLoad(t, s, 8, "tok_slow_50ms")
		l.awaitMore(t, 40)
		before := s.a.Entries(t)
		assert.Zero(t, s.a.Stop(t), s.a.Log())
		l.awaitMore(t, 40)
		l.end()

		require.Empty(t, l.failed)
		charges := make(map[string]int)
		instances := make(map[string]bool)
		for _, e := range s.b.Entries(t) {
			charges[e.KeyHash]++
		}
		for _, e := range before {
			instances[e.Instance] = true
		}
		assert.Len(t, instances, 2, "both had their share of the load")
		for key, a := range l.paid {
			assert.Equal(t, 1, charges[recordOf(key).String()[:16]], key)
			assert.Equal(t, http.StatusCreated, a.Status)
		}
		assert.Len(t, charges, len(l.paid)+warmUps, "nothing was charged without its client knowing")
		t.Logf("%d payments, %d times a client was told to come back", len(l.paid), l.refused)
	})
}
