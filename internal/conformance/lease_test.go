package conformance_test

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
)

func TestL1_HandlerFiveTimesItsLeaseRunsOnce(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	handler, started, goOn := blocking(t)
	s := newService(t, setup{handler: handler, policy: idempotency.Policy{Lease: lease}})
	c := call{key: newKey()}
	first := background(t, s.URL, c)
	ctx := <-started
	for end := time.Now().Add(5 * lease); time.Now().Before(end); {
		requireProblem(t, send(t, s.URL, c), 409, "in_progress")
		time.Sleep(lease / 10) // the handler's work
	}
	require.NoError(t, ctx.Err())
	close(goOn)
	answer := <-first
	requireExecuted(t, answer)
	requireReplay(t, answer, send(t, s.URL, c))
	assert.Equal(t, 1, s.Runs())
}

func TestL11_TokensGrowOverTakeOversAndARestart(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.AOF())
	tokens := make(chan idempotency.Info, 10)
	s := newService(t, setup{
		redis:  srv.Client(t),
		wrap:   recovering(new(atomic.Value)),
		policy: idempotency.Policy{Orphan: idempotency.OrphanRerun},
		handler: func(_ http.ResponseWriter, r *http.Request) {
			info, ok := idempotency.FromContext(r.Context())
			assert.True(t, ok)
			tokens <- info
			panic(http.ErrAbortHandler) // so that the next one takes over
		},
	})
	c := call{key: newKey()}
	last := idempotency.Info{}
	for attempt := 1; attempt <= 6; attempt++ {
		if attempt == 4 {
			srv.Kill()
			srv.Restart()
		}
		var info idempotency.Info
		eventually(t, "the attempt starts", func() bool {
			resp := send(t, s.URL, c)
			if resp.Status == 503 { // the client's connections to the killed server
				return false
			}
			info = <-tokens
			return true
		})
		assert.Greater(t, info.Token, last.Token)
		assert.Equal(t, attempt, info.Attempt)
		assert.Equal(t, attempt > 1, info.TookOver)
		last = info
	}
}

func TestL12_OneFailedRenewalIsTriedAgain(t *testing.T) {
	t.Parallel()
	const lease = 900 * time.Millisecond
	loadScripts(t, shared.Server(t))
	for name, fault := range map[string]func(*faultproxy.Proxy, string) *faultproxy.Fault{
		"request lost":    func(p *faultproxy.Proxy, id string) *faultproxy.Fault { return p.LoseRequest(id, 1) },
		"reply lost":      func(p *faultproxy.Proxy, id string) *faultproxy.Fault { return p.LoseReply(id, 1) },
		"reply swallowed": func(p *faultproxy.Proxy, id string) *faultproxy.Fault { return p.SwallowReply(id, 1) },
		"reply cut":       func(p *faultproxy.Proxy, id string) *faultproxy.Fault { return p.CutReply(id, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler, started, goOn := blocking(t)
			n := newNode(t, shared.Server(t), setup{handler: handler, policy: idempotency.Policy{Lease: lease}})
			c := call{key: newKey()}
			first := background(t, n.URL, c)
			ctx := <-started
			hit := fault(n.line, idOf(c.key).String())
			next(t, "the fault", hit.First())
			select {
			case <-ctx.Done():
				t.Error("one failure cancelled the handler:", context.Cause(ctx))
			case <-time.After(lease): // longer than what was confirmed before
			}
			requireProblem(t, send(t, n.URL, c), 409, "in_progress")
			close(goOn)
			answer := <-first
			requireExecuted(t, answer)
			assert.Equal(t, 1, n.Runs())
			assert.Empty(t, n.events.lost)
		})
	}
}

func TestL13_F21_HandlerIsCancelledBeforeItsLeaseCanHaveLapsed(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	for name, cut := range map[string]func(*faultproxy.Proxy){
		"silence":         (*faultproxy.Proxy).Partition,
		"replies dropped": (*faultproxy.Proxy).DropReplies,
		"refused": func(p *faultproxy.Proxy) {
			p.RefuseConnections()
			p.ResetConnections()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespaceOf(t)
			handler, started, goOn := blocking(t)
			n := newNode(t, shared.Server(t), setup{
				namespace: ns, handler: handler, policy: idempotency.Policy{Lease: lease},
			})
			c := call{key: newKey()}
			first := background(t, n.URL, c)
			ctx := <-started
			direct := openRedis(t, shared.Server(t).Client(t), ns)
			cut(n.line)
			claimed := lookup(t, direct, idOf(c.key))
			next(t, "the cancellation", ctx.Done())
			// Redis is on this machine and has the same clock.
			cancelled := store.Instant(time.Now().UnixMicro())
			assert.Less(t, cancelled, claimed.LeaseEnd)
			assert.Greater(t, cancelled, claimed.LeaseEnd.Add(-lease/2), "not given up early, either")
			require.ErrorIs(t, context.Cause(ctx), idempotency.ErrLeaseLost)
			require.ErrorIs(t, idempotency.MarkEffect(ctx), idempotency.ErrLeaseLost)
			assert.Equal(t, "unconfirmed", next(t, "the hook", n.events.lost).Reason)
			n.line.Heal()
			close(goOn)
			<-first
		})
	}
}

func TestL14_WatchdogServesNewClaimsAfterAnOutage(t *testing.T) {
	t.Parallel()
	const lease = 300 * time.Millisecond
	srv := redistest.Start(t, redistest.AOF())
	handler, started, goOn := blocking(t)
	s := newService(t, setup{redis: srv.Client(t), handler: handler, policy: idempotency.Policy{Lease: lease}})
	old := background(t, s.URL, call{key: newKey()})
	ctx := <-started
	srv.Kill()
	next(t, "the loss", ctx.Done())
	srv.Restart()

	fresh := call{key: newKey()}
	answer := background(t, s.URL, fresh)
	select {
	case ctx = <-started:
	case <-answer: // the pool still had a dead connection
		answer = background(t, s.URL, fresh)
		ctx = <-started
	}
	select {
	case <-ctx.Done():
		t.Error("not renewed:", context.Cause(ctx))
	case <-time.After(3 * lease): // longer than the claim alone lasts
	}
	requireProblem(t, send(t, s.URL, fresh), 409, "in_progress")
	close(goOn)
	requireExecuted(t, <-answer)
	<-old
}

func TestL15_F54_HangingHandlerIsGivenUpAtTheMaximumHold(t *testing.T) {
	t.Parallel()
	const lease, hold = 300 * time.Millisecond, 700 * time.Millisecond
	tests := []struct {
		orphan idempotency.Orphan
		marked bool
		reruns bool
	}{
		{idempotency.OrphanRefuse, false, false},
		{idempotency.OrphanRerunUnmarked, false, true},
		{idempotency.OrphanRerunUnmarked, true, false},
		{idempotency.OrphanRerun, true, true},
	}
	for _, test := range tests {
		t.Run(string(test.orphan)+" marked "+strconv.FormatBool(test.marked), func(t *testing.T) {
			t.Parallel()
			events := newEvents()
			started, goOn := make(chan context.Context, 2), make(chan struct{})
			s := newService(t, setup{
				guard:  []idempotency.Option{idempotency.WithTrace(events.trace())},
				policy: idempotency.Policy{Lease: lease, MaxHold: hold, Orphan: test.orphan},
				handler: func(w http.ResponseWriter, r *http.Request) {
					if info, _ := idempotency.FromContext(r.Context()); info.Attempt > 1 {
						w.WriteHeader(201)
						return
					}
					if test.marked {
						assert.NoError(t, idempotency.MarkEffect(r.Context()))
					}
					started <- r.Context()
					select { // deaf to its own context
					case <-goOn:
					case <-t.Context().Done():
					}
				},
			})
			c := call{key: newKey()}
			began := time.Now()
			first := background(t, s.URL, c)
			ctx := <-started
			second := <-afterLease(t, s.URL, c)
			assert.GreaterOrEqual(t, time.Since(began), hold, "renewed until then")
			require.ErrorIs(t, context.Cause(ctx), idempotency.ErrLeaseLost)
			lost := next(t, "the hook", events.lost)
			assert.Equal(t, "maximum hold", lost.Reason)
			assert.Equal(t, "POST /orders", lost.Operation)
			if test.reruns {
				requireExecuted(t, second)
				assert.Equal(t, 2, s.Runs())
			} else {
				requireProblem(t, second, 409, "outcome_unknown")
				assert.Equal(t, 1, s.Runs())
			}
			close(goOn)
			<-first
		})
	}
}

// The store takes a completion and its reply gets lost. A renewal that comes
// then finds a completed record; that is no loss, and nobody is to be alarmed.
func TestL12_RenewalAfterTheCompletionIsNoLoss(t *testing.T) {
	t.Parallel()
	loadScripts(t, shared.Server(t))
	handler, started, goOn := blocking(t)
	n := newNode(t, shared.Server(t), setup{handler: handler, policy: idempotency.Policy{Lease: 900 * time.Millisecond}})
	c := call{key: newKey()}
	answer := background(t, n.URL, c)
	<-started
	completion := n.line.SwallowReply(idOf(c.key).String(), 1)
	close(goOn)
	next(t, "the completion", completion.First())
	first := <-answer // without the store's word, after its timeout
	require.NoError(t, next(t, "the completion's second try", n.events.settled).Err)
	requireReplay(t, first, send(t, n.URL, c))
	select {
	case l := <-n.events.lost:
		t.Errorf("reported as lost: %+v", l)
	default:
	}
}

// The retry is answered at once after a claim whose fate its client never
// learned: neither the lease nor a supposed crash stands in its way.
func TestL16_ClaimThatTimedOutDoesNotBlockItsKey(t *testing.T) {
	t.Parallel()
	loadScripts(t, shared.Server(t))
	policy := idempotency.Policy{Lease: 20 * time.Second}
	quick := []idempotency.Option{idempotency.WithStoreTimeout(200 * time.Millisecond)}

	t.Run("applied at once", func(t *testing.T) {
		t.Parallel()
		n := newNode(t, shared.Server(t), setup{policy: policy, guard: quick})
		c := call{key: newKey()}
		n.line.SwallowReply(idOf(c.key).String(), 1)
		requireProblem(t, send(t, n.URL, c), 503, "store_unavailable")
		assert.Zero(t, n.Runs())
		n.requireRunsSoon(t, c)
	})

	for _, late := range []string{"before the retry", "after the retry"} {
		t.Run("applied later, "+late, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, shared.Server(t), setup{policy: policy, guard: quick})
			c := call{key: newKey()}
			packet := n.line.Hold(idOf(c.key).String(), 1)
			requireProblem(t, send(t, n.URL, c), 503, "store_unavailable")
			settled := next(t, "the release", n.events.settled)
			require.NoError(t, settled.Err)
			assert.Equal(t, "release", settled.Event)
			if late == "before the retry" {
				packet.Deliver()
			}
			n.requireRunsSoon(t, c)
			packet.Deliver()
			assert.Equal(t, "replayed", send(t, n.URL, c).Header.Get("Idempotency-Status"))
			assert.Equal(t, 1, n.Runs())
		})
	}

	t.Run("stopped Redis", func(t *testing.T) {
		t.Parallel()
		srv := redistest.Start(t)
		n := newNode(t, srv, setup{policy: policy, guard: quick})
		n.requireRunsSoon(t, call{key: newKey()}) // connections are open
		c := call{key: newKey()}
		srv.Pause()
		requireProblem(t, send(t, n.URL, c), 503, "store_unavailable")
		time.Sleep(time.Second) // for which Redis stands still
		srv.Resume()
		before := n.Runs()
		n.requireRunsSoon(t, c)
		assert.Equal(t, before+1, n.Runs())
	})
}

// requireRunsSoon asserts that a call is executed within seconds and meanwhile
// is never told that the outcome of an attempt is unknown.
func (n *node) requireRunsSoon(t *testing.T, c call) {
	t.Helper()
	began := time.Now()
	for {
		resp := send(t, n.URL, c)
		status := resp.Header.Get("Idempotency-Status")
		if status == "executed" {
			break
		}
		require.NotEqual(t, "unknown", status)
		require.Less(t, time.Since(began), 4*time.Second, "the key is blocked: %d %s", resp.Status, resp.Body)
		time.Sleep(20 * time.Millisecond) // between two polls
	}
	assert.Less(t, time.Since(began), 4*time.Second)
}
