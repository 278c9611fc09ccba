package conformance_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func TestA5_RevokedGrantKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	var mu sync.Mutex
	var seen []idempotency.Recorded
	s := newService(t, setup{
		policy: idempotency.Policy{MaxResponseBody: 1000, Wait: 10 * time.Second},
		handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/orders/secret")
			size := 10
			if r.Header.Get("X-Do") == "big" {
				size = 2000
			}
			_, _ = io.WriteString(w, strings.Repeat("secret ", size))
		},
		http: []idemhttp.Option{
			idemhttp.Scope(tenant),
			idemhttp.ReplayGuard(func(r *http.Request, recorded idempotency.Recorded) error {
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, "B", string(body), "the present request can be read")
				mu.Lock()
				seen = append(seen, recorded)
				mu.Unlock()
				if revoked.Load() {
					return errors.New("the grant was revoked")
				}
				return nil
			}),
		},
	})
	for _, what := range []string{"", "big"} {
		revoked.Store(false)
		c := call{key: newKey(), body: "B", header: http.Header{"X-Do": {what}}}
		first := send(t, s.URL, c)
		require.Equal(t, 200, first.Status)
		allowed := send(t, s.URL, c)
		revoked.Store(true)
		denied := send(t, s.URL, c)
		requireProblem(t, denied, 403, "replay_denied")
		assert.NotContains(t, denied.Body, "secret")
		assert.Empty(t, denied.Header.Get("Location"))
		revoked.Store(false)
		after := send(t, s.URL, c)
		assert.Equal(t, allowed.Status, after.Status, "the record is untouched")
		assert.Equal(t, allowed.Body, after.Body)
	}
	assert.Equal(t, 2, s.Runs())
	require.Len(t, seen, 6)
	recorded := seen[0]
	assert.Equal(t, "POST /orders", recorded.Operation)
	assert.Equal(t, 1, recorded.Attempt)
	assert.NotZero(t, recorded.Token)
	assert.WithinDuration(t, time.Now(), recorded.Finished, time.Minute)
	assert.False(t, recorded.Finished.Before(recorded.Started))
	assert.Len(t, recorded.ID, 64)
	assert.EqualValues(t, 1, s.Guard.Stats()[0].Refused[idempotency.ErrResultUnavailable]/2, "asked before that is told, too")
}

func TestReplayGuardIsCheckedAtConstruction(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	allow := func(*http.Request, idempotency.Recorded) error { return nil }
	_, err := idemhttp.New(s.Guard, idemhttp.GlobalScope(), idemhttp.ReplayGuard(nil))
	require.ErrorContains(t, err, "ReplayGuard: the function is nil")
	_, err = idemhttp.New(s.Guard, idemhttp.GlobalScope(), idemhttp.ReplayGuard(allow), idemhttp.ReplayGuard(allow))
	require.ErrorContains(t, err, "set twice")
}
