package conformance_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// What services do around a protected route, and what must not come of it.

func form(key, body string) call {
	return call{key: key, body: body, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
}

func TestScopeMayReadTheForm(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{
		http: []idemhttp.Option{idemhttp.Scope(func(r *http.Request) (string, error) {
			return r.FormValue("merchant"), nil
		})},
		handler: func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "charged "+r.FormValue("amount"))
		},
	})
	first := send(t, s.URL, form("k", "merchant=m&amount=10"))
	requireExecuted(t, first)
	assert.Equal(t, "charged 10", first.Body)
	requireReplay(t, first, send(t, s.URL, form("k", "merchant=m&amount=10")))
	requireProblem(t, send(t, s.URL, form("k", "merchant=m&amount=99999")), 422, "idempotency_key_reused")
	requireExecuted(t, send(t, s.URL, form("k", "merchant=other&amount=99999")))
}

func TestBodyReadByAMiddlewareOutsideIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			next.ServeHTTP(w, r)
		})
	}})
	resp := send(t, s.URL, form("k", "amount=10"))
	assert.Equal(t, 500, resp.Status)
	assert.Contains(t, resp.Body, "has read the request body")
	assert.Zero(t, s.Runs())
	requireExecuted(t, send(t, s.URL, call{key: "k", body: `{"amount":10}`})) // ParseForm left that alone
}

// A gateway that is protected and forwards to a protected service must not
// record what that one says about a request.
func TestO11_AnswersOfAProtectedServiceBehindAreNotRecordedAsResults(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	service := newService(t, setup{handler: handler})
	target, err := url.Parse(service.Server.URL)
	require.NoError(t, err)
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	gateway := newService(t, setup{handler: forward.ServeHTTP})

	c := call{key: newKey(), body: "B"}
	direct := background(t, service.URL, c)
	<-started
	conflict := send(t, gateway.URL, c)
	assert.Equal(t, 409, conflict.Status)
	assert.Equal(t, "unrecorded", conflict.Header.Get("Idempotency-Status"))
	close(goOn)
	<-direct
	first := send(t, gateway.URL, c)
	assert.Equal(t, "done", first.Body)
	requireExecuted(t, first) // its own first answer, though the service behind replayed
	requireReplay(t, first, send(t, gateway.URL, c))
}

func TestSwitchingProtocolsIsNoAnswer(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(101) }})
	c := call{key: newKey()}
	_, _ = trySend(t, s.URL, c)
	requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown")
}

func TestBatchMayDispatchToAnotherProtectedRoute(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	require.NoError(t, s.MW.Handle(s.Mux, "POST /batch", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := r.Clone(r.Context())
		inner.URL.Path = "/orders"
		s.Mux.ServeHTTP(w, inner)
	})))
	c := call{key: newKey(), body: "B"}
	assert.Equal(t, 201, send(t, s.Server.URL+"/batch", c).Status)
	assert.Equal(t, 1, s.Runs())
}

func TestContentTypeDoesNotSwitchProtectionOff(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	for _, contentType := range []string{"application/grpcx", "application/grpcs+json", "text/plain"} {
		resp := send(t, s.URL, call{header: http.Header{"Content-Type": {contentType}}})
		requireProblem(t, resp, 400, "idempotency_key_missing")
	}
	for _, contentType := range []string{"application/grpc", "application/grpc+proto", "application/grpc-web", "application/grpc;x=y"} {
		resp := send(t, s.URL, call{header: http.Header{"Content-Type": {contentType}}})
		assert.Equal(t, 201, resp.Status, contentType)
	}
}

func TestNilHandlersAreFoundBeforeAnythingIsClaimed(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	require.ErrorContains(t, s.MW.Handle(s.Mux, "POST /a", nil), "handler is nil")
	require.ErrorContains(t, s.MW.Handle(s.Mux, "POST /b", http.HandlerFunc(nil)), "handler is nil")
	require.ErrorContains(t, s.MW.Handle(nil, "POST /c", http.NotFoundHandler()), "mux is nil")
	protect, err := s.MW.Protect("d")
	require.NoError(t, err)
	recorder := httptest.NewRecorder()
	protect(nil).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/d", strings.NewReader("B")))
	assert.Equal(t, 500, recorder.Code)
	assert.Contains(t, recorder.Body.String(), "no handler")
}

func TestPassedThroughHandlerThatIsDeposedLeavesNoHeader(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	ns := namespaceOf(t)
	s := newService(t, setup{
		namespace: ns,
		policy:    idempotency.Policy{Stream: idempotency.StreamPass},
		handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Set-Cookie", "sid=secret")
			w.Header().Set("Location", "/orders/77")
			rdb := srv.Client(t)
			for _, name := range srv.Keys(ns + ":*") { // an operator settles it
				record := rdb.Get(r.Context(), name).Val()
				rdb.Set(r.Context(), name, record[:129]+strings.Repeat("a", 32)+record[161:], redis.KeepTTL)
			}
		},
	})
	resp := send(t, s.URL, call{key: newKey()})
	requireProblem(t, resp, 503, "lease_lost")
	assert.Empty(t, resp.Header.Get("Set-Cookie"))
	assert.Empty(t, resp.Header.Get("Location"))
}
