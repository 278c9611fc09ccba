package idemhttp_test

import (
	"context"
	"fmt"
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

// One name and one policy around a whole router; every method and path below it
// is an operation of its own to callers.
func ExampleMiddleware_ProtectByPath() {
	guard, stop := newGuard()
	defer stop()
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	if err != nil {
		panic(err)
	}
	protect, err := mw.ProtectByPath("legacy", idempotency.Policy{Key: idempotency.KeyOptional})
	if err != nil {
		panic(err)
	}
	runs := 0
	router := http.NewServeMux()
	router.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		runs++
		_, _ = fmt.Fprintf(w, "run %d: %s %s", runs, r.Method, r.URL.Path)
	})
	handler := protect(router)
	for _, request := range []string{"POST /orders", "POST /orders", "POST /orders/1/refund", "PUT /orders", "GET /orders"} {
		method, path, _ := strings.Cut(request, " ")
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Idempotency-Key", "order-1")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Header().Get("Idempotency-Status"), w.Body)
	}
	// Output:
	// executed run 1: POST /orders
	// replayed run 1: POST /orders
	// executed run 2: POST /orders/1/refund
	// executed run 3: PUT /orders
	// ignored run 4: GET /orders
}

func TestProtectByPathIsOneOperationToTheGuard(t *testing.T) {
	t.Parallel()
	records, err := memstore.New()
	require.NoError(t, err)
	finished := make(chan idempotency.Finished, 8)
	guard, err := idempotency.New(records, idempotency.WithTrace(idempotency.Trace{
		Finished: func(_ context.Context, f idempotency.Finished) { finished <- f },
	}))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	protect, err := mw.ProtectByPath("router")
	require.NoError(t, err)
	handler := protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, path := range []string{"/a", "/b", "/a%2Fb", "/a/b"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, keyedRequest(t.Context(), "POST", path, "key"))
		assert.Equal(t, "executed", w.Header().Get("Idempotency-Status"), path)
		assert.Equal(t, "router", (<-finished).Operation)
	}
	assert.Equal(t, []string{"router"}, guard.Operations())
}

func keyedRequest(ctx context.Context, method, path, key string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, path, nil)
	r.Header.Set("Idempotency-Key", key)
	return r
}

func TestP4_P5_InsideProtectByPath(t *testing.T) {
	t.Parallel()
	mw := newMiddleware(t)
	protect, err := mw.ProtectByPath("router")
	require.NoError(t, err)
	inner, err := mw.Protect("inner")
	require.NoError(t, err)
	router := http.NewServeMux()
	handler := protect(router)
	router.HandleFunc("POST /a", func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, keyedRequest(r.Context(), "POST", "/b", "key"))
	})
	router.HandleFunc("POST /b", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "b ran") })
	router.Handle("POST /c", inner(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("ran") })))
	router.HandleFunc("POST /d", func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, keyedRequest(r.Context(), "POST", "/d", "key"))
	})
	send := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, keyedRequest(t.Context(), "POST", path, "key"))
		return w
	}
	assert.Equal(t, "b ran", send("/a").Body.String(), "P5: another path below the same router")
	for _, path := range []string{"/c", "/d"} {
		w := send(path)
		assert.Equal(t, 500, w.Code)
		assert.Contains(t, w.Body.String(), "mounted twice", "P4: %s", path)
	}
}
