package conformance_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
)

func TestX6_MetricsCountEveryKindOfOutcome(t *testing.T) {
	t.Parallel()
	const wait = 2 * time.Second
	srv := redistest.Start(t)
	blocked, started, goOn := blocking(t)
	n := newNode(t, srv, setup{
		policy: idempotency.Policy{MaxResponseBody: 1000, Wait: wait, Lease: wait},
		handler: func(w http.ResponseWriter, r *http.Request) {
			switch r.Header.Get("X-Do") {
			case "big":
				_, _ = w.Write([]byte(strings.Repeat("x", 2000)))
			case "unknown":
				assert.NoError(t, idempotency.MarkEffect(r.Context()))
				w.WriteHeader(http.StatusGatewayTimeout)
			case "block":
				blocked(w, r)
			case "loss":
				srv.FlushAll()
				next(t, "the loss", r.Context().Done())
				idempotency.Release(r.Context())
				w.WriteHeader(http.StatusServiceUnavailable)
			default:
				w.WriteHeader(http.StatusCreated)
			}
		},
	})
	do := func(key, body, what string) response {
		return send(t, n.URL, call{key: key, body: body, header: http.Header{"X-Do": {what}}})
	}
	do("a", "B", "")
	do("a", "B", "")
	do("a", "other", "")
	do("", "B", "")
	do("b", "B", "big")
	do("b", "B", "big")
	do("u", "B", "unknown")
	do("u", "B", "unknown")
	blocks := call{key: "w", body: "B", header: http.Header{"X-Do": {"block"}}}
	first := background(t, n.URL, blocks)
	<-started
	requireProblem(t, do("w", "B", "block"), 409, "in_progress") // after it has waited in vain
	second := background(t, n.URL, blocks)
	haveWaiting(t, n.service, 1)
	close(goOn)
	requireReplay(t, <-first, <-second)
	do("l", "B", "loss")
	srv.Pause()
	do("down", "B", "")
	srv.Resume()

	s := n.Guard.Stats()[0]
	assert.Equal(t, "POST /orders", s.Operation)
	assert.EqualValues(t, 5, s.Executed)
	assert.EqualValues(t, 2, s.Replayed)
	assert.EqualValues(t, 1, s.BodiesOmitted, "oversize")
	assert.EqualValues(t, 3, s.Completed)
	assert.EqualValues(t, 1, s.Failed, "became unknown")
	assert.EqualValues(t, 1, s.LeasesLost)
	assert.Equal(t, map[idempotency.Code]int64{
		idempotency.ErrKeyReused: 1, idempotency.ErrKeyMissing: 1, idempotency.ErrResultUnavailable: 1,
		idempotency.ErrOutcomeUnknown: 1, idempotency.ErrStoreUnavailable: 1, idempotency.ErrInProgress: 1,
	}, s.Refused)
	assert.EqualValues(t, 12, s.Store.Count())
	assert.Positive(t, s.Store.Sum)
	assert.EqualValues(t, 12, s.Duration.Count())
	assert.EqualValues(t, 2, s.Wait.Count(), "those who waited, and no others")
	assert.Greater(t, s.Wait.Sum, wait*9/10)
	assert.Less(t, s.Wait.Sum, s.Duration.Sum)
	assert.Zero(t, s.Waiting)
	assert.Zero(t, s.InFlight)
	// The hooks tell the same, for metrics with labels of one's own.
	require.Len(t, n.events.finished, 13)
	require.Len(t, n.events.lost, 1)
	waited := 0
	for range 13 {
		if (<-n.events.finished).Waited > 0 {
			waited++
		}
	}
	assert.Equal(t, 2, waited)
}

func TestA14_KeysForDownstreamServices(t *testing.T) {
	t.Parallel()
	type pair [2]string
	keys := make(chan pair, 4)
	ask := func(w http.ResponseWriter, r *http.Request) {
		info, _ := idempotency.FromContext(r.Context())
		keys <- pair{info.DownstreamKey("card processor"), info.DownstreamKey("shipping")}
		w.WriteHeader(http.StatusServiceUnavailable) // released: a retry runs again
	}
	s := newService(t, setup{handler: ask})
	require.NoError(t, s.MW.Handle(s.Mux, "POST /refunds", http.HandlerFunc(ask)))
	c := call{key: "customer-4711", tenant: "P1"}
	send(t, s.URL, c)
	send(t, s.URL, c)
	first, again := <-keys, <-keys
	assert.Equal(t, first, again, "the same for every attempt")

	another := make(map[string]bool)
	expect := func(what string, given pair) {
		for i, key := range given {
			assert.False(t, another[key], "%s: another one than all before, service %d", what, i)
			another[key] = true
			requireOpaque(t, key, c.key, "tenant-P1", "tenant-P2", "card processor", "shipping")
		}
	}
	expect("each service", first)
	send(t, s.Server.URL+"/refunds", c)
	expect("each operation", <-keys)
	c.tenant = "P2"
	send(t, s.URL, c)
	expect("each caller", <-keys)
	c.key = "customer-4712"
	send(t, s.URL, c)
	expect("each key", <-keys)
}

// requireOpaque asserts that a downstream key shows nothing of what it is made
// of: neither as it is nor in hex, nor the record's name or a plain digest of
// it, by which somebody who guesses could check.
func requireOpaque(t *testing.T, key string, parts ...string) {
	t.Helper()
	plain := strings.ReplaceAll(key, "-", "")
	require.Regexp(t, `^[0-9a-f]{32}$`, plain)
	visible := func(word string) bool { return strings.Contains(plain, word) || strings.Contains(key, word) }
	for _, part := range parts {
		assert.False(t, visible(part), part)
		assert.False(t, visible(hex.EncodeToString([]byte(part))), part)
		digest := sha256.Sum256([]byte(part))
		assert.False(t, visible(hex.EncodeToString(digest[:])[:8]), part)
		for _, tenant := range []string{"tenant-P1", "tenant-P2"} {
			for _, operation := range []string{"POST /orders", "POST /refunds"} {
				id := store.NewID(tenant, operation, part).String()
				assert.False(t, visible(id[:8]), "the record of %s", part)
				assert.False(t, visible(hex.EncodeToString([]byte(id[:4]))), "the record of %s", part)
			}
		}
	}
}
