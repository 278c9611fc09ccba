package conformance_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func TestA1_CallersOfTwoScopesDoNotMeet(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	s := newService(t, setup{handler: handler})
	key := newKey()
	first := background(t, s.URL, call{key: key, tenant: "P1", body: "B"})
	<-started
	// While the first runs: no conflict for the other, whatever its body.
	second := background(t, s.URL, call{key: key, tenant: "P2", body: "B'"})
	<-started
	close(goOn)
	requireExecuted(t, <-first)
	requireExecuted(t, <-second)
	third := send(t, s.URL, call{key: key, tenant: "P3", body: "B"})
	requireExecuted(t, third)
	assert.Equal(t, 3, s.Runs())
}

func TestA3_ScopeMustBeChosen(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	_, err := idemhttp.New(s.Guard)
	require.ErrorContains(t, err, "scope")
	_, err = idemhttp.New(s.Guard, idemhttp.Scope(nil))
	require.ErrorContains(t, err, "Scope")
	_, err = idemhttp.New(s.Guard, idemhttp.GlobalScope(), idemhttp.Scope(tenant))
	require.ErrorContains(t, err, "twice")
	_, err = idemhttp.New(s.Guard, idemhttp.GlobalScope())
	require.NoError(t, err)
}

func TestA4_EmptyScopeAtRunTimeIsClosed(t *testing.T) {
	t.Parallel()
	for name, scope := range map[string]func(*http.Request) (string, error){
		"empty": func(*http.Request) (string, error) { return "", nil },
		"error": func(*http.Request) (string, error) { return "x", errors.New("canary-no-session") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := shared.Server(t)
			ns := namespaceOf(t)
			s := newService(t, setup{namespace: ns, http: []idemhttp.Option{idemhttp.Scope(scope)}})
			resp := send(t, s.URL, call{key: newKey(), body: "B"})
			requireProblem(t, resp, 500, "scope_missing")
			assert.NotContains(t, resp.Body, "canary")
			assert.Zero(t, s.Runs())
			assert.Empty(t, srv.Keys(ns+":*"))
		})
	}
}

// authenticated stands outside the idempotency middleware.
func authenticated(valid func(token string) bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !valid(r.Header.Get("X-Token")) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestA6_F71_ExpiredTokenIsRefusedBeforeTheRecordIsAsked(t *testing.T) {
	t.Parallel()
	expired := false
	st := &countingStore{Store: setup{}.openStore(t)}
	s := newService(t, setup{store: st, wrap: authenticated(func(string) bool { return !expired })})
	c := call{key: newKey(), body: "B"}
	first := send(t, s.URL, c)
	requireExecuted(t, first)
	asked := st.calls.Load()
	expired = true
	refused := send(t, s.URL, c)
	assert.Equal(t, 401, refused.Status)
	assert.Empty(t, refused.Body)
	assert.Equal(t, asked, st.calls.Load())
	expired = false
	requireReplay(t, first, send(t, s.URL, c))
}

func TestA7_F71_SessionThatSwitchesTenantGetsNoReplay(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	key := newKey()
	session := http.Header{"X-Session": {"same"}}
	first := send(t, s.URL, call{key: key, tenant: "P1", header: session})
	second := send(t, s.URL, call{key: key, tenant: "P2", header: session})
	requireExecuted(t, first)
	requireExecuted(t, second)
	assert.NotEqual(t, first.Body, second.Body)
	requireReplay(t, first, send(t, s.URL, call{key: key, tenant: "P1", header: session}))
}

func TestA13_ProblemsDoNotEchoTheKey(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{policy: idempotency.Policy{MaxRequestBody: 20}})
	const key = "canary-key-A13"
	send(t, s.URL, call{key: key, body: "B"})
	for _, c := range []call{
		{key: key, body: "canary-body-A13"},
		{key: key + "\t\xff"},
		{key: key, body: "canary-body-A13, and over the limit"},
		{key: key, tenant: "none"},
	} {
		resp := send(t, s.URL, c)
		assert.GreaterOrEqual(t, resp.Status, 400)
		assert.NotContains(t, resp.Body, "canary")
		for name, values := range resp.Header {
			for _, value := range values {
				assert.NotContains(t, value, "canary", name)
			}
		}
	}
}

func TestWriteErrorsReplacesTheProblems(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{http: []idemhttp.Option{
		idemhttp.GlobalScope(),
		idemhttp.WriteErrors(func(w http.ResponseWriter, _ *http.Request, status int, err *idempotency.Error) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "own: "+string(err.Code))
		}),
	}})
	resp := send(t, s.URL, call{})
	assert.Equal(t, 400, resp.Status)
	assert.Equal(t, "own: idempotency_key_missing", resp.Body)
	assert.Equal(t, "rejected", resp.Header.Get("Idempotency-Status"))
}
