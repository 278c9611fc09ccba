package conformance_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func TestA5_F71_RevokedGrantKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	var mu sync.Mutex
	var seen []idempotency.Recorded
	s := newService(t, setup{
		policy: idempotency.Policy{MaxResponseBody: 1000, Wait: 10 * time.Second},
		handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/orders/secret")
			size := 10
			if r.Header.Get("X-Do") == "big" {
				size = 2000
			}
			_, _ = io.WriteString(w, strings.Repeat("secret ", size))
		},
		http: []idemhttp.Option{
			idemhttp.Scope(tenant),
			idemhttp.ReplayGuard(func(r *http.Request, recorded idempotency.Recorded) error {
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, "B", string(body), "the present request can be read")
				mu.Lock()
				seen = append(seen, recorded)
				mu.Unlock()
				if revoked.Load() {
					return errors.New("the grant was revoked")
				}
				return nil
			}),
		},
	})
	for _, what := range []string{"", "big"} {
		revoked.Store(false)
		c := call{key: newKey(), body: "B", header: http.Header{"X-Do": {what}}}
		first := send(t, s.URL, c)
		require.Equal(t, 200, first.Status)
		allowed := send(t, s.URL, c)
		revoked.Store(true)
		denied := send(t, s.URL, c)
		requireProblem(t, denied, 403, "replay_denied")
		assert.NotContains(t, denied.Body, "secret")
		assert.Empty(t, denied.Header.Get("Location"))
		revoked.Store(false)
		after := send(t, s.URL, c)
		assert.Equal(t, allowed.Status, after.Status, "the record is untouched")
		assert.Equal(t, allowed.Body, after.Body)
	}
	assert.Equal(t, 2, s.Runs())
	require.Len(t, seen, 6)
	recorded := seen[0]
	assert.Equal(t, "POST /orders", recorded.Operation)
	assert.Equal(t, 1, recorded.Attempt)
	assert.NotZero(t, recorded.Token)
	assert.WithinDuration(t, time.Now(), recorded.Finished, time.Minute)
	assert.False(t, recorded.Finished.Before(recorded.Started))
	assert.Len(t, recorded.ID, 64)
	assert.Equal(t, map[idempotency.Code]int64{
		idempotency.ErrReplayDenied:      2,
		idempotency.ErrResultUnavailable: 2, // asked before that is told, too
	}, s.Guard.Stats()[0].Refused)
}

// gated is a middleware with a guard that denies while closed says so.
func gated(closed *atomic.Bool, asked *atomic.Int64) []idemhttp.Option {
	return []idemhttp.Option{
		idemhttp.Scope(tenant),
		idemhttp.ReplayGuard(func(*http.Request, idempotency.Recorded) error {
			asked.Add(1)
			if closed.Load() {
				return errors.New("the grant was revoked")
			}
			return nil
		}),
	}
}

func TestA5_DuplicateThatWaitedMeetsTheGuard(t *testing.T) {
	t.Parallel()
	var closed atomic.Bool
	var asked atomic.Int64
	handler, started, goOn := blocking(t)
	with := setup{
		namespace: namespaceOf(t), http: gated(&closed, &asked), policy: waits(20 * time.Second),
		handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/orders/secret")
			handler(w, r)
			_, _ = io.WriteString(w, " and secret")
		},
	}
	nodes := []*service{newService(t, with), newService(t, with)}
	c := call{key: newKey()}
	first := background(t, nodes[0].URL, c)
	<-started
	rest := together(t, 6, c, urlsOf(nodes)...)
	haveWaitingInAll(t, nodes, 6)
	require.Zero(t, asked.Load(), "there is nothing yet")
	closed.Store(true) // while they wait
	close(goOn)
	done := <-first
	requireExecuted(t, done)
	for _, resp := range rest() {
		requireProblem(t, resp, 403, "replay_denied")
		assert.NotContains(t, resp.Body, "secret")
		assert.Empty(t, resp.Header.Get("Location"))
	}
	assert.EqualValues(t, 6, asked.Load())
	closed.Store(false)
	requireReplay(t, done, send(t, nodes[1].URL, c))
	assert.Equal(t, 1, runsOf(nodes))
}

func TestA5_ReconciledAnswerMeetsTheGuard(t *testing.T) {
	t.Parallel()
	var closed atomic.Bool
	var asked atomic.Int64
	q := new(inquiry)
	q.finds(foundAnswer(t))
	s := newService(t, setup{
		http: gated(&closed, &asked), options: []idempotency.OperationOption{q.option(t)},
		policy:  idempotency.Policy{Failure: idempotency.FailureUnknown},
		handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) },
	})
	c := call{key: newKey()}
	require.Equal(t, 504, send(t, s.URL, c).Status)
	closed.Store(true)
	for range 2 { // who had it found out, and who comes after
		denied := send(t, s.URL, c)
		requireProblem(t, denied, 403, "replay_denied")
		assert.NotContains(t, denied.Body, "found at the provider")
	}
	assert.EqualValues(t, 2, asked.Load())
	closed.Store(false)
	resp := send(t, s.URL, c)
	assert.Equal(t, 201, resp.Status)
	assert.Equal(t, "found at the provider", resp.Body)
	assert.Equal(t, "replayed", resp.Header.Get("Idempotency-Status"))
	assert.EqualValues(t, 1, q.asked.Load(), "what was found is recorded, though it was denied")
	assert.Equal(t, 1, s.Runs())
}

func TestReplayGuardIsCheckedAtConstruction(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	allow := func(*http.Request, idempotency.Recorded) error { return nil }
	_, err := idemhttp.New(s.Guard, idemhttp.GlobalScope(), idemhttp.ReplayGuard(nil))
	require.ErrorContains(t, err, "ReplayGuard: the function is nil")
	_, err = idemhttp.New(s.Guard, idemhttp.GlobalScope(), idemhttp.ReplayGuard(allow), idemhttp.ReplayGuard(allow))
	require.ErrorContains(t, err, "set twice")
}
