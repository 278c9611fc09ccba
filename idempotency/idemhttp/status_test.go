package idemhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// inspected counts how often a store is looked at, and can be down.
type inspected struct {
	*memstore.Store

	looks atomic.Int64
	down  atomic.Bool
}

func (s *inspected) Inspect(ctx context.Context, id store.ID) (store.Sighting, error) {
	if ctx.Err() == nil {
		s.looks.Add(1)
	}
	if s.down.Load() {
		return store.Sighting{}, fmt.Errorf("%w: refused", store.ErrUnavailable)
	}
	return s.Store.Inspect(ctx, id)
}

// counter is a service with a status route.
type counter struct {
	store  *inspected
	guard  *idempotency.Guard
	mux    *http.ServeMux
	status http.Handler
}

func newCounter(t *testing.T, guardOpts []idempotency.Option, handler http.HandlerFunc, opts ...idemhttp.Option) *counter {
	t.Helper()
	return newCounterWith(t, idempotency.Policy{}, guardOpts, handler, opts...)
}

func newCounterWith(
	t *testing.T, policy idempotency.Policy, guardOpts []idempotency.Option, handler http.HandlerFunc, opts ...idemhttp.Option,
) *counter {
	t.Helper()
	records, err := memstore.New()
	require.NoError(t, err)
	c := &counter{store: &inspected{Store: records}, mux: http.NewServeMux()}
	c.guard, err = idempotency.New(c.store, guardOpts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.guard.Shutdown(context.Background()) })
	opts = append(opts, idemhttp.Scope(func(r *http.Request) (string, error) { return r.Header.Get("X-Tenant"), nil }))
	mw, err := idemhttp.New(c.guard, opts...)
	require.NoError(t, err)
	require.NoError(t, mw.Handle(c.mux, "POST /pay", handler, policy))
	require.NoError(t, mw.Handle(c.mux, "POST /other", handler))
	c.status, err = mw.Status("POST /pay")
	require.NoError(t, err)
	c.mux.Handle("/status", c.status)
	return c
}

// ask sends a request of a tenant with a key; "" sends none.
func (c *counter) ask(method, path, tenant, key string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("X-Tenant", tenant)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	c.mux.ServeHTTP(w, r)
	return w
}

func bodyOf(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var body map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), w.Body.String())
	return body
}

func TestStatusTellsEachState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan int)
		c := newCounter(t, nil, func(w http.ResponseWriter, r *http.Request) {
			status := <-goOn
			if status == http.StatusGatewayTimeout {
				assert.NoError(t, idempotency.MarkEffect(r.Context()))
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte("secret"))
		})
		assert.Equal(t, map[string]any{"state": "absent"}, bodyOf(t, c.ask("GET", "/status", "acme", "k")))
		began := time.Now().UTC().Truncate(time.Second).Format(time.RFC3339)
		for _, end := range []struct {
			status int
			state  string
		}{{503, "released"}, {201, "completed"}} {
			answered := make(chan struct{})
			go func() { defer close(answered); c.ask("POST", "/pay", "acme", "k") }()
			time.Sleep(4500 * time.Millisecond)
			w := c.ask("GET", "/status", "acme", "k")
			running := bodyOf(t, w)
			assert.Equal(t, "running", running["state"])
			assert.Equal(t, "5", w.Header().Get("Retry-After"), "its age, rounded up")
			assert.InDelta(t, 5, running["retry_after"], 0)
			assert.Nil(t, running["finished"])
			goOn <- end.status
			<-answered
			w = c.ask("GET", "/status", "acme", "k")
			ended := bodyOf(t, w)
			assert.Equal(t, end.state, ended["state"])
			assert.Equal(t, began, ended["first_seen"])
			assert.NotNil(t, ended["finished"])
			assert.NotNil(t, ended["expires"])
			assert.Nil(t, ended["retry_after"])
			assert.Empty(t, w.Header().Get("Retry-After"))
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			assert.NotContains(t, w.Body.String(), "secret")
		}
		assert.InDelta(t, 2, bodyOf(t, c.ask("GET", "/status", "acme", "k"))["attempt"], 0)
		go func() { goOn <- 504 }()
		c.ask("POST", "/pay", "acme", "lost")
		assert.Equal(t, "unknown", bodyOf(t, c.ask("GET", "/status", "acme", "lost"))["state"])
	})
}

func ok(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }

// X2: to the byte, and in what the store is asked.
func TestStatusOfAForeignKeyIsThatOfAnUnknownOne(t *testing.T) {
	t.Parallel()
	c := newCounter(t, nil, ok)
	c.ask("POST", "/pay", "acme", "k")
	var looks []int64
	var answers []*httptest.ResponseRecorder
	for _, key := range []string{"k", "u"} {
		before := c.store.looks.Load()
		answers = append(answers, c.ask("GET", "/status", "umbra", key))
		looks = append(looks, c.store.looks.Load()-before)
	}
	assert.Equal(t, []int64{1, 1}, looks)
	assert.Equal(t, answers[1].Code, answers[0].Code)
	assert.Equal(t, answers[1].Header(), answers[0].Header())
	assert.Equal(t, answers[1].Body.String(), answers[0].Body.String())
	assert.Equal(t, "completed", bodyOf(t, c.ask("GET", "/status", "acme", "k"))["state"])
}

func TestStatusRefusesAsTheRouteDoes(t *testing.T) {
	t.Parallel()
	c := newCounter(t, nil, ok)
	for _, test := range []struct {
		name, tenant, key string
		status            int
		code              string
	}{
		{"no key", "acme", "", 400, "idempotency_key_missing"},
		{"list of keys", "acme", "a,b", 400, "idempotency_key_invalid"},
		{"no scope", "", "k", 500, "scope_missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := c.ask("GET", "/status", test.tenant, test.key)
			assert.Equal(t, test.status, w.Code)
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			assert.Equal(t, test.code, bodyOf(t, w)["code"])
		})
	}
}

func TestStatusWithoutStoreIs503(t *testing.T) {
	t.Parallel()
	c := newCounter(t, nil, ok)
	c.store.down.Store(true)
	w := c.ask("GET", "/status", "acme", "k")
	assert.Equal(t, 503, w.Code)
	assert.Equal(t, "store_unavailable", bodyOf(t, w)["code"])
	assert.NotEmpty(t, w.Header().Get("Retry-After"))
}

func TestStatusIsReadOnlyByMethod(t *testing.T) {
	t.Parallel()
	c := newCounter(t, nil, ok)
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		w := c.ask(method, "/status", "acme", "k")
		assert.Equal(t, 405, w.Code)
		assert.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	}
	assert.Zero(t, c.store.looks.Load())
	assert.Equal(t, 200, c.ask("HEAD", "/status", "acme", "k").Code)
}

func TestStatusReadsTheKeyAsTheRouteDoes(t *testing.T) {
	t.Parallel()
	const upper, lower = "9F1C7B1E-58F5-4B0E-A5CE-0D3B6A2F4C11", "9f1c7b1e-58f5-4b0e-a5ce-0d3b6a2f4c11"
	c := newCounterWith(t, idempotency.Policy{KeyFormat: idempotency.KeyUUID}, nil, ok)
	require.Equal(t, 201, c.ask("POST", "/pay", "acme", upper).Code)
	for _, key := range []string{upper, lower, `"` + lower + `"`} {
		assert.Equal(t, "completed", bodyOf(t, c.ask("GET", "/status", "acme", key))["state"], key)
	}
	assert.Equal(t, 400, c.ask("GET", "/status", "acme", "k").Code)

	custom := newCounter(t, nil, ok, idemhttp.KeyHeader("X-Key"))
	r := httptest.NewRequest("GET", "/status", nil)
	r.Header.Set("X-Tenant", "acme")
	r.Header.Set("X-Key", "k")
	w := httptest.NewRecorder()
	custom.mux.ServeHTTP(w, r)
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, 400, custom.ask("GET", "/status", "acme", "k").Code, "by the standard header")
}

// Where a key counts for one operation only, it is not "absent" at another.
func TestStatusOfAnotherOperationsKeyUnderStrictKeys(t *testing.T) {
	t.Parallel()
	c := newCounter(t, []idempotency.Option{idempotency.StrictKeys()}, ok)
	c.ask("POST", "/other", "acme", "k")
	w := c.ask("GET", "/status", "acme", "k")
	assert.Equal(t, 422, w.Code)
	assert.Equal(t, "idempotency_key_reused", bodyOf(t, w)["code"])
	assert.Equal(t, "absent", bodyOf(t, c.ask("GET", "/status", "umbra", "k"))["state"])
}

func TestStatusUsesTheErrorWriter(t *testing.T) {
	t.Parallel()
	c := newCounter(t, nil, ok, idemhttp.WriteErrors(
		func(w http.ResponseWriter, _ *http.Request, status int, err *idempotency.Error) {
			http.Error(w, "own: "+string(err.Code), status)
		}))
	w := c.ask("GET", "/status", "acme", "")
	assert.Equal(t, 400, w.Code)
	assert.Contains(t, w.Body.String(), "own: idempotency_key_missing")
}

func TestStatusMistakesAreFoundAtConstruction(t *testing.T) {
	t.Parallel()
	guard, stop := newGuard()
	defer stop()
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	_, err = mw.Status("POST /nowhere")
	require.ErrorContains(t, err, `"POST /nowhere" is not registered`)

	records, err := memstore.New()
	require.NoError(t, err)
	blind, err := idempotency.New(struct{ store.Store }{records})
	require.NoError(t, err)
	defer func() { _ = blind.Shutdown(context.Background()) }()
	mw, err = idemhttp.New(blind, idemhttp.GlobalScope())
	require.NoError(t, err)
	_, err = mw.Protect("op")
	require.NoError(t, err)
	_, err = mw.Status("op")
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// X1: the records of an operation by path are not found by its name, so "absent"
// would be said of what has run.
func TestX1_StatusOfAnOperationByPathIsAConstructionError(t *testing.T) {
	t.Parallel()
	mw := newMiddleware(t)
	_, err := mw.ProtectByPath("status last")
	require.NoError(t, err)
	_, err = mw.Status("status last")
	require.ErrorContains(t, err, `"status last" cannot have both Status and ProtectByPath`)

	_, err = mw.Protect("path last")
	require.NoError(t, err)
	for range 2 {
		_, err = mw.Status("path last")
		require.NoError(t, err)
	}
	_, err = mw.ProtectByPath("path last")
	require.ErrorContains(t, err, `"path last" cannot have both Status and ProtectByPath`)
	_, err = mw.ProtectByPath("path refused", idempotency.Policy{Key: "never"})
	require.Error(t, err)
	_, err = mw.Protect("path refused")
	require.NoError(t, err)
	_, err = mw.Status("path refused")
	require.NoError(t, err, "what was refused has left nothing")
}

// A client that lost an answer asks what became of its request.
func ExampleMiddleware_Status() {
	guard, stop := newGuard()
	defer stop()
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	if err := mw.Handle(mux, "POST /payments", http.HandlerFunc(ok)); err != nil {
		panic(err)
	}
	status, err := mw.Status("POST /payments")
	if err != nil {
		panic(err)
	}
	mux.Handle("GET /payments/status", status)

	for _, route := range []string{"GET /payments/status", "POST /payments", "GET /payments/status"} {
		method, path, _ := strings.Cut(route, " ")
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Idempotency-Key", "order-1")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		var body struct {
			State   string `json:"state"`
			Attempt int    `json:"attempt"`
		}
		_ = json.Unmarshal(w.Body.Bytes(), &body)
		fmt.Println(w.Code, body.State, body.Attempt)
	}
	// Output:
	// 200 absent 0
	// 201  0
	// 200 completed 1
}
