package idemhttp

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

func TestProblemTable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		code       idempotency.Code
		status     int
		retryable  bool
		newKey     any // nil: omitted
		retryAfter string
		mark       string
	}{
		{"K1", idempotency.ErrKeyMissing, 400, false, nil, "", "rejected"},
		{"K3", idempotency.ErrKeyInvalid, 400, false, nil, "", "rejected"},
		{"F20", idempotency.ErrBodyUnreadable, 400, false, nil, "", "rejected"},
		{"F18", idempotency.ErrBodyTooLarge, 413, false, nil, "", "rejected"},
		{"F1", idempotency.ErrKeyReused, 422, false, true, "", "mismatch"},
		{"C2", idempotency.ErrInProgress, 409, true, false, "1", "conflict"},
		{"L4", idempotency.ErrOutcomeUnknown, 409, false, false, "", "unknown"},
		{"Z1", idempotency.ErrResultUnavailable, 409, false, false, "", "unavailable"},
		{"A5", idempotency.ErrReplayDenied, 403, false, false, "", "unavailable"},
		{"scope busy", idempotency.ErrScopeBusy, 429, true, false, "1", "rejected"},
		{"overloaded", idempotency.ErrOverloaded, 503, true, false, "1", "rejected"},
		{"not started", idempotency.ErrNotStarted, 503, true, false, "1", "rejected"},
		{"A4", idempotency.ErrScopeMissing, 500, false, false, "", "rejected"},
		{"S1", idempotency.ErrStoreUnavailable, 503, true, false, "1", "rejected"},
		{"P6", idempotency.ErrDraining, 503, true, false, "1", "rejected"},
		{"L10", idempotency.ErrLeaseLost, 503, true, false, "1", "unknown"},
		{"S12", idempotency.ErrRecordUnreadable, 503, false, false, "", "rejected"},
	}
	require.Len(t, problems(), len(tests))
	docs, err := os.ReadFile("../docs/errors.md")
	require.NoError(t, err)
	for _, tt := range tests {
		t.Run(tt.name+" "+string(tt.code), func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			WriteError(w, &idempotency.Error{Code: tt.code})

			assert.Equal(t, tt.status, w.Code)
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			assert.Equal(t, tt.retryAfter, w.Header().Get("Retry-After"))
			assert.Equal(t, tt.mark, problemOf(tt.code).mark)

			var body map[string]any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
			assert.Equal(t, problemBase+string(tt.code), body["type"])
			assert.InDelta(t, tt.status, body["status"], 0)
			assert.Equal(t, string(tt.code), body["code"])
			assert.Equal(t, tt.retryable, body["retryable"])
			assert.NotEmpty(t, body["title"])
			assert.NotEmpty(t, body["detail"])
			advice, present := body["safe_new_key"]
			assert.Equal(t, tt.newKey != nil, present)
			assert.Equal(t, tt.newKey, advice)

			assert.Contains(t, string(docs), "\n## "+string(tt.code)+"\n", "the type's anchor exists")
		})
	}
	assert.Equal(t, len(tests), strings.Count(string(docs), "\n## "), "no section without a code")
}

func TestProblemReplacesTheHeaderOfAnotherBody(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	w.Header().Set("Content-Length", "3")
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Type", "text/csv")
	w.Header().Set("Etag", `"1"`)
	w.Header().Set("Location", "/payments/1")
	w.Header().Set("Retry-After", "7")
	WriteError(w, &idempotency.Error{Code: idempotency.ErrInProgress})
	assert.Equal(t, http.Header{
		"Content-Type":       {"application/problem+json"},
		"Cache-Control":      {"no-store"},
		"Idempotency-Status": {"conflict"},
		"Location":           {"/payments/1"},
		"Retry-After":        {"1"},
	}, w.Header())
}

func TestUnknownCodeIsAnInternalError(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	WriteError(w, &idempotency.Error{Code: "no_such_code"})
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	assert.Contains(t, w.Body.String(), `"retryable":false`)
}

func TestRetryAfterRoundsUp(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "1", retryAfterSeconds(time.Nanosecond))
	assert.Equal(t, "1", retryAfterSeconds(time.Second))
	assert.Equal(t, "2", retryAfterSeconds(time.Second+1))
}
