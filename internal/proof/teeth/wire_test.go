package teeth_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a protected handler with a session for each tenant, and what is wrong
// with its core.
type service struct {
	policy       idempotency.Policy
	scopeMissing bool
	cookieKept   bool
}

// running is a service that requests can be sent to.
type running struct {
	handler http.Handler
	store   *outage
	runs    atomic.Int64
}

// outage is a store that can be out of reach.
type outage struct {
	store.Store
	down atomic.Bool
}

// Apply implements [store.Store].
func (s *outage) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	if s.down.Load() {
		return store.Reply{}, store.ErrUnavailable
	}
	return s.Store.Apply(ctx, id, event)
}

func (s service) start(t *testing.T) *running {
	t.Helper()
	memory, err := memstore.New()
	require.NoError(t, err)
	r := &running{store: &outage{Store: memory}}
	guard, err := idempotency.New(r.store)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.WithoutCancel(t.Context()))) })
	scope := idemhttp.Scope(func(req *http.Request) (string, error) { return tenant(req), nil })
	if s.scopeMissing {
		scope = idemhttp.GlobalScope()
	}
	mw, err := idemhttp.New(guard, scope, idemhttp.RecordHeaders(smuggled))
	require.NoError(t, err)
	protect, err := mw.Protect("pay", s.policy)
	require.NoError(t, err)
	r.handler = protect(http.HandlerFunc(r.pay))
	if s.cookieKept {
		r.handler = keepCookies(protect, r.pay)
	}
	return r
}

func tenant(req *http.Request) string { return req.Header.Get("Tenant") }

// pay answers its caller, by name, and gives him a session.
func (r *running) pay(w http.ResponseWriter, req *http.Request) {
	n := r.runs.Add(1)
	http.SetCookie(w, &http.Cookie{Name: "session", Value: tenant(req)})
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, "payment %d of %s", n, tenant(req))
}

// smuggled is a field in which a cookie gets into the record.
const smuggled = "X-Smuggled"

// keepCookies is a core that records cookies: no option makes the right one do it.
func keepCookies(protect func(http.Handler) http.Handler, handler http.HandlerFunc) http.Handler {
	inner := protect(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		forward(w, record(handler, req), "Set-Cookie", smuggled)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		forward(w, record(inner, req), smuggled, "Set-Cookie")
	})
}

func record(handler http.Handler, req *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, req)
	return answer
}

// forward writes an answer, one of its fields under another name.
func forward(w http.ResponseWriter, answer *httptest.ResponseRecorder, field, as string) {
	maps.Copy(w.Header(), answer.Header())
	for _, value := range answer.Header().Values(field) {
		w.Header().Add(as, value)
	}
	w.Header().Del(field)
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (r *running) send(t *testing.T, tenant, key string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/payments", strings.NewReader(`{"amount":5}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("Tenant", tenant)
	return record(r.handler, req)
}

// wireRule tells what breaks it, or nothing.
type wireRule func(t *testing.T, r *running) string

func served(s service, rule wireRule) catch {
	return func(t *testing.T) string {
		t.Helper()
		return rule(t, s.start(t))
	}
}

// scoped (I7): nothing of one scope is seen from another.
func scoped(t *testing.T, r *running) string {
	t.Helper()
	r.send(t, "ada", "k")
	answer := r.send(t, "bob", "k")
	if answer.Code != http.StatusCreated || !strings.HasSuffix(answer.Body.String(), "of bob") {
		return fmt.Sprintf("bob got %d %q", answer.Code, answer.Body)
	}
	return ""
}

// cookieless (I7): a replay sets no cookie.
func cookieless(t *testing.T, r *running) string {
	t.Helper()
	first, replay := r.send(t, "ada", "k"), r.send(t, "ada", "k")
	require.NotEmpty(t, first.Header().Values("Set-Cookie"), "the first answer has its cookie")
	require.Equal(t, "true", replay.Header().Get("Idempotent-Replayed"))
	if cookies := replay.Header().Values("Set-Cookie"); len(cookies) > 0 {
		return fmt.Sprintf("the replay sets %q", cookies)
	}
	return ""
}

// closed (I9): while the store cannot be asked, the handler does not run.
func closed(t *testing.T, r *running) string {
	t.Helper()
	r.store.down.Store(true)
	defer r.store.down.Store(false)
	answer := r.send(t, "ada", "k")
	if runs := r.runs.Load(); runs > 0 || answer.Code != http.StatusServiceUnavailable {
		return fmt.Sprintf("%d runs, and the answer is %d", runs, answer.Code)
	}
	return ""
}
