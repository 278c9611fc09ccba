package idemhttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

func newMiddleware(t *testing.T, opts ...idempotency.Option) *idemhttp.Middleware {
	t.Helper()
	records, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(records, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	return mw
}

func TestF57_WrongChainsAreFoundAtConstruction(t *testing.T) {
	t.Parallel()
	mw := newMiddleware(t)
	protect, err := mw.Protect("inner")
	require.NoError(t, err)
	off, err := mw.Protect("off", idempotency.Policy{Key: idempotency.KeyOff})
	require.NoError(t, err)
	plain := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ran") })
	tests := []struct {
		name    string
		handler http.Handler
		policy  idempotency.Policy
		wrong   string // "" for a chain that works
	}{
		{"nothing", nil, idempotency.Policy{}, "handler is nil"},
		{"a function that is nil", http.HandlerFunc(nil), idempotency.Policy{}, "handler is nil"},
		{"TimeoutHandler inside", http.TimeoutHandler(plain, time.Second, ""), idempotency.Policy{}, "http.TimeoutHandler stands inside"},
		{"protected twice", protect(plain), idempotency.Policy{}, "protected already"},
		{"a function", plain, idempotency.Policy{}, ""},
		{"MaxBytesHandler inside", http.MaxBytesHandler(plain, 1), idempotency.Policy{}, ""},
		{"StripPrefix inside", http.StripPrefix("", plain), idempotency.Policy{}, ""},
		{"AllowQuerySemicolons inside", http.AllowQuerySemicolons(plain), idempotency.Policy{}, ""},
		{"TimeoutHandler in a route that is off", http.TimeoutHandler(plain, time.Second, ""), idempotency.Policy{Key: idempotency.KeyOff}, ""},
		{"around a route that is off", off(plain), idempotency.Policy{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mw := newMiddleware(t)
			mux := http.NewServeMux()
			err := mw.Handle(mux, "POST /orders", tt.handler, tt.policy)
			protect, protectErr := mw.Protect("orders", tt.policy)
			require.NoError(t, protectErr)
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", strings.NewReader("B"))
			r.Header.Set("Idempotency-Key", "k")
			protect(tt.handler).ServeHTTP(w, r)
			if tt.wrong == "" {
				require.NoError(t, err)
				assert.Equal(t, "ran", w.Body.String())
				return
			}
			require.ErrorContains(t, err, tt.wrong)
			require.ErrorContains(t, err, "POST /orders", "which route")
			assert.Equal(t, http.StatusInternalServerError, w.Code)
			assert.Contains(t, w.Body.String(), tt.wrong)
			assert.Contains(t, w.Body.String(), "operation orders")
		})
	}
}

func TestF57_GuardThatIsOffByDefaultMountsAnything(t *testing.T) {
	t.Parallel()
	mw := newMiddleware(t, idempotency.WithPolicy(idempotency.Policy{Key: idempotency.KeyOff}))
	slow := http.TimeoutHandler(http.NotFoundHandler(), time.Second, "")
	require.NoError(t, mw.Handle(http.NewServeMux(), "POST /off", slow))
	on := idempotency.Policy{Key: idempotency.KeyRequired}
	require.Error(t, mw.Handle(http.NewServeMux(), "POST /on", slow, on))
}
