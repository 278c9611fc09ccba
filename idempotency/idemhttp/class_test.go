package idemhttp

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store/memstore"
)

const (
	recorded = idempotency.ClassRecord
	released = idempotency.ClassRelease
	unknown  = idempotency.ClassUnknown
)

// What a refusal means that a handler passes on as it came, where its status is
// recorded (as all are under RecordAll) and where the status decides.
func TestAPassedOnRefusalIsNoLessCarefulThanItsStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code           idempotency.Code
		all, byStatus  idempotency.Class
		changedTo422   idempotency.Class // by a handler that keeps the header
		changedTo502   idempotency.Class
		onlySuccessful idempotency.Class
	}{
		{idempotency.ErrKeyMissing, recorded, recorded, recorded, released, released},
		{idempotency.ErrKeyInvalid, recorded, recorded, recorded, released, released},
		{idempotency.ErrBodyUnreadable, recorded, recorded, recorded, released, released},
		{idempotency.ErrBodyTooLarge, recorded, recorded, recorded, released, released},
		{idempotency.ErrKeyReused, recorded, recorded, recorded, released, released},
		{idempotency.ErrInProgress, released, released, released, released, released},
		{idempotency.ErrOutcomeUnknown, unknown, unknown, unknown, unknown, unknown},
		{idempotency.ErrResultUnavailable, unknown, unknown, unknown, unknown, unknown},
		{idempotency.ErrReplayDenied, unknown, unknown, unknown, unknown, unknown},
		{idempotency.ErrScopeBusy, released, released, released, released, released},
		{idempotency.ErrOverloaded, released, released, released, released, released},
		{idempotency.ErrNotStarted, released, released, released, released, released},
		{idempotency.ErrScopeMissing, recorded, released, recorded, released, released},
		{idempotency.ErrStoreUnavailable, released, released, released, released, released},
		{idempotency.ErrDraining, released, released, released, released, released},
		{idempotency.ErrLeaseLost, unknown, unknown, unknown, unknown, unknown},
		{idempotency.ErrRecordUnreadable, unknown, released, recorded, released, released}, // by the header, 422 might be any
	}
	for i, p := range problems() {
		assert.Equal(t, p.code, tests[i].code, "all are there")
	}
	for _, test := range tests {
		t.Run(string(test.code), func(t *testing.T) {
			t.Parallel()
			p := problemOf(test.code)
			behind := func(status int, rule idempotency.RecordRule) idempotency.Class {
				return classBehind(classify(status, rule), status, p.mark, p.retryAfter > 0)
			}
			assert.Equal(t, test.all, behind(p.status, idempotency.RecordAll), "all")
			assert.Equal(t, test.byStatus, behind(p.status, idempotency.RecordDeterministic), "by status")
			assert.Equal(t, test.changedTo422, behind(422, idempotency.RecordDeterministic), "changed to 422")
			assert.Equal(t, test.changedTo502, behind(502, idempotency.RecordDeterministic), "changed to 502")
			assert.Equal(t, test.onlySuccessful, behind(p.status, idempotency.RecordSuccess), "only what succeeds")
		})
	}
	for _, mark := range []string{"", markExecuted, markReplayed, markUnprotected, markIgnored} {
		assert.Equal(t, recorded, classBehind(recorded, 200, mark, true), mark)
		assert.Equal(t, released, classBehind(released, 503, mark, true), mark)
	}
	assert.Equal(t, unknown, classBehind(recorded, 200, markUnrecorded, false), "its retry may answer another way")
	assert.Equal(t, released, classBehind(classify(425, idempotency.RecordDeterministic), 425, markConflict, true))
}

// A handler that has had its effect, and then meets a refusal behind it, is not
// run again for having passed it on.
func TestAPassedOnRefusalDoesNotRunTheHandlerAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code idempotency.Code
		runs int
		mark string // of the second answer
	}{
		{idempotency.ErrKeyReused, 1, markReplayed},
		{idempotency.ErrKeyInvalid, 1, markReplayed},
		{idempotency.ErrOutcomeUnknown, 1, markUnknown},
		{idempotency.ErrReplayDenied, 1, markUnknown},
		{idempotency.ErrInProgress, 2, markUnrecorded},
		{idempotency.ErrStoreUnavailable, 2, markUnrecorded},
	}
	for _, test := range tests {
		t.Run(string(test.code), func(t *testing.T) {
			t.Parallel()
			st, err := memstore.New()
			require.NoError(t, err)
			guard, err := idempotency.New(st)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.WithoutCancel(t.Context()))) })
			mw, err := New(guard, GlobalScope())
			require.NoError(t, err)
			runs := 0
			mux := http.NewServeMux()
			require.NoError(t, mw.Handle(mux, "POST /pay", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				runs++
				p := problemOf(test.code)
				w.Header().Set("Idempotency-Status", p.mark)
				if p.retryAfter > 0 {
					w.Header().Set("Retry-After", "1")
				}
				w.WriteHeader(p.status)
			}), idempotency.Policy{}))
			last := httptest.NewRecorder()
			for range 2 {
				last = httptest.NewRecorder()
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/pay", nil)
				r.Header.Set("Idempotency-Key", "k")
				mux.ServeHTTP(last, r)
			}
			assert.Equal(t, test.runs, runs)
			assert.Equal(t, test.mark, last.Header().Get("Idempotency-Status"))
		})
	}
}
