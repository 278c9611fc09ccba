package idemhttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

// The requests of a route over three deployments. What counts of the last two is
// what the first has, and more.
type (
	versionOne   struct{ Amount int64 }
	versionTwo   struct{ Amount, Fee int64 }
	versionOther struct{ Sum int64 }

	versionTagged struct {
		Amount int64
		Note   string `idempotency:"-"`
	}
)

func echo[Req any](context.Context, Req) (string, error) { return "done", nil }

// F23: deployments follow each other while keys are in use. A retry must never
// look like another request because of that, and another request never like a retry.
func TestF23_RetriesOverDeploymentsOfATypedRoute(t *testing.T) {
	t.Parallel()
	plainHandler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "done")
	})
	asJSON := idempotency.Policy{Fingerprint: idempotency.FingerprintJSON}
	version := idempotency.Policy{FingerprintHeaders: []string{"X-Version"}}
	other := idempotency.Policy{FingerprintHeaders: []string{"X-Other"}}
	one := deployment{handler: idemhttp.JSON(echo[versionOne])}
	two := deployment{handler: idemhttp.JSON(echo[*versionTwo])}
	tagged := deployment{handler: idemhttp.JSON(echo[versionTagged])}
	tests := []struct {
		name          string
		before, after deployment
		body, want    string
	}{
		{"no change", one, one, `{"Amount":5}`, "200 replayed"},
		{"no change, another request", one, one, `{"Amount":6}`, "422 mismatch"},
		{"a new field that is not set", one, two, `{"Amount":5}`, "200 replayed"},
		{"a new field that is set to zero", one, two, `{"Amount":5,"Fee":0}`, "422 mismatch"},
		{"a new field, another request", one, two, `{"Amount":6}`, "422 mismatch"},
		{"back again", two, one, `{"Amount":5}`, "200 replayed"},
		{"another struct", one, deployment{handler: idemhttp.JSON(echo[versionOther])}, `{"Sum":5}`, "422 mismatch"},
		{"typed now", deployment{handler: plainHandler}, one, `{"Amount":5}`, "200 replayed"},
		{"typed now, another request", deployment{handler: plainHandler}, one, `{"Amount":6}`, "422 mismatch"},
		{"typed now, JSON before", deployment{handler: plainHandler, policy: asJSON}, one, ` {"Amount": 5} `, "200 replayed"},
		{"typed no more", one, deployment{handler: plainHandler}, `{"Amount":5}`, "200 replayed"},
		{"typed no more, another request", one, deployment{handler: plainHandler}, `{"Amount":6}`, "422 mismatch"},
		{"a tag now", one, tagged, `{"Amount":5}`, "200 replayed"},
		{"a tag no more", tagged, one, `{"Amount":5}`, "503 rejected"},
		{"a tag no more, and that is said", tagged, deployment{handler: one.handler, former: excluding("/Note")}, `{"Amount":5}`, "200 replayed"},
		{"a tag no more, another request", tagged, deployment{handler: one.handler, former: excluding("/Note")}, `{"Amount":6}`, "422 mismatch"},
		{"by the key alone now", one, deployment{handler: one.handler, policy: idempotency.Policy{Fingerprint: idempotency.FingerprintOff}}, `{"Amount":5}`, "200 replayed"},
		{"headers count as before", deployment{handler: one.handler, policy: version}, deployment{handler: one.handler, policy: version}, `{"Amount":5}`, "200 replayed"},
		{"headers count as before, a new field", deployment{handler: one.handler, policy: version}, deployment{handler: two.handler, policy: version}, `{"Amount":5}`, "200 replayed"},
		{"other headers count", deployment{handler: one.handler, policy: version}, deployment{handler: one.handler, policy: other}, `{"Amount":5}`, "503 rejected"},
		{"headers count now", one, deployment{handler: one.handler, policy: version}, `{"Amount":5}`, "200 replayed"},
		{"headers count no more", deployment{handler: one.handler, policy: version}, one, `{"Amount":5}`, "503 rejected"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			records, err := memstore.New()
			require.NoError(t, err)
			require.Equal(t, "200 executed", tt.before.ask(t, records, `{"Amount":5}`))
			assert.Equal(t, tt.want, tt.after.ask(t, records, tt.body))
		})
	}
	// What one deployment cannot read, the next one can: it has its answer.
	t.Run("a member that was unknown", func(t *testing.T) {
		t.Parallel()
		records, err := memstore.New()
		require.NoError(t, err)
		require.Equal(t, "400 executed", one.ask(t, records, `{"Amount":5,"Fee":1}`))
		assert.Equal(t, "400 replayed", two.ask(t, records, `{"Amount":5,"Fee":1}`))
		assert.Equal(t, "422 mismatch", two.ask(t, records, `{"Amount":5,"Fee":2}`))
	})
}

// deployment is a process with one route.
type deployment struct {
	handler http.Handler
	policy  idempotency.Policy
	former  []idempotency.Policy
}

func excluding(pointers ...string) []idempotency.Policy {
	return []idempotency.Policy{{Fingerprint: idempotency.FingerprintJSON, FingerprintExclude: pointers}}
}

// ask starts a process on the records, and sends it one request.
func (d deployment) ask(t *testing.T, records *memstore.Store, body string) string {
	t.Helper()
	guard, err := idempotency.New(records)
	require.NoError(t, err)
	defer func() { assert.NoError(t, guard.Shutdown(context.Background())) }()
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope(), idemhttp.FormerFingerprints(d.former...))
	require.NoError(t, err)
	status, mark, _ := strings.Cut(said(asked(t, mountTyped(t, mw, d.handler, d.policy), "k", body)), " ")
	mark, _, _ = strings.Cut(mark, " ")
	return status + " " + mark
}

func TestF14_HeadersPathAndQueryCountForATypedRoute(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	require.NoError(t, newMiddleware(t).Handle(mux, "POST /a/{id}", idemhttp.JSON(echo[versionOne]),
		idempotency.Policy{FingerprintHeaders: []string{"X-Version"}}))
	send := func(target, version, contentType string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(`{"Amount":5}`))
		r.Header.Set("Idempotency-Key", "k")
		r.Header.Set("X-Version", version)
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Header().Get("Idempotency-Status")
	}
	assert.Equal(t, "executed", send("/a/1?q=1", "1", "application/json"))
	assert.Equal(t, "replayed", send("/a/1?q=1", "1", "text/plain"))
	assert.Equal(t, "replayed", send("/a/1?q=1", "1", "application/x-www-form-urlencoded"))
	assert.Equal(t, "mismatch", send("/a/1?q=1", "2", "application/json"))
	assert.Equal(t, "mismatch", send("/a/1?q=2", "1", "application/json"))
	assert.Equal(t, "mismatch", send("/a/2?q=1", "1", "application/json"))
}

// What a handler does to its request must not make a retry look like another one.
func TestJSON_HandlerMayChangeItsRequest(t *testing.T) {
	t.Parallel()
	handler := mountTyped(t, newMiddleware(t), idemhttp.JSON(func(_ context.Context, req *versionOne) (int64, error) {
		req.Amount *= 2
		return req.Amount, nil
	}), idempotency.Policy{})
	assert.Equal(t, "200 executed 10", said(asked(t, handler, "k", `{"Amount":5}`)))
	assert.Equal(t, "200 replayed 10", said(asked(t, handler, "k", `{"Amount":5}`)))
	assert.Equal(t, "422 mismatch idempotency_key_reused", said(asked(t, handler, "k", `{"Amount":10}`)))
}
