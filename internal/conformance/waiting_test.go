package conformance_test

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/redistest"
)

// waits is a policy by which duplicates wait so long.
func waits(d time.Duration) idempotency.Policy { return idempotency.Policy{Wait: d} }

// together sends n equal calls at once, to one node after the other.
func together(t *testing.T, n int, c call, urls ...string) func() []response {
	t.Helper()
	answers := make([]response, n)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			resp, err := trySend(t, urls[i%len(urls)], c)
			assert.NoError(t, err)
			answers[i] = resp
		})
	}
	return func() []response {
		wg.Wait()
		return answers
	}
}

// haveWaiting waits until so many duplicates wait on a node.
func haveWaiting(t *testing.T, s *service, n int64) {
	t.Helper()
	eventually(t, "duplicates wait", func() bool { return s.Guard.Stats()[0].Waiting == n })
}

// takes is a handler that needs so long.
func takes(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(d) // the work
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte("done"))
	}
}

func TestC3_WaitersAllGetTheSameAnswer(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	var nodes []*service
	for range 3 {
		nodes = append(nodes, newService(t, setup{namespace: ns, handler: takes(time.Second), policy: waits(5 * time.Second)}))
	}
	replayed := 0
	for _, resp := range together(t, 100, call{key: newKey(), body: "B"}, nodes[0].URL, nodes[1].URL, nodes[2].URL)() {
		assert.Equal(t, 201, resp.Status, resp.Body)
		assert.Equal(t, "done", resp.Body)
		if resp.Header.Get("Idempotent-Replayed") == "true" {
			replayed++
		}
	}
	assert.Equal(t, 99, replayed)
	assert.Equal(t, 1, nodes[0].Runs()+nodes[1].Runs()+nodes[2].Runs())
}

func TestC4_WaitIsOverBeforeTheHandler(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	const wait = 1500 * time.Millisecond
	s := newService(t, setup{handler: handler, policy: waits(wait)})
	c := call{key: newKey()}
	first := background(t, s.URL, c)
	<-started
	began := time.Now()
	second := send(t, s.URL, c)
	p := requireProblem(t, second, 409, "in_progress")
	assert.True(t, p.Retryable)
	assert.GreaterOrEqual(t, time.Since(began), wait)
	assert.Less(t, time.Since(began), wait+1500*time.Millisecond, "at its end and not at a re-check's or the lease's")
	seconds, err := strconv.Atoi(second.Header.Get("Retry-After"))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, seconds, 2, "as long again as it has taken, rounded up")
	assert.Equal(t, 1, s.Runs())
	close(goOn)
	require.Equal(t, 201, (<-first).Status)
}

func TestConflictIsToldByTheStatusOfThePolicy(t *testing.T) {
	t.Parallel()
	for rule, status := range map[idempotency.ConflictRule]int{
		idempotency.Conflict409: 409, idempotency.Conflict425: 425, idempotency.Conflict503: 503,
	} {
		t.Run(string(rule), func(t *testing.T) {
			t.Parallel()
			handler, started, goOn := blocking(t)
			s := newService(t, setup{handler: handler, policy: idempotency.Policy{Conflict: rule}})
			c := call{key: newKey()}
			first := background(t, s.URL, c)
			<-started
			second := send(t, s.URL, c)
			requireProblem(t, second, status, "in_progress")
			assert.Equal(t, "1", second.Header.Get("Retry-After"))
			close(goOn)
			requireReplay(t, <-first, send(t, s.URL, c))
		})
	}
}

func TestC8_MoreWaitersThanTheCap(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	s := newService(t, setup{handler: handler, policy: idempotency.Policy{Wait: 20 * time.Second, MaxWaiters: 3}})
	c := call{key: newKey()}
	first := background(t, s.URL, c)
	<-started
	rest := together(t, 3, c, s.URL)
	haveWaiting(t, s, 3)
	began := time.Now()
	for range 10 {
		requireProblem(t, send(t, s.URL, c), 409, "in_progress")
	}
	assert.Less(t, time.Since(began), 10*time.Second, "at once, not after the wait")
	close(goOn)
	done := <-first
	for _, resp := range rest() {
		requireReplay(t, done, resp)
	}
}

func TestC12_F78_DuplicatesOfOneProcessShareTheirRoundTrips(t *testing.T) {
	t.Parallel()
	const many = 1000
	srv := redistest.Start(t)
	handler, started, goOn := blocking(t)
	n := newNode(t, srv, setup{policy: waits(20 * time.Second), handler: handler})
	require.NoError(t, n.Guard.Preflight(t.Context())) // it is not counted
	c := call{key: newKey()}
	n.line.ResetCounts()
	first := background(t, n.URL, c)
	<-started
	began := time.Now()
	rest := together(t, many, c, n.URL)
	haveWaiting(t, n.service, many)
	close(goOn)
	done := <-first
	for _, resp := range rest() {
		requireReplay(t, done, resp)
	}
	requireFewCommands(t, n, time.Since(began))
	assert.Equal(t, 1, n.Runs())
}

// requireFewCommands asserts that a node has sent as few commands, whatever they
// are, as one request and one crowd need in so long a time.
func requireFewCommands(t *testing.T, n *node, waited time.Duration) {
	t.Helper()
	commands, all := n.line.Requests(), 0
	for _, count := range commands {
		all += count
	}
	// A script and a GET for each claim: of the owner, of the crowd's first, when
	// it hears, when it is told. The completion in three commands, a
	// subscription, some PINGs, and each script once more where it is new.
	const once = 30
	rechecks := int(waited/(400*time.Millisecond)) + 1
	t.Logf("%d commands: %v", all, commands)
	require.LessOrEqual(t, all, once+3*rechecks, commands)
}

// Whoever always came back after one second, or as soon as it may, would come
// too early here.
func TestC13_RetryAfterLeadsToAReplay(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: takes(2600 * time.Millisecond)})
	var good atomic.Int64
	const keys = 60
	var wg sync.WaitGroup
	for range keys {
		c := call{key: newKey()}
		wg.Go(func() { _, _ = trySend(t, s.URL, c) })
		wg.Go(func() {
			time.Sleep(1400 * time.Millisecond) // the client's impatience
			resp, err := trySend(t, s.URL, c)
			if err != nil || resp.Status != 409 {
				return
			}
			seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
			time.Sleep(time.Duration(seconds) * time.Second)
			resp, err = trySend(t, s.URL, c)
			if err == nil && seconds >= 2 && resp.Header.Get("Idempotent-Replayed") == "true" {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	assert.GreaterOrEqual(t, good.Load(), int64(keys*95/100))
	assert.Equal(t, keys, s.Runs())
}

// An error writer that leaves refusals to the default tells conflicts as the
// policy wants them told, too.
func TestConflictStatusThroughAnErrorWriter(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	s := newService(t, setup{
		handler: handler, policy: idempotency.Policy{Conflict: idempotency.Conflict425},
		http: []idemhttp.Option{
			idemhttp.Scope(tenant),
			idemhttp.WriteErrors(func(w http.ResponseWriter, _ *http.Request, status int, err *idempotency.Error) {
				assert.Equal(t, 425, status)
				idemhttp.WriteError(w, err)
			}),
		},
	})
	c := call{key: newKey()}
	first := background(t, s.URL, c)
	<-started
	requireProblem(t, send(t, s.URL, c), 425, "in_progress")
	close(goOn)
	require.Equal(t, 201, (<-first).Status)
}
