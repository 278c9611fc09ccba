package conformance_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
)

// requireHeard asserts that what happened became known by the notification. That
// takes a few milliseconds, and a moment now and then on a busy machine; without
// it, each time would be one of the re-checks', the first after 400 ms at the
// earliest, of which work has already taken 100.
func requireHeard(t *testing.T, late []time.Duration) {
	t.Helper()
	slices.Sort(late)
	median := late[len(late)/2]
	t.Logf("known after %v, at worst %v", median, late[len(late)-1])
	require.Less(t, median, 200*time.Millisecond)
}

// atWork gives a crowd the time to be subscribed, which cannot be seen from
// outside.
func atWork() { time.Sleep(100 * time.Millisecond) }

func TestC3_C7_WaiterIsToldAsSoonAsTheHandlerHasEnded(t *testing.T) {
	t.Parallel()
	const rounds = 20
	handler, started, goOn := ending(t)
	nodes := newNodes(t, 2, setup{handler: handler, policy: waits(20 * time.Second)})
	var late []time.Duration
	for round := range rounds {
		c := call{key: newKey()}
		waits := nodes[round%2] // on the owner's node, and on another
		first := background(t, nodes[0].URL, c)
		<-started
		second := background(t, waits.URL, c)
		haveWaiting(t, waits, 1)
		atWork()
		goOn <- 201
		ended := time.Now()
		answer := <-second
		late = append(late, time.Since(ended))
		requireReplay(t, <-first, answer)
	}
	requireHeard(t, late)
	assert.Equal(t, rounds, runsOf(nodes))
}

// ending returns a handler that tells when it has started, and answers with the
// status that it is given.
func ending(t *testing.T) (handler http.HandlerFunc, started chan struct{}, goOn chan int) {
	t.Helper()
	started, goOn = make(chan struct{}, 16), make(chan int)
	return func(w http.ResponseWriter, _ *http.Request) {
		started <- struct{}{}
		select {
		case status := <-goOn:
			w.WriteHeader(status)
		case <-t.Context().Done():
		}
	}, started, goOn
}

// newNodes starts services that share their records.
func newNodes(t *testing.T, n int, with setup) []*service {
	t.Helper()
	with.namespace = namespaceOf(t)
	var nodes []*service
	for range n {
		nodes = append(nodes, newService(t, with))
	}
	return nodes
}

func urlsOf(nodes []*service) (urls []string) {
	for _, n := range nodes {
		urls = append(urls, n.URL)
	}
	return urls
}

func TestC6_OneOfTheWaitersTakesOver(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1, 2} {
		t.Run(fmt.Sprint(count, " nodes"), func(t *testing.T) {
			t.Parallel()
			const waiting, failures = 10, 8
			handler, started, goOn := ending(t)
			nodes := newNodes(t, count, setup{handler: handler, policy: waits(25 * time.Second)})
			c := call{key: newKey()}
			first := background(t, nodes[0].URL, c)
			<-started
			rest := together(t, waiting, c, urlsOf(nodes)...)
			haveWaitingInAll(t, nodes, waiting)
			atWork()

			var late []time.Duration
			for failure := range failures {
				goOn <- 503
				ended := time.Now()
				next(t, "somebody takes over", started)
				late = append(late, time.Since(ended))
				haveWaitingInAll(t, nodes, int64(waiting-failure-1))
				atWork()
				require.Empty(t, started, "the others go on waiting")
			}
			requireHeard(t, late)
			time.Sleep(2 * time.Second) // each of the others looks again
			require.Empty(t, started)
			goOn <- 201
			require.Equal(t, 503, (<-first).Status)
			requireEnds(t, rest(), map[string]int{
				"503 unrecorded": failures - 1, "201 executed": 1, "201 replayed": waiting - failures,
			})
			assert.Equal(t, failures+1, runsOf(nodes))
		})
	}
}

// haveWaitingInAll waits until so many duplicates wait on all nodes together.
func haveWaitingInAll(t *testing.T, nodes []*service, want int64) {
	t.Helper()
	eventually(t, "duplicates wait", func() bool {
		var sum int64
		for _, n := range nodes {
			sum += n.Guard.Stats()[0].Waiting
		}
		return sum == want
	})
}

// requireEnds asserts how many answers there are of each status and mark.
func requireEnds(t *testing.T, answers []response, want map[string]int) {
	t.Helper()
	got := make(map[string]int)
	for _, resp := range answers {
		got[fmt.Sprintf("%d %s", resp.Status, resp.Header.Get("Idempotency-Status"))]++
	}
	require.Equal(t, want, got)
}

func TestC7_LostNotification(t *testing.T) {
	t.Parallel()
	for _, work := range []time.Duration{time.Second, 4300 * time.Millisecond} { // an early re-check, and a late one
		t.Run(work.String(), func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			n := newNode(t, srv, setup{policy: waits(20 * time.Second), handler: takes(work)})
			c := call{key: newKey()}
			first := background(t, n.URL, c)
			eventually(t, "it runs", func() bool { return n.Runs() == 1 })
			lost := n.line.LosePush("message", 1)
			second := background(t, n.URL, c)
			done := <-first
			ended := time.Now()
			requireReplay(t, done, <-second)
			assert.Less(t, time.Since(ended), 2500*time.Millisecond, "two seconds, and something for a busy machine")
			assert.Equal(t, 1, lost.Fired())
			assert.Equal(t, 1, n.Runs())
		})
	}
}

// The wait ends before the first re-check: the waiter is told at its own
// deadline, and only what it knew before.
func TestC7_LostNotificationAndAShortWait(t *testing.T) {
	t.Parallel()
	const wait, tries = 300 * time.Millisecond, 10
	srv := redistest.Start(t)
	handler, started, goOn := ending(t)
	n := newNode(t, srv, setup{policy: waits(wait), handler: handler})
	for range tries { // a busy machine may need longer than the wait until it listens
		c := call{key: newKey()}
		lost := n.line.LosePush("message", 1)
		first := background(t, n.URL, c)
		<-started
		began := time.Now()
		second := background(t, n.URL, c)
		haveWaiting(t, n.service, 1)
		atWork()
		goOn <- 201
		resp := <-second
		took := time.Since(began)
		done := <-first
		if lost.Fired() == 0 {
			lost.Disarm()
			continue
		}
		requireProblem(t, resp, 409, "in_progress")
		assert.NotEmpty(t, resp.Header.Get("Retry-After"))
		assert.GreaterOrEqual(t, took, wait)
		assert.Less(t, took, 2500*time.Millisecond)
		requireReplay(t, done, send(t, n.URL, c))
		return
	}
	require.Fail(t, "no notification could be lost in time")
}
