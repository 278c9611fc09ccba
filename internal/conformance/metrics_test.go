package conformance_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

func TestX6_MetricsCountEveryKindOfOutcome(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	n := newNode(t, srv, setup{
		policy: idempotency.Policy{MaxResponseBody: 1000},
		handler: func(w http.ResponseWriter, r *http.Request) {
			switch r.Header.Get("X-Do") {
			case "big":
				_, _ = w.Write([]byte(strings.Repeat("x", 2000)))
			case "unknown":
				assert.NoError(t, idempotency.MarkEffect(r.Context()))
				w.WriteHeader(http.StatusGatewayTimeout)
			default:
				w.WriteHeader(http.StatusCreated)
			}
		},
	})
	do := func(key, body, what string) response {
		return send(t, n.URL, call{key: key, body: body, header: http.Header{"X-Do": {what}}})
	}
	do("a", "B", "")
	do("a", "B", "")
	do("a", "other", "")
	do("", "B", "")
	do("b", "B", "big")
	do("b", "B", "big")
	do("u", "B", "unknown")
	do("u", "B", "unknown")
	srv.Pause()
	do("down", "B", "")
	srv.Resume()

	s := n.Guard.Stats()[0]
	assert.Equal(t, "POST /orders", s.Operation)
	assert.EqualValues(t, 3, s.Executed)
	assert.EqualValues(t, 1, s.Replayed)
	assert.EqualValues(t, 1, s.BodiesOmitted, "oversize")
	assert.EqualValues(t, 1, s.Failed, "became unknown")
	assert.Equal(t, map[idempotency.Code]int64{
		idempotency.ErrKeyReused: 1, idempotency.ErrKeyMissing: 1, idempotency.ErrResultUnavailable: 1,
		idempotency.ErrOutcomeUnknown: 1, idempotency.ErrStoreUnavailable: 1,
	}, s.Refused)
	assert.EqualValues(t, 8, s.Store.Count())
	assert.Positive(t, s.Store.Sum)
	// The hooks tell the same, for metrics with labels of one's own.
	require.Len(t, n.events.finished, 9)
}

func TestA14_KeysForDownstreamServices(t *testing.T) {
	t.Parallel()
	keys := make(chan [2]string, 4)
	s := newService(t, setup{handler: func(w http.ResponseWriter, r *http.Request) {
		info, _ := idempotency.FromContext(r.Context())
		keys <- [2]string{info.DownstreamKey("card processor"), info.DownstreamKey("shipping")}
		w.WriteHeader(http.StatusServiceUnavailable) // released: a retry runs again
	}})
	c := call{key: newKey()}
	send(t, s.URL, c)
	send(t, s.URL, c)
	first, again := <-keys, <-keys
	assert.Equal(t, first, again, "the same for every attempt")
	assert.NotEqual(t, first[0], first[1], "another one for each service")
	assert.NotContains(t, first[0], c.key)
	c.tenant = "P2"
	send(t, s.URL, c)
	assert.NotEqual(t, first, <-keys, "another one for each caller")
}
