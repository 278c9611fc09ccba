package conformance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemadmin"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
)

// newAdmin serves the operator's page of a service, and returns its root.
func newAdmin(t *testing.T, s *service, opts ...idemadmin.Option) string {
	t.Helper()
	page, err := idemadmin.New(s.Guard, opts...)
	require.NoError(t, err)
	server := httptest.NewServer(page)
	t.Cleanup(server.Close)
	return server.URL
}

// seenRecord is what the page tells of a record.
type seenRecord struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`
	Operation string    `json:"operation"`
	Scope     string    `json:"scope"`
	Token     int64     `json:"token"`
	Attempt   int       `json:"attempt"`
	Started   time.Time `json:"started"`
}

// operate sends JSON to the page, or gets from it if there is no body.
func operate(t *testing.T, url string, body any, into any) int {
	t.Helper()
	c := call{method: http.MethodGet}
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(t, err)
		c = call{body: string(raw), header: http.Header{"Content-Type": {"application/json"}}}
	}
	resp := send(t, url, c)
	require.NoError(t, json.Unmarshal([]byte(resp.Body), into), resp.Body)
	return resp.Status
}

// findRecord asks what became of a key of P1.
func findRecord(t *testing.T, admin, key string) seenRecord {
	t.Helper()
	var seen seenRecord
	question := map[string]string{"operation": "POST /orders", "scope": "tenant-", "key": key}
	require.Equal(t, 200, operate(t, admin+"/find", question, &seen))
	return seen
}

// deadClaim leaves a running record behind whose owner does not exist.
func deadClaim(t *testing.T, namespace string, id store.ID, lease time.Duration) {
	t.Helper()
	rdb := shared.Server(t).Client(t)
	require.NoError(t, rdb.Del(t.Context(), recordName(namespace, id)).Err())
	reply, err := openRedis(t, rdb, namespace).Apply(t.Context(), id, store.Claim{
		Owner: store.NewOwner(), Fingerprint: store.Fingerprint{Algorithm: store.NoFingerprint},
		Scope: store.NewScopeDigest("tenant-"), Operation: "POST /orders", Lease: lease, Retention: time.Hour,
	})
	require.NoError(t, err)
	require.Equal(t, store.Claimed, reply.Verdict)
}

func TestX3_F95_ReleasingAStuckClaimFencesItsOwnerOut(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	started := make(chan context.Context, 2)
	goOn := []chan struct{}{nil, make(chan struct{}), make(chan struct{})}
	with := setup{
		namespace: ns, policy: idempotency.Policy{Lease: 900 * time.Millisecond},
		handler: func(w http.ResponseWriter, r *http.Request) {
			info, _ := idempotency.FromContext(r.Context())
			started <- r.Context()
			select {
			case <-goOn[info.Attempt]:
			case <-t.Context().Done():
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = fmt.Fprintf(w, "attempt %d", info.Attempt)
		},
	}
	node, other := newService(t, with), newService(t, with)
	admin := newAdmin(t, other, idemadmin.AllowSettling())
	c := call{key: newKey(), body: "B"}
	stuck := background(t, node.URL, c)
	ctx := next(t, "the first attempt", started)

	seen := findRecord(t, admin, c.key)
	require.Equal(t, "running", seen.State)
	decision := map[string]any{"decision": "release", "token": seen.Token, "by": "ops", "reason": "hangs since noon"}
	settle := admin + "/records/" + seen.ID + "/settle"
	var refused problem
	require.Equal(t, 409, operate(t, settle, decision, &refused), "not without saying that it runs")
	require.Equal(t, "settle_refused", refused.Code)
	requireProblem(t, send(t, node.URL, c), 409, "in_progress")

	decision["running"] = true
	var after seenRecord
	require.Equal(t, 200, operate(t, settle, decision, &after))
	assert.Equal(t, "released", after.State)
	next(t, "the cancellation", ctx.Done())
	require.ErrorIs(t, context.Cause(ctx), idempotency.ErrLeaseLost)
	require.ErrorIs(t, idempotency.MarkEffect(ctx), idempotency.ErrLeaseLost)

	second := background(t, other.URL, c)
	again := next(t, "the second attempt", started)
	info, _ := idempotency.FromContext(again)
	assert.Equal(t, 2, info.Attempt)
	assert.Greater(t, info.Token, seen.Token)
	close(goOn[1])
	own := <-stuck
	requireProblem(t, own, 503, "lease_lost")
	assert.NotContains(t, own.Body, "attempt 1")
	require.NoError(t, again.Err(), "the first one's end is nothing to the second")
	close(goOn[2])
	first := <-second
	requireExecuted(t, first)
	assert.Equal(t, "attempt 2", first.Body)
	requireReplay(t, first, send(t, node.URL, c))
}

func TestX4_SuppliedAnswerIsReplayedAndAudited(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	settled := make(chan idempotency.Settled, 1)
	log := new(lockedBuffer)
	with := setup{
		namespace: ns,
		guard: []idempotency.Option{
			idempotency.WithLogger(slog.New(slog.NewJSONHandler(log, nil))),
			idempotency.WithTrace(idempotency.Trace{Settled: func(_ context.Context, s idempotency.Settled) { settled <- s }}),
		},
		handler: func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, idempotency.MarkEffect(r.Context()))
			w.WriteHeader(http.StatusGatewayTimeout)
		},
	}
	node, other := newService(t, with), newService(t, setup{namespace: ns})
	admin := newAdmin(t, node, idemadmin.AllowSettling())
	c := call{key: newKey(), body: "B"}
	require.Equal(t, 504, send(t, node.URL, c).Status)
	requireProblem(t, send(t, other.URL, c), 409, "outcome_unknown")

	seen := findRecord(t, admin, c.key)
	require.Equal(t, "unknown", seen.State)
	var after seenRecord
	require.Equal(t, 200, operate(t, admin+"/records/"+seen.ID+"/settle", map[string]any{
		"decision": "complete", "token": seen.Token, "by": "ada", "reason": "found at the bank",
		"answer": map[string]any{
			"status": 201, "body": `{"id":"pay_7"}`,
			"header": http.Header{"Content-Type": {"application/json"}, "Location": {"/orders/7"}},
		},
	}, &after))
	assert.Equal(t, "completed", after.State)

	supplied := response{
		Status: 201, Body: `{"id":"pay_7"}`,
		Header: http.Header{"Content-Type": {"application/json"}, "Location": {"/orders/7"}},
	}
	requireReplay(t, supplied, send(t, node.URL, c))
	requireReplay(t, supplied, send(t, other.URL, c))
	c.body = "B'"
	requireProblem(t, send(t, node.URL, c), 422, "idempotency_key_reused")
	assert.Equal(t, 1, node.Runs())
	assert.Zero(t, other.Runs())

	assert.Equal(t, idempotency.Settled{
		Operation: "POST /orders", ID: seen.ID[:8], Attempt: 1, From: store.Unknown,
		Decision: "complete", By: "ada", Reason: "found at the bank",
	}, next(t, "the audit event", settled))
	line := lineWith(log.String(), "settled by hand")
	for _, word := range []string{`"decision":"complete"`, `"by":"ada"`, `"reason":"found at the bank"`, `"from":"unknown"`, seen.ID[:8]} {
		assert.Contains(t, line, word)
	}
	assert.NotContains(t, log.String(), c.key)
	assert.NotContains(t, log.String(), "pay_7")

	var refused problem
	late := map[string]any{"decision": "release", "token": seen.Token, "by": "eve", "reason": "again"}
	assert.Equal(t, 409, operate(t, admin+"/records/"+seen.ID+"/settle", late, &refused), "what is known is not decided again")
	requireReplay(t, supplied, send(t, other.URL, call{key: c.key, body: "B"}))
}

func lineWith(text, words string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, words) {
			return line
		}
	}
	return ""
}

// A server that answers reads and refuses writes is not healthy: no new request
// could be served.
func TestX7_HealthReflectsWhetherTheStoreTakesWrites(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("x", 1<<20)
	for _, test := range []struct {
		name        string
		spoil, heal func(*testing.T, *redistest.Server, *redis.Client)
	}{
		{
			"read-only replica",
			func(_ *testing.T, srv *redistest.Server, _ *redis.Client) { srv.Do("replicaof", "127.0.0.1", "1") },
			func(_ *testing.T, srv *redistest.Server, _ *redis.Client) { srv.Do("replicaof", "no", "one") },
		},
		{
			"out of memory",
			func(t *testing.T, srv *redistest.Server, rdb *redis.Client) {
				require.NoError(t, rdb.Set(t.Context(), "filler", filler, 0).Err())
				srv.Config("maxmemory", "1mb")
			},
			func(_ *testing.T, srv *redistest.Server, _ *redis.Client) { srv.Config("maxmemory", "0") },
		},
		{
			"no right to write",
			func(_ *testing.T, srv *redistest.Server, _ *redis.Client) { srv.Do("acl", "setuser", "app", "-@write") },
			func(_ *testing.T, srv *redistest.Server, _ *redis.Client) { srv.Do("acl", "setuser", "app", "+@write") },
		},
		{
			"no right to the keys",
			func(_ *testing.T, srv *redistest.Server, _ *redis.Client) {
				srv.Do("acl", "setuser", "app", "resetkeys", "%R~*")
			},
			func(_ *testing.T, srv *redistest.Server, _ *redis.Client) { srv.Do("acl", "setuser", "app", "allkeys") },
		},
		{
			"gone",
			func(_ *testing.T, srv *redistest.Server, _ *redis.Client) { srv.Kill() },
			func(_ *testing.T, srv *redistest.Server, _ *redis.Client) { srv.Restart() },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t, redistest.AOF(), redistest.User("app", "secret", "~*", "&*", "+@all"))
			asApp := func(o *redis.Options) { o.Username, o.Password = "app", "secret" }
			s := newService(t, setup{redis: srv.Client(t, asApp), policy: idempotency.Policy{Lease: 300 * time.Millisecond}})
			done := call{key: newKey()}
			first := send(t, s.URL, done)
			requireExecuted(t, first)
			require.NoError(t, s.Guard.Health(t.Context()))

			test.spoil(t, srv, srv.Client(t))
			require.ErrorIs(t, s.Guard.Health(t.Context()), idempotency.ErrStoreUnavailable)
			requireDown(t, s.URL, call{key: newKey()}, 2*time.Second)
			if test.name == "read-only replica" || test.name == "out of memory" {
				requireReplay(t, first, send(t, s.URL, done)) // that it reads is not what counts
			}

			test.heal(t, srv, srv.Client(t))
			eventually(t, "it is healthy again", func() bool { return s.Guard.Health(t.Context()) == nil })
			requireExecuted(t, send(t, s.URL, call{key: newKey()}))
		})
	}
}

// Nor is a guard healthy that takes no more requests.
func TestX7_DrainingGuardIsNotHealthy(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }})
	require.NoError(t, s.Guard.Health(t.Context()))
	require.NoError(t, s.Guard.Shutdown(t.Context()))
	require.ErrorIs(t, s.Guard.Health(t.Context()), idempotency.ErrDraining)
}
