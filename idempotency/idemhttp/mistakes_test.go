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

func plainMiddleware(t *testing.T) *idemhttp.Middleware {
	t.Helper()
	records, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(records)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	return mw
}

func TestPatternThatTheMuxRefusesIsAnError(t *testing.T) {
	t.Parallel()
	mw, mux := plainMiddleware(t), http.NewServeMux()
	require.NoError(t, mw.Handle(mux, "POST /orders", http.NotFoundHandler()))
	err := mw.Handle(mux, "POST /orders", http.NotFoundHandler())
	require.ErrorContains(t, err, "idemhttp: POST /orders: the mux refuses it")
	require.Error(t, mw.Handle(mux, "POST /{", http.NotFoundHandler()))
}

// A middleware outside that looks at the beginning of a body would have every
// duplicate compared by the rest.
func TestBodyOfWhichSomeWasReadOutsideIsNoticed(t *testing.T) {
	t.Parallel()
	mw := plainMiddleware(t)
	protect, err := mw.Protect("orders")
	require.NoError(t, err)
	for _, read := range []int64{1, 6, 7} {
		inner := protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { assert.Fail(t, "it ran") }))
		outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.CopyN(io.Discard, r.Body, read)
			assert.NoError(t, err)
			inner.ServeHTTP(w, r)
		})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"n":1}`))
		r.Header.Set("Idempotency-Key", "k")
		w := httptest.NewRecorder()
		outer.ServeHTTP(w, r)
		assert.Equal(t, http.StatusInternalServerError, w.Code)
		assert.Contains(t, w.Body.String(), "has read the request body")
	}
}
