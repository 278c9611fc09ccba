package conformance_test

import (
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
)

// trail is all that a caller, or somebody who watches Redis, sees of a request.
type trail struct {
	answer   response
	packets  [][]string              // each round trip's commands
	executed redistest.CommandCounts // by Redis, those in scripts included
}

// TestA2_ForeignKeyLooksLikeAnUnusedOne lets P2 use a key that P1 has used, in
// every state that P1's record can be in, and compares with a key that nobody
// has used.
func TestA2_ForeignKeyLooksLikeAnUnusedOne(t *testing.T) {
	t.Parallel()
	tests := []struct {
		state store.State
		do    string // what P1's handler does
	}{
		{store.Running, "block"},
		{store.Completed, "answer"},
		{store.Unknown, "mark and fail"},
		{store.Released, "fail"},
	}
	for _, test := range tests {
		t.Run(test.state.String(), func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			ns := namespaceOf(t)
			blocked, goOn := make(chan struct{}), make(chan struct{})
			defer close(goOn)
			n := newMeasuredNode(t, srv, setup{namespace: ns, handler: func(w http.ResponseWriter, r *http.Request) {
				switch r.Header.Get("X-Do") {
				case "block":
					close(blocked)
					<-goOn
				case "mark and fail":
					assert.NoError(t, idempotency.MarkEffect(r.Context()))
					w.WriteHeader(http.StatusInternalServerError)
				case "fail":
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				w.Header().Set("Location", "/orders/1")
				_, _ = io.WriteString(w, "answer")
			}})
			look := func(c call) trail {
				n.line.ResetCounts()
				before := srv.CommandCounts()
				answer := send(t, n.URL, c)
				delete(answer.Header, "Date")
				delete(answer.Header, "Idempotency-Recorded-At")
				return trail{answer, n.line.Packets(), srv.CommandCounts().Since(before)}
			}

			foreign, unused := newKey(), newKey()
			first := call{key: foreign, tenant: "one", body: "B", header: http.Header{"X-Do": {test.do}}}
			if test.do == "block" {
				go func() { _, _ = trySend(t, n.URL, first) }()
				<-blocked
			} else {
				send(t, n.URL, first)
			}
			records := openRedis(t, srv.Client(t), ns)
			require.Equal(t, test.state, lookup(t, records, store.NewID("tenant-one", "POST /orders", foreign)).State)

			for _, do := range []string{"answer", "answer", "other body"} { // first use, duplicate, mismatch
				c := call{tenant: "two", body: do}
				c.key = unused
				want := look(c)
				c.key = foreign
				got := look(c)
				assert.Equal(t, want, got)
				assert.NotEmpty(t, want.packets)
			}
		})
	}
}

// TestA2_ForeignKeyTakesAsLongAsAnUnusedOne is not parallel, so that it measures
// this library and not its neighbours. What it allows is far more than what it
// finds, and it must find a leak when there is one.
func TestA2_ForeignKeyTakesAsLongAsAnUnusedOne(t *testing.T) {
	var leak time.Duration
	s := newService(t, setup{wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Foreign") != "" {
				time.Sleep(leak)
			}
			next.ServeHTTP(w, r)
		})
	}})
	l := s.over(t, http1)
	foreign, unused := l.medians(t, 400)
	t.Logf("the median of 400: foreign %v, unused %v", foreign, unused)
	assert.InDelta(t, 1, float64(foreign)/float64(unused), 0.5)

	leak = 3 * max(foreign, unused)
	foreign, unused = l.medians(t, 40)
	assert.Greater(t, float64(foreign)/float64(unused), 1.5, "a leak would show")
}

// medians returns how long P2's first use of a key takes, one that P1 has used
// and one that nobody has, asked in turns.
func (l *line) medians(t *testing.T, samples int) (foreign, unused time.Duration) {
	t.Helper()
	var times [2][]time.Duration
	ask := func(c call) time.Duration {
		began := time.Now()
		requireExecuted(t, l.ask(t, c))
		return time.Since(began)
	}
	for range samples {
		used := call{key: newKey(), tenant: "one", body: "B"}
		ask(used)
		used.tenant, used.header = "two", http.Header{"X-Foreign": {"1"}}
		fresh := call{key: newKey(), tenant: "two", body: "B", header: http.Header{"X-Unused": {"1"}}}
		first, second := 0, 1
		if len(times[0])%2 == 1 {
			first, second = 1, 0 // whoever comes first might be at a disadvantage
		}
		calls := [2]call{used, fresh}
		times[first] = append(times[first], ask(calls[first]))
		times[second] = append(times[second], ask(calls[second]))
	}
	for i := range times {
		slices.Sort(times[i])
	}
	return times[0][samples/2], times[1][samples/2]
}
