package conformance_test

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
)

// requireDown asserts that a call is refused for want of the store, and within
// what time.
func requireDown(t *testing.T, url string, c call, within time.Duration) {
	t.Helper()
	began := time.Now()
	resp := send(t, url, c)
	assert.Less(t, time.Since(began), within)
	p := requireProblem(t, resp, 503, "store_unavailable")
	assert.True(t, p.Retryable)
	require.NotNil(t, p.SafeNewKey)
	assert.False(t, *p.SafeNewKey)
	assert.Equal(t, "rejected", resp.Header.Get("Idempotency-Status"))
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, seconds, 1)
}

// Nothing stands in for a Redis that is down: what this very process has
// answered a moment ago is not replayed from its memory.
func TestS1_S6_S15_WithoutRedisNothingRunsAndNothingIsReplayed(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.AOF())
	s := newService(t, setup{redis: srv.Client(t), policy: idempotency.Policy{Lease: 300 * time.Millisecond}})
	done := call{key: newKey()}
	first := send(t, s.URL, done)
	requireExecuted(t, first)
	srv.Kill()
	for range 2 {
		requireDown(t, s.URL, call{key: newKey()}, time.Second)
		requireDown(t, s.URL, done, time.Second)
	}
	assert.Equal(t, 1, s.Runs())
	require.ErrorIs(t, s.Guard.Health(t.Context()), idempotency.ErrStoreUnavailable)

	srv.Restart()
	var again response
	eventually(t, "Redis is back", func() bool {
		again = send(t, s.URL, done)
		return again.Status != 503
	})
	requireReplay(t, first, again)
	assert.Equal(t, 1, s.Runs())
}

func TestS2_OpenPolicyRunsUnprotectedAndSaysSo(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	events := newEvents()
	s := newService(t, setup{
		redis:  srv.Client(t),
		guard:  []idempotency.Option{idempotency.WithTrace(events.trace()), idempotency.WithStoreTimeout(200 * time.Millisecond)},
		policy: idempotency.Policy{StoreDown: idempotency.StoreDownOpen, Lease: 300 * time.Millisecond},
	})
	srv.Kill()
	c := call{key: newKey()}
	for run := 1; run <= 2; run++ {
		resp := send(t, s.URL, c)
		assert.Equal(t, 201, resp.Status)
		assert.Equal(t, "unprotected", resp.Header.Get("Idempotency-Status"))
		assert.Empty(t, resp.Header.Get("Idempotent-Replayed"))
		assert.Equal(t, run, s.Runs())
		assert.Equal(t, idempotency.Unprotected, next(t, "the hook", events.finished).Outcome)
	}
	srv.Restart()
	eventually(t, "protection is back", func() bool {
		return send(t, s.URL, call{key: newKey()}).Header.Get("Idempotency-Status") == "executed"
	})
}

func TestS3_S6_F13_HangingRedisIsGivenUpWithinTheStoresTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 250 * time.Millisecond
	srv := redistest.Start(t)
	s := newService(t, setup{
		redis:  srv.Client(t),
		guard:  []idempotency.Option{idempotency.WithStoreTimeout(timeout)},
		policy: idempotency.Policy{Lease: 300 * time.Millisecond},
	})
	done := call{key: newKey()}
	first := send(t, s.URL, done)
	requireExecuted(t, first)
	srv.Pause()
	requireDown(t, s.URL, call{key: newKey()}, 2*timeout)
	requireDown(t, s.URL, done, 2*timeout)
	assert.Equal(t, 1, s.Runs())
	srv.Resume()
	var again response
	eventually(t, "Redis is back", func() bool {
		again = send(t, s.URL, done)
		return again.Status != 503
	})
	requireReplay(t, first, again)
}

func TestS4_RedisThatDiesBeforeTheCompletion(t *testing.T) {
	t.Parallel()
	for _, back := range []string{"within the lease", "after the lease"} {
		t.Run("back "+back, func(t *testing.T) {
			t.Parallel()
			lease := 6 * time.Second
			if back == "after the lease" {
				lease = 700 * time.Millisecond
			}
			srv := redistest.Start(t, redistest.AOF())
			handler, started, goOn := blocking(t)
			events := newEvents()
			s := newService(t, setup{
				redis: srv.Client(t), handler: handler, policy: idempotency.Policy{Lease: lease},
				guard: []idempotency.Option{idempotency.WithTrace(events.trace())},
			})
			c := call{key: newKey()}
			answer := background(t, s.URL, c)
			<-started
			srv.Kill()
			close(goOn)
			first := <-answer
			assert.Equal(t, 201, first.Status, "the true answer")
			assert.Equal(t, "done", first.Body)
			assert.Equal(t, "unrecorded", first.Header.Get("Idempotency-Status"))

			if back == "within the lease" {
				srv.Restart()
				settled := next(t, "the completion", events.settled)
				require.NoError(t, settled.Err)
				assert.Equal(t, "complete", settled.Event)
				requireReplay(t, first, send(t, s.URL, c))
			} else {
				require.Error(t, next(t, "the completion's end", events.settled).Err)
				srv.Restart()
				var second response
				eventually(t, "Redis is back", func() bool {
					second = send(t, s.URL, c)
					return second.Status != 503
				})
				requireProblem(t, second, 409, "outcome_unknown")
			}
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestS5_LostReplyToTheCompletion(t *testing.T) {
	t.Parallel()
	loadScripts(t, shared.Server(t))
	for size, length := range map[string]int{"small": 10, "large": 100_000} {
		for retries, mutate := range map[string]func(*redis.Options){
			"client retries": func(*redis.Options) {}, "client does not": withoutRetries,
		} {
			t.Run(size+", "+retries, func(t *testing.T) {
				t.Parallel()
				started, goOn := make(chan struct{}, 1), make(chan struct{})
				n := newNode(t, shared.Server(t), setup{handler: func(w http.ResponseWriter, _ *http.Request) {
					started <- struct{}{}
					select {
					case <-goOn:
					case <-t.Context().Done():
					}
					_, _ = w.Write([]byte(strings.Repeat("x", length)))
				}}, mutate)
				c := call{key: newKey()}
				answer := background(t, n.URL, c)
				<-started
				request := 1
				if size == "large" {
					request = 2 // the answer itself goes before
				}
				lost := n.line.LoseReply(idOf(c.key).String(), request)
				close(goOn)
				first := <-answer
				assert.Equal(t, 1, lost.Fired())
				assert.Len(t, first.Body, length)
				if retries == "client retries" {
					requireExecuted(t, first)
				} else {
					assert.Equal(t, "unrecorded", first.Header.Get("Idempotency-Status"))
					require.NoError(t, next(t, "the completion", n.events.settled).Err)
				}
				requireReplay(t, first, send(t, n.URL, c))
				assert.Equal(t, 1, n.Runs())
			})
		}
	}
}

func TestS6_DuplicateWhoseReadFailsIsRefused(t *testing.T) {
	t.Parallel()
	redistest.NotWithLocalCache(t, "nothing is read for a replay from memory")
	n := newNode(t, shared.Server(t), setup{
		policy: idempotency.Policy{Lease: 300 * time.Millisecond},
		guard:  []idempotency.Option{idempotency.WithStoreTimeout(200 * time.Millisecond)},
	}, withoutRetries)
	c := call{key: newKey()}
	first := send(t, n.URL, c)
	requireExecuted(t, first)
	for name, fault := range map[string]func() *faultproxy.Fault{
		"claim lost":           func() *faultproxy.Fault { return n.line.LoseRequest(idOf(c.key).String(), 1) },
		"verdict lost":         func() *faultproxy.Fault { return n.line.LoseReply("evalsha", 1) },
		"answer lost":          func() *faultproxy.Fault { return n.line.LoseReply("get", 1) },
		"answer cut in two":    func() *faultproxy.Fault { return n.line.CutReply("get", 1) },
		"answer never arrives": func() *faultproxy.Fault { return n.line.SwallowReply("get", 1) },
	} {
		hit := fault()
		requireProblem(t, send(t, n.URL, c), 503, "store_unavailable")
		assert.Equal(t, 1, hit.Fired(), name)
		next(t, name, n.events.settled) // the release of the claim that got no answer
		requireReplay(t, first, send(t, n.URL, c))
	}
	assert.Equal(t, 1, n.Runs())
}

func TestS8_F34_EvictionPolicyIsAFinding(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.MaxMemory("100mb", "allkeys-lru"))
	log := new(lockedBuffer)
	logger := idempotency.WithLogger(slog.New(slog.NewJSONHandler(log, nil)))
	lenient := newService(t, setup{redis: srv.Client(t), guard: []idempotency.Option{logger}})
	strict := newService(t, setup{redis: srv.Client(t), guard: []idempotency.Option{idempotency.StrictCheck()}})

	eventually(t, "a warning at the start", func() bool { return strings.Contains(log.String(), "noeviction") })
	assert.Contains(t, log.String(), `"level":"WARN"`)
	require.ErrorContains(t, lenient.Guard.Preflight(t.Context()), "noeviction")
	require.ErrorContains(t, lenient.Guard.Health(t.Context()), "noeviction")
	requireExecuted(t, send(t, lenient.URL, call{key: newKey()}))
	requireDown(t, strict.URL, call{key: newKey()}, time.Second)
	assert.Zero(t, strict.Runs())

	srv.Config("maxmemory-policy", "noeviction")
	for _, s := range []*service{lenient, strict} {
		require.NoError(t, s.Guard.Preflight(t.Context()))
		require.NoError(t, s.Guard.Health(t.Context()))
		requireExecuted(t, send(t, s.URL, call{key: newKey()}))
	}
}

func TestS9_F14_FlushedWhileTheHandlerRuns(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	handler, started, goOn := blocking(t)
	n := newNode(t, srv, setup{handler: handler, policy: idempotency.Policy{Lease: 600 * time.Millisecond}})
	c := call{key: newKey()}
	answer := background(t, n.URL, c)
	ctx := <-started
	srv.FlushAll()
	next(t, "the cancellation", ctx.Done())
	require.ErrorIs(t, context.Cause(ctx), idempotency.ErrLeaseLost)
	assert.Equal(t, "lost", next(t, "the hook", n.events.lost).Reason, "the store says so, no doubt about it")
	assert.Empty(t, srv.Keys("*"))
	close(goOn)
	first := <-answer
	requireExecuted(t, first)
	requireReplay(t, first, send(t, n.URL, c))
	assert.Equal(t, 1, n.Runs())
}

func TestS10_F37_ForgottenScriptsAreLoadedAgain(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(*redistest.Server){
		"script flush": (*redistest.Server).ScriptFlush,
		"restart":      (*redistest.Server).Restart,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t, redistest.AOF())
			handler, started, goOn := blocking(t)
			large := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", strings.Repeat("x", 10_000))
				handler(w, r)
			}
			s := newService(t, setup{redis: srv.Client(t), handler: large, policy: idempotency.Policy{Lease: 900 * time.Millisecond}})
			c := call{key: newKey()}
			forget(srv)
			answer := background(t, s.URL, c)
			ctx := <-started
			forget(srv)
			select {
			case <-ctx.Done():
				t.Error("the renewal's script was missing:", context.Cause(ctx))
			case <-time.After(time.Second): // longer than the claim alone lasts
			}
			assert.NoError(t, idempotency.MarkEffect(ctx))
			forget(srv)
			close(goOn)
			first := <-answer
			requireExecuted(t, first)
			forget(srv)
			requireReplay(t, first, send(t, s.URL, c))
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestS16_S18_RetentionCountsFromTheCompletionAndEnds(t *testing.T) {
	t.Parallel()
	const retention, work = time.Second, 1200 * time.Millisecond
	ns := namespaceOf(t)
	s := newService(t, setup{
		namespace: ns,
		policy:    idempotency.Policy{Lease: 400 * time.Millisecond, Retention: retention},
		handler: func(w http.ResponseWriter, r *http.Request) {
			if info, _ := idempotency.FromContext(r.Context()); info.Attempt != 1 {
				t.Error("an expired record left its attempt number behind")
			}
			if r.Header.Get("X-Long") != "" {
				time.Sleep(work) // longer than the retention
			}
			w.WriteHeader(201)
		},
	})
	for _, long := range []string{"", "yes"} {
		c := call{key: newKey(), header: http.Header{"X-Long": {long}}}
		first := send(t, s.URL, c)
		answered := time.Now()
		requireExecuted(t, first)
		ttl := shared.Server(t).Client(t).PTTL(t.Context(), recordName(ns, idOf(c.key))).Val()
		assert.InDelta(t, retention, ttl, float64(retention/4))
		time.Sleep(retention / 2) // into the window
		requireReplay(t, first, send(t, s.URL, c))

		c.header = http.Header{"X-Long": {""}}
		var last response
		var asked time.Time
		eventually(t, "the end of the retention", func() bool {
			asked = time.Now()
			last = send(t, s.URL, c)
			return last.Header.Get("Idempotency-Status") != "replayed"
		})
		requireExecuted(t, last)
		assert.InDelta(t, retention, asked.Sub(answered), float64(retention/2))
	}
	assert.Equal(t, 4, s.Runs())
}
