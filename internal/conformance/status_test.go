package conformance_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

// mountStatus mounts the status of R and returns where it is.
func mountStatus(t *testing.T, s *service) string {
	t.Helper()
	status, err := s.MW.Status("POST /orders")
	require.NoError(t, err)
	s.Mux.Handle("/orders/status", status)
	return s.URL + "/status"
}

// progress is the answer to a question after the status.
type progress struct {
	State      string    `json:"state"`
	Attempt    int       `json:"attempt"`
	FirstSeen  time.Time `json:"first_seen"`
	Started    time.Time `json:"started"`
	Finished   time.Time `json:"finished"`
	Expires    time.Time `json:"expires"`
	RetryAfter int       `json:"retry_after"`
}

func askStatus(t *testing.T, url string, c call) (progress, response) {
	t.Helper()
	c.method, c.body = http.MethodGet, ""
	resp := send(t, url, c)
	require.Equal(t, 200, resp.Status, resp.Body)
	assert.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	assert.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	assert.Empty(t, resp.Header.Get("Idempotent-Replayed"), "nothing is replayed")
	var p progress
	require.NoError(t, json.Unmarshal([]byte(resp.Body), &p), resp.Body)
	return p, resp
}

// The question may be put to any node, and changes nothing.
func TestX1_StatusTellsWhatBecameOfAnOperation(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	goOn := make(chan int)
	node := newService(t, setup{namespace: ns, handler: func(w http.ResponseWriter, r *http.Request) {
		var status int
		select {
		case status = <-goOn:
		case <-t.Context().Done():
			return
		}
		if status == http.StatusGatewayTimeout {
			assert.NoError(t, idempotency.MarkEffect(r.Context()))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "the answer")
	}})
	other := newService(t, setup{namespace: ns})
	url := mountStatus(t, other)

	for _, test := range []struct {
		ends int
		want string
	}{{201, "completed"}, {503, "released"}, {504, "unknown"}} {
		c := call{key: newKey(), body: "B"}
		absent, resp := askStatus(t, url, c)
		assert.Equal(t, progress{State: "absent"}, absent)
		assert.JSONEq(t, `{"state":"absent"}`, resp.Body)

		began := time.Now().Truncate(time.Second)
		answer := background(t, node.URL, c)
		var running progress
		eventually(t, "it runs", func() bool {
			running, resp = askStatus(t, url, c)
			return running.State == "running"
		})
		assert.Equal(t, 1, running.Attempt)
		assert.WithinRange(t, running.FirstSeen, began.Add(-time.Second), time.Now())
		assert.Equal(t, running.FirstSeen, running.Started)
		assert.Zero(t, running.Finished)
		assert.GreaterOrEqual(t, running.RetryAfter, 1)
		assert.Equal(t, strconv.Itoa(running.RetryAfter), resp.Header.Get("Retry-After"))

		goOn <- test.ends
		require.Equal(t, test.ends, (<-answer).Status)
		ended, resp := askStatus(t, url, c)
		assert.Equal(t, test.want, ended.State)
		assert.Equal(t, running.FirstSeen, ended.FirstSeen)
		assert.False(t, ended.Finished.Before(ended.Started))
		assert.True(t, ended.Expires.After(ended.Finished))
		assert.Zero(t, ended.RetryAfter)
		assert.Empty(t, resp.Header.Get("Retry-After"))
		assert.NotContains(t, resp.Body, "the answer", "send the request again to get it")
	}
	assert.Equal(t, 3, node.Runs())
	assert.Zero(t, other.Runs())
}

func TestX1_LapsedLeaseIsUnknownAndStaysUntouched(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	s := newService(t, setup{namespace: ns, policy: idempotency.Policy{Lease: 300 * time.Millisecond}})
	url := mountStatus(t, s)
	c := call{key: newKey()}
	requireExecuted(t, send(t, s.URL, c))
	// As if the process had died at work: nobody renews.
	name := recordName(ns, idOf(c.key))
	rdb := shared.Server(t).Client(t)
	deadClaim(t, ns, idOf(c.key), 300*time.Millisecond)
	before := rdb.Get(t.Context(), name).Val()
	eventually(t, "the lease lapses", func() bool {
		p, _ := askStatus(t, url, c)
		return p.State == "unknown"
	})
	assert.Equal(t, before, rdb.Get(t.Context(), name).Val())
}

func TestX1_StatusRefusesLikeTheRoute(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	s := newService(t, setup{redis: srv.Client(t), guard: []idempotency.Option{idempotency.WithStoreTimeout(200 * time.Millisecond)}})
	url := mountStatus(t, s)
	ask := func(c call) response {
		c.method = http.MethodGet
		return send(t, url, c)
	}
	requireProblem(t, ask(call{}), 400, "idempotency_key_missing")
	requireProblem(t, ask(call{key: "a, b"}), 400, "idempotency_key_invalid")
	requireProblem(t, ask(call{key: "k", tenant: "none"}), 500, "scope_missing")
	assert.Equal(t, 405, send(t, url, call{key: "k"}).Status)
	srv.Kill()
	resp := ask(call{key: "k"})
	requireProblem(t, resp, 503, "store_unavailable")
	assert.NotEmpty(t, resp.Header.Get("Retry-After"))
}

// Neither the answer nor the server's work tells whether somebody else has used
// the key.
func TestX2_StatusOfAForeignKeyIsThatOfAnUnknownOne(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	s := newService(t, setup{redis: srv.Client(t)})
	url := mountStatus(t, s)
	foreign := call{key: newKey(), tenant: "owner", body: strings.Repeat("B", 10_000)}
	requireExecuted(t, send(t, s.URL, foreign))
	own, _ := askStatus(t, url, foreign)
	require.Equal(t, "completed", own.State)

	ask := func(key string) (response, redistest.CommandCounts) {
		before := srv.CommandCounts()
		_, resp := askStatus(t, url, call{key: key, tenant: "stranger"})
		did := srv.CommandCounts().Since(before)
		delete(did, "info") // our own look
		delete(resp.Header, "Date")
		return resp, did
	}
	ask(newKey()) // scripts and connections are there after this
	seen, work := ask(foreign.key)
	unseen, sameWork := ask(newKey())
	assert.Equal(t, unseen, seen)
	assert.JSONEq(t, `{"state":"absent"}`, seen.Body)
	assert.Equal(t, sameWork, work)
	require.NotEmpty(t, work)
	own, _ = askStatus(t, url, foreign)
	assert.Equal(t, "completed", own.State, "it was not disturbed")
}
