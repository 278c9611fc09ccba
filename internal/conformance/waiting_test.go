package conformance_test

import (
	"context"
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
	"github.com/reprise-go/reprise/store"
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
	s := newService(t, setup{handler: handler, policy: waits(1500 * time.Millisecond)})
	c := call{key: newKey()}
	first := background(t, s.URL, c)
	<-started
	began := time.Now()
	second := send(t, s.URL, c)
	p := requireProblem(t, second, 409, "in_progress")
	assert.True(t, p.Retryable)
	assert.GreaterOrEqual(t, time.Since(began), 1500*time.Millisecond)
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

func TestC6_OneOfTheWaitersTakesOver(t *testing.T) {
	t.Parallel()
	started, goOn := make(chan int, 16), make(chan int)
	var s *service
	handler := func(w http.ResponseWriter, _ *http.Request) {
		started <- s.Runs()
		w.WriteHeader(<-goOn)
	}
	s = newService(t, setup{handler: handler, policy: waits(20 * time.Second)})
	c := call{key: newKey()}
	first := background(t, s.URL, c)
	<-started
	rest := together(t, 5, c, s.URL)
	haveWaiting(t, s, 5)
	goOn <- 503
	require.Equal(t, 503, (<-first).Status)
	<-started
	haveWaiting(t, s, 4)
	goOn <- 201
	executed := 0
	for _, resp := range rest() {
		assert.Equal(t, 201, resp.Status)
		if resp.Header.Get("Idempotency-Status") == "executed" {
			executed++
		}
	}
	assert.Equal(t, 1, executed)
	assert.Equal(t, 2, s.Runs())
}

func TestC7_LostNotification(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	n := newNode(t, srv, setup{policy: waits(20 * time.Second), handler: takes(time.Second)})
	c := call{key: newKey()}
	first := background(t, n.URL, c)
	eventually(t, "it runs", func() bool { return n.Runs() == 1 })
	lost := n.line.LosePush("message", 1)
	second := background(t, n.URL, c)
	done := <-first
	ended := time.Now()
	requireReplay(t, done, <-second)
	assert.Less(t, time.Since(ended), 2500*time.Millisecond)
	assert.Equal(t, 1, lost.Fired())
	assert.Equal(t, 1, n.Runs())
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
	srv := redistest.Start(t)
	n := newNode(t, srv, setup{policy: waits(20 * time.Second), handler: takes(3 * time.Second)})
	c := call{key: newKey()}
	send(t, n.URL, call{key: "warm-up"})
	n.line.ResetCounts()
	first := background(t, n.URL, c)
	eventually(t, "it runs", func() bool { return n.Runs() == 2 })
	answers := together(t, 1000, c, n.URL)()
	done := <-first
	for _, resp := range answers {
		require.Equal(t, "done", resp.Body, resp.Status)
	}
	require.Equal(t, 201, done.Status)
	commands := n.line.Requests()
	// Two claims begin it, three re-checks at most, one when it hears, one when
	// it is told; and the owner's completion, twice if the script is new.
	assert.LessOrEqual(t, commands["evalsha"]+commands["eval"], 12, commands)
	assert.Equal(t, 2, n.Runs())
}

func TestC13_RetryAfterLeadsToAReplay(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: takes(800 * time.Millisecond)})
	var good atomic.Int64
	const keys = 60
	var wg sync.WaitGroup
	for range keys {
		c := call{key: newKey()}
		wg.Go(func() { _, _ = trySend(t, s.URL, c) })
		wg.Go(func() {
			time.Sleep(300 * time.Millisecond) // the client's impatience
			resp, err := trySend(t, s.URL, c)
			if err != nil || resp.Status != 409 {
				return
			}
			seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
			time.Sleep(time.Duration(seconds) * time.Second)
			if resp, err = trySend(t, s.URL, c); err == nil && resp.Header.Get("Idempotent-Replayed") == "true" {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	assert.GreaterOrEqual(t, good.Load(), int64(keys*95/100))
}

func TestL5_ReconcileOverAllNodes(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	var asked, running atomic.Int64
	answer, err := idemhttp.NewAnswer(201, http.Header{"Content-Type": {"text/plain"}}, []byte("found at the provider"))
	require.NoError(t, err)
	reconcile := idempotency.Reconcile(func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
		asked.Add(1)
		assert.EqualValues(t, 1, running.Add(1), "one callback at a time")
		defer running.Add(-1)
		time.Sleep(300 * time.Millisecond) // the provider's answer
		return idempotency.Happened(answer), nil
	})
	unknown := func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, idempotency.MarkEffect(r.Context()))
		w.WriteHeader(http.StatusGatewayTimeout)
	}
	var urls []string
	var nodes []*service
	for range 3 {
		n := newService(t, setup{namespace: ns, handler: unknown, policy: waits(10 * time.Second), options: []idempotency.OperationOption{reconcile}})
		nodes, urls = append(nodes, n), append(urls, n.URL)
	}
	c := call{key: newKey()}
	require.Equal(t, 504, send(t, urls[0], c).Status)
	for _, resp := range together(t, 30, c, urls...)() {
		assert.Equal(t, 201, resp.Status, resp.Body)
		assert.Equal(t, "found at the provider", resp.Body)
		assert.Equal(t, "text/plain", resp.Header.Get("Content-Type"))
		assert.Equal(t, "true", resp.Header.Get("Idempotent-Replayed"))
	}
	assert.EqualValues(t, 1, asked.Load())
	assert.Equal(t, 1, nodes[0].Runs()+nodes[1].Runs()+nodes[2].Runs())
}

func TestL5_NothingHappenedOrUnknown(t *testing.T) {
	t.Parallel()
	var finding atomic.Value
	finding.Store(idempotency.StillUnknown())
	var status atomic.Int64
	status.Store(504)
	srv := redistest.Start(t)
	s := newService(t, setup{
		redis:  srv.Client(t),
		policy: idempotency.Policy{Failure: idempotency.FailureUnknown},
		handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(int(status.Load()))
		},
		options: []idempotency.OperationOption{
			idempotency.Reconcile(func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
				f, _ := finding.Load().(idempotency.Finding)
				return f, nil
			}),
		},
	})
	c := call{key: newKey()}
	require.Equal(t, 504, send(t, s.URL, c).Status)
	status.Store(201)
	finding.Store(idempotency.NothingHappened())
	resp := send(t, s.URL, c)
	requireExecuted(t, resp)
	assert.Equal(t, 2, s.Runs())

	c = call{key: newKey()}
	status.Store(504)
	require.Equal(t, 504, send(t, s.URL, c).Status)
	finding.Store(idempotency.StillUnknown())
	requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown")
	finding.Store(idempotency.NothingHappened())
	requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown") // it is not asked again so soon
	assert.Equal(t, 3, s.Runs())
	seen, err := s.Guard.Lookup(t.Context(), idOf(c.key))
	require.NoError(t, err)
	assert.Equal(t, store.Unknown, seen.State)
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
