package idemhttp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

func TestZ5_PassedAnswerThatHasNoBodyIsReplayed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 201, 204, 303} {
		mw := newMiddleware(t, idempotency.WithPolicy(idempotency.Policy{Stream: idempotency.StreamPass}))
		protect, err := mw.Protect("jobs")
		require.NoError(t, err)
		runs := 0
		handler := protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			runs++
			w.Header().Set("Location", "/jobs/1")
			w.WriteHeader(status)
		}))
		var marks []string
		for range 3 {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, keyedRequest(t.Context(), "POST", "/jobs", "k"))
			assert.Equal(t, status, w.Code)
			assert.Equal(t, "/jobs/1", w.Header().Get("Location"))
			assert.Empty(t, w.Body.String())
			marks = append(marks, w.Header().Get("Idempotency-Status"))
		}
		assert.Equal(t, []string{"unrecorded", "replayed", "replayed"}, marks)
		assert.Equal(t, 1, runs)
	}
}
