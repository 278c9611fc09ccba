package conformance_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store"
)

// inquiry is a reconcile callback of several nodes.
type inquiry struct {
	asked, running atomic.Int64
	find           atomic.Value // func() (idempotency.Finding, error)
	orphan         atomic.Value // idempotency.Orphaned, of the latest question
}

func (q *inquiry) option(t *testing.T) idempotency.OperationOption {
	t.Helper()
	return idempotency.Reconcile(func(_ context.Context, orphan idempotency.Orphaned) (idempotency.Finding, error) {
		q.asked.Add(1)
		q.orphan.Store(orphan)
		assert.EqualValues(t, 1, q.running.Add(1), "one callback at a time, over all nodes")
		defer q.running.Add(-1)
		time.Sleep(300 * time.Millisecond) // the provider's answer
		find, _ := q.find.Load().(func() (idempotency.Finding, error))
		return find()
	})
}

func (q *inquiry) finds(f idempotency.Finding) {
	q.find.Store(func() (idempotency.Finding, error) { return f, nil })
}

// foundAnswer is what the provider knows.
func foundAnswer(t *testing.T) idempotency.Finding {
	t.Helper()
	answer, err := idemhttp.NewAnswer(201, http.Header{"Content-Type": {"text/plain"}}, []byte("found at the provider"))
	require.NoError(t, err)
	return idempotency.Happened(answer)
}

// The two ways to an unknown outcome: the owner says so, or it says nothing any
// more.
func TestL5_ReconcileOverAllNodes(t *testing.T) {
	t.Parallel()
	failed := func(t *testing.T, nodes []*service, _ string, c call) {
		t.Helper()
		require.Equal(t, 504, send(t, nodes[0].URL, c).Status)
	}
	died := func(t *testing.T, nodes []*service, namespace string, c call) {
		t.Helper()
		deadClaim(t, namespace, idOf(c.key), 2*time.Second)
		requireProblem(t, send(t, nodes[0].URL, c), 409, "in_progress") // its lease has not ended yet
	}
	for _, test := range []struct {
		name   string
		orphan func(t *testing.T, nodes []*service, namespace string, c call)
		runs   int
		marked bool
	}{
		{"failed with an unknown outcome", failed, 1, true},
		{"its owner has died", died, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			q, ns := new(inquiry), namespaceOf(t)
			q.finds(foundAnswer(t))
			with := setup{
				namespace: ns, options: []idempotency.OperationOption{q.option(t)},
				policy: idempotency.Policy{Wait: 10 * time.Second, Fingerprint: idempotency.FingerprintOff},
				handler: func(w http.ResponseWriter, r *http.Request) {
					assert.NoError(t, idempotency.MarkEffect(r.Context()))
					w.WriteHeader(http.StatusGatewayTimeout)
				},
			}
			impatient := with
			impatient.policy.Wait = idempotency.NoWait
			nodes := []*service{newService(t, impatient), newService(t, with), newService(t, with), newService(t, with)}
			c := call{key: newKey()}
			test.orphan(t, nodes, ns, c)
			for _, resp := range together(t, 30, c, urlsOf(nodes[1:])...)() {
				assert.Equal(t, 201, resp.Status, resp.Body)
				assert.Equal(t, "found at the provider", resp.Body)
				assert.Equal(t, "text/plain", resp.Header.Get("Content-Type"))
				assert.Equal(t, "true", resp.Header.Get("Idempotent-Replayed"))
			}
			assert.EqualValues(t, 1, q.asked.Load())
			orphan, _ := q.orphan.Load().(idempotency.Orphaned)
			assert.Equal(t, test.marked, orphan.Marked)
			assert.Equal(t, c.key, orphan.Key)
			assert.Equal(t, test.runs, runsOf(nodes))
		})
	}
}

func runsOf(nodes []*service) (sum int) {
	for _, n := range nodes {
		sum += n.Runs()
	}
	return sum
}

// Whatever keeps the callback from an answer, nobody asks again so soon, on no
// node, and the handler does not run.
func TestL5_NothingFoundOutOverAllNodes(t *testing.T) {
	t.Parallel()
	for name, find := range map[string]func() (idempotency.Finding, error){
		"still unknown": func() (idempotency.Finding, error) { return idempotency.StillUnknown(), nil },
		"an error":      func() (idempotency.Finding, error) { return idempotency.NothingHappened(), errors.New("timeout") },
		"a panic":       func() (idempotency.Finding, error) { panic("in the provider's client") },
	} {
		for how, wait := range map[string]time.Duration{"asked at once": idempotency.NoWait, "waited for": 5 * time.Second} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				q, ns := new(inquiry), namespaceOf(t)
				q.find.Store(find)
				with := setup{
					namespace: ns, options: []idempotency.OperationOption{q.option(t)},
					policy: idempotency.Policy{Wait: wait, Fingerprint: idempotency.FingerprintOff},
				}
				nodes := []*service{newService(t, with), newService(t, with), newService(t, with)}
				c := call{key: newKey()}
				deadClaim(t, ns, idOf(c.key), 100*time.Millisecond)
				time.Sleep(200 * time.Millisecond) // until the lease has lapsed
				codes := make(map[string]int)
				for _, resp := range together(t, 30, c, urlsOf(nodes)...)() {
					assert.Equal(t, 409, resp.Status)
					codes[resp.Header.Get("Idempotency-Status")]++
				}
				if wait > 0 {
					assert.Equal(t, map[string]int{"unknown": 30}, codes)
				}
				q.finds(idempotency.NothingHappened())
				for _, n := range nodes {
					p := requireProblem(t, send(t, n.URL, c), 409, "outcome_unknown")
					assert.False(t, p.Retryable)
				}
				assert.EqualValues(t, 1, q.asked.Load(), "once for all nodes")
				assert.Zero(t, runsOf(nodes))
				requireHeldBack(t, ns, idOf(c.key))
			})
		}
	}
}

// requireHeldBack asserts that a record is unknown, and not before about 30
// seconds from now taken over.
func requireHeldBack(t *testing.T, namespace string, id store.ID) {
	t.Helper()
	seen, err := openRedis(t, shared.Server(t).Client(t), namespace).Inspect(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, store.Unknown, seen.Record.State)
	left := seen.Record.NotBefore.Sub(seen.Now)
	assert.LessOrEqual(t, left, 30*time.Second)
	assert.Greater(t, left, 15*time.Second)
	assert.Equal(t, 2, seen.Record.Attempt, "the question was an attempt")
}

func TestL5_NothingHappenedRunsTheHandlerOnceOverAllNodes(t *testing.T) {
	t.Parallel()
	q, ns := new(inquiry), namespaceOf(t)
	q.finds(idempotency.NothingHappened())
	with := setup{
		namespace: ns, options: []idempotency.OperationOption{q.option(t)},
		policy:  idempotency.Policy{Wait: 10 * time.Second, Fingerprint: idempotency.FingerprintOff},
		handler: takes(300 * time.Millisecond),
	}
	nodes := []*service{newService(t, with), newService(t, with), newService(t, with)}
	c := call{key: newKey()}
	deadClaim(t, ns, idOf(c.key), 300*time.Millisecond)
	executed := 0
	for _, resp := range together(t, 30, c, urlsOf(nodes)...)() {
		assert.Equal(t, 201, resp.Status, resp.Body)
		assert.Equal(t, "done", resp.Body)
		if resp.Header.Get("Idempotency-Status") == "executed" {
			executed++
		}
	}
	assert.Equal(t, 1, executed)
	assert.EqualValues(t, 1, q.asked.Load())
	assert.Equal(t, 1, runsOf(nodes))
}
