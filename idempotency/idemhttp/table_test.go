package idemhttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

func newRequest(t *testing.T, method, path string) *http.Request {
	t.Helper()
	return httptest.NewRequestWithContext(t.Context(), method, path, nil)
}

// malformed returns a table with one handler under a tag that no compiler checks.
func malformed(tag string) any {
	table := reflect.StructOf([]reflect.StructField{{
		Name: "Create", Type: reflect.TypeFor[http.HandlerFunc](), Tag: reflect.StructTag(tag),
	}})
	v := reflect.New(table).Elem()
	v.Field(0).Set(reflect.ValueOf(http.HandlerFunc(noop)))
	return v.Interface()
}

// counting is a handler that knows how often it ran.
type counting struct{ runs int }

func (c *counting) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.runs++
	_, _ = io.WriteString(w, "done")
}

type embeddedRoutes struct {
	Touch *counting `route:"PUT /touch" idempotency:"off"`
}

type paymentRoutes struct {
	Create http.Handler                             `route:"POST /payments" idempotency:"retention=72h"`
	Refund *counting                                `route:"POST /payments/{id}/refunds" operation:"refunds"`
	Read   func(http.ResponseWriter, *http.Request) `route:"GET /payments/{id}"`
	Hosted http.HandlerFunc                         `route:"DELETE api.example/payments/{id}"`
	Admin  *adminRoutes                             `route:"/admin" idempotency:"wait=none"`
}

type adminRoutes struct {
	Settle http.HandlerFunc `route:"/settle/" idempotency:"required"`
}

type allRoutes struct {
	embeddedRoutes
	V1     paymentRoutes    `route:"/v1" idempotency:"optional,retention=48h,wait=2s"`
	Health http.HandlerFunc `route:"GET /healthz" idempotency:"off"`

	Log    io.Writer // neither of these is a route
	Server *http.Server
	secret func()
}

func newTable() *allRoutes {
	return &allRoutes{
		embeddedRoutes: embeddedRoutes{&counting{}},
		V1: paymentRoutes{
			Create: &counting{}, Refund: &counting{}, Read: noop, Hosted: noop,
			Admin: &adminRoutes{Settle: noop},
		},
		Health: noop,
		secret: func() {},
	}
}

// The precedence is defaults, guard, table, struct, handler.
func TestMount_PatternsPoliciesAndNamesAreThoseOfTheTags(t *testing.T) {
	t.Parallel()
	mw := newMiddleware(t, idempotency.WithPolicy(idempotency.Policy{Lease: time.Second, Orphan: idempotency.OrphanRerun}))
	err := mw.Mount(http.NewServeMux(), newTable(),
		idemhttp.TablePolicy(idempotency.Policy{Orphan: idempotency.OrphanRerunUnmarked, Wait: time.Minute}),
		idemhttp.ForRoute("V1.Refund", idempotency.Policy{Key: idempotency.KeyRequired, Headers: []string{"X-Cost"}}))
	require.NoError(t, err)

	base := idempotency.DefaultPolicy()
	base.Lease, base.Orphan, base.Wait = time.Second, idempotency.OrphanRerunUnmarked, time.Minute
	with := func(words string) idempotency.Policy {
		said, err := idempotency.ParsePolicy(words)
		require.NoError(t, err)
		return base.Override(said)
	}
	health := with("off")
	health.Orphan, health.Wait = idempotency.OrphanRerun, idempotency.NoWait // reads inherit from the guard only
	assert.Equal(t, []idemhttp.Route{
		{Pattern: "PUT /touch", Operation: "PUT /touch", Policy: with("off")},
		{Pattern: "POST /v1/payments", Operation: "POST /v1/payments", Policy: with("optional,retention=72h,wait=2s"), Protected: true},
		{Pattern: "POST /v1/payments/{id}/refunds", Operation: "refunds", Policy: with("required,retention=48h,wait=2s,headers=X-Cost"), Protected: true},
		{Pattern: "GET /v1/payments/{id}"},
		{Pattern: "DELETE api.example/v1/payments/{id}", Operation: "DELETE api.example/v1/payments/{id}", Policy: with("optional,retention=48h,wait=2s"), Protected: true},
		{Pattern: "/v1/admin/settle/", Operation: "/v1/admin/settle/", Policy: with("required,retention=48h,wait=none"), Protected: true},
		{Pattern: "GET /healthz", Operation: "GET /healthz", Policy: health},
	}, mw.Routes())
}

func TestMount_RoutesAreServedAndProtected(t *testing.T) {
	t.Parallel()
	mw, mux, table := newMiddleware(t), http.NewServeMux(), newTable()
	require.NoError(t, mw.Mount(mux, table))
	tests := []struct {
		method, path string
		marks        []string // of two requests with one key
		ran          *counting
		runs         int
	}{
		{http.MethodPost, "/v1/payments", []string{"executed", "replayed"}, table.V1.Create.(*counting), 1},
		{http.MethodPost, "/v1/payments/1/refunds", []string{"executed", "replayed"}, table.V1.Refund, 1},
		{http.MethodPut, "/touch", []string{"ignored", "ignored"}, table.Touch, 2},
	}
	for _, tt := range tests {
		var marks []string
		for range 2 {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, keyedRequest(t.Context(), tt.method, tt.path, "k"))
			assert.Equal(t, "done", w.Body.String(), tt.path)
			marks = append(marks, w.Header().Get("Idempotency-Status"))
		}
		assert.Equal(t, tt.marks, marks, tt.path)
		assert.Equal(t, tt.runs, tt.ran.runs, tt.path)
	}
}

func TestMount_UndeclaredRoutesAreMountedUnprotectedIfThatIsSaid(t *testing.T) {
	t.Parallel()
	mw, mux := newMiddleware(t), http.NewServeMux()
	handler := &counting{}
	require.NoError(t, mw.Mount(mux, &struct {
		Create http.Handler `route:"POST /a"`
		Update http.Handler `route:"PUT /a" idempotency:"required"`
	}{handler, handler}, idemhttp.AllowUndeclared()))
	for range 2 {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, keyedRequest(t.Context(), http.MethodPost, "/a", "k"))
		assert.Empty(t, w.Header().Get("Idempotency-Status"))
	}
	assert.Equal(t, 2, handler.runs)
	assert.Equal(t, idemhttp.Route{Pattern: "POST /a"}, mw.Routes()[0])
	assert.True(t, mw.Routes()[1].Protected)
}

// What is not protected may stand in any chain.
func TestMount_UnprotectedRoutesMayHaveATimeoutInside(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	require.NoError(t, newMiddleware(t).Mount(mux, struct {
		Read http.Handler `route:"GET /a"`
		Off  http.Handler `route:"POST /a" idempotency:"off"`
	}{http.TimeoutHandler(&counting{}, time.Minute, ""), http.TimeoutHandler(&counting{}, time.Minute, "")}))
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, newRequest(t, method, "/a"))
		assert.Equal(t, "done", w.Body.String())
	}
}

// What no tag can say.
func TestMount_OptionsOfOneRouteStandBesideItsTag(t *testing.T) {
	t.Parallel()
	mw := newMiddleware(t)
	ask := func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
		return idempotency.StillUnknown(), nil
	}
	create := idemhttp.ForRoute("V1.Create", idempotency.Reconcile(ask))
	require.NoError(t, mw.Mount(http.NewServeMux(), newTable(), create))
	policy := mw.Routes()[1].Policy
	assert.Equal(t, 72*time.Hour, policy.Retention, "the tag's")
	_, err := mw.Protect("POST /v1/payments", policy)
	require.ErrorContains(t, err, "or a Reconcile")

	err = newMiddleware(t).Mount(http.NewServeMux(), newTable(), idemhttp.ForRoute("V1.Create", idempotency.Reconcile(nil)))
	require.ErrorContains(t, err, "idemhttp: allRoutes.V1.Create: ")
	require.ErrorContains(t, err, "Reconcile: the function is nil")
}

// chiLike is a mux that knows no patterns of http.ServeMux.
type chiLike map[string]http.Handler

func (m chiLike) Handle(pattern string, handler http.Handler) { m[pattern] = handler }

func TestMount_WorksOnAnythingWithHandle(t *testing.T) {
	t.Parallel()
	mw, mux := newMiddleware(t), chiLike{}
	require.NoError(t, mw.Mount(mux, struct {
		Create *counting `route:"/orders/{id:[0-9]+}" idempotency:"required"`
	}{&counting{}}))
	require.Contains(t, mux, "/orders/{id:[0-9]+}")
	w := httptest.NewRecorder()
	mux["/orders/{id:[0-9]+}"].ServeHTTP(w, newRequest(t, http.MethodPost, "/orders/7"))
	assert.Equal(t, http.StatusBadRequest, w.Code, "no key")
}

func TestRoutes_ListWhatHandleMountsWithThePolicyAsItIsNow(t *testing.T) {
	t.Parallel()
	records, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(records)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	assert.Empty(t, mw.Routes())

	mux := http.NewServeMux()
	require.NoError(t, mw.Handle(mux, "POST /a", &counting{}))
	require.NoError(t, mw.Handle(mux, "GET /a", &counting{}, idempotency.Policy{Key: idempotency.KeyOff}))
	require.Error(t, mw.Handle(mux, "POST /a", &counting{}), "is not there twice")
	protected := func(key idempotency.KeyRule) bool {
		require.NoError(t, guard.Override("POST /a", idempotency.Policy{Key: key}))
		routes := mw.Routes()
		require.Len(t, routes, 2)
		assert.False(t, routes[1].Protected)
		assert.Equal(t, key, routes[0].Policy.Key)
		return routes[0].Protected
	}
	assert.True(t, protected(idempotency.KeyRequired))
	assert.True(t, protected(idempotency.KeyOptional))
	assert.False(t, protected(idempotency.KeyShadow))
	assert.False(t, protected(idempotency.KeyOff))
}
