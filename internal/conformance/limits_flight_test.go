package conformance_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// Whoever is one too many is told so before anything is claimed, however much a
// policy records, and gets in as soon as there is room.
func TestF77_RequestsInFlightAreBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		limits idempotency.Limits
		status int
		code   string
		others bool // other scopes get in
	}{
		{"of a scope", idempotency.Limits{InFlightPerScope: 3}, 429, "scope_busy", true},
		{"in all", idempotency.Limits{InFlight: 3}, 503, "overloaded", false},
		{"of a scope, before all", idempotency.Limits{InFlightPerScope: 3, InFlight: 4}, 429, "scope_busy", true},
	} {
		for _, record := range []idempotency.RecordRule{idempotency.RecordDeterministic, idempotency.RecordAll} {
			t.Run(test.name+", recorded: "+string(record), func(t *testing.T) {
				t.Parallel()
				ns := namespaceOf(t)
				handler, started, goOn := holding(t)
				s := newService(t, setup{
					namespace: ns, handler: handler, policy: idempotency.Policy{Record: record},
					guard: []idempotency.Option{idempotency.WithLimits(test.limits)},
				})
				var running []<-chan response
				var calls []call
				for range 3 {
					c := call{key: newKey(), tenant: "P1", body: "B", header: hold()}
					calls = append(calls, c)
					running = append(running, background(t, s.URL, c))
					next(t, "it runs", started)
				}
				surplus := call{key: newKey(), tenant: "P1", body: "B"}
				for range 3 {
					requireSurplus(t, send(t, s.URL, surplus), test.status, test.code)
				}
				requireSurplus(t, send(t, s.URL, calls[0]), test.status, test.code) // a duplicate needs room, too
				other := call{key: surplus.key, tenant: "P2", body: "B"}
				if test.others {
					other.header = hold()
					calls = append(calls, other)
					running = append(running, background(t, s.URL, other))
					next(t, "another scope's runs", started)
				} else {
					requireSurplus(t, send(t, s.URL, other), test.status, test.code)
				}
				assert.Len(t, shared.Server(t).Keys(ns+":*"), len(calls), "nothing of the surplus")

				close(goOn)
				for i, answer := range running {
					requireReplay(t, <-answer, send(t, s.URL, calls[i]))
				}
				first := send(t, s.URL, surplus)
				requireExecuted(t, first)
				assert.Equal(t, 201, first.Status)
				requireReplay(t, first, send(t, s.URL, surplus))
				assert.Equal(t, len(calls)+1, s.Runs())
			})
		}
	}
}

// holding is blocking for those requests that ask for it.
func holding(t *testing.T) (handler http.HandlerFunc, started chan context.Context, goOn chan struct{}) {
	t.Helper()
	blocks, started, goOn := blocking(t)
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Hold") != "" {
			blocks(w, r)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}, started, goOn
}

func hold() http.Header { return http.Header{"X-Hold": {"yes"}} }

func requireSurplus(t *testing.T, resp response, status int, code string) {
	t.Helper()
	p := requireProblem(t, resp, status, code)
	assert.True(t, p.Retryable)
	if assert.NotNil(t, p.SafeNewKey) {
		assert.False(t, *p.SafeNewKey, "an earlier one may have been started")
	}
	assert.Equal(t, "1", resp.Header.Get("Retry-After"))
	assert.Equal(t, "rejected", resp.Header.Get("Idempotency-Status"))
}

// Those who wait are in flight, too: they cannot take up what others need.
func TestF77_DuplicatesThatWaitAreInFlight(t *testing.T) {
	t.Parallel()
	handler, started, goOn := holding(t)
	s := newService(t, setup{
		handler: handler, policy: waits(20 * time.Second),
		guard: []idempotency.Option{idempotency.WithLimits(idempotency.Limits{InFlightPerScope: 3})},
	})
	c := call{key: newKey(), header: hold()}
	first := background(t, s.URL, c)
	next(t, "it runs", started)
	rest := together(t, 2, c, s.URL)
	haveWaiting(t, s, 2)
	requireSurplus(t, send(t, s.URL, call{key: newKey()}), 429, "scope_busy")
	requireSurplus(t, send(t, s.URL, c), 429, "scope_busy")
	close(goOn)
	done := <-first
	for _, resp := range rest() {
		requireReplay(t, done, resp)
	}
	requireReplay(t, done, send(t, s.URL, c))
}

func TestZ3_LargerLimitOfARouteRecordsWhatTheDefaultDoesNot(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0123456789abcdef", 3<<20/2/16) // one and a half times the default
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
	s := newService(t, setup{handler: answer, policy: idempotency.Policy{MaxResponseBody: 2 << 20}})
	require.NoError(t, s.MW.Handle(s.Mux, "POST /default", http.HandlerFunc(answer)))
	c := call{key: newKey()}
	first := send(t, s.URL, c)
	requireExecuted(t, first)
	require.Len(t, first.Body, len(body))
	requireReplay(t, first, send(t, s.URL, c))
	assert.Equal(t, 1, s.Runs())

	assert.Equal(t, body, send(t, s.Server.URL+"/default", c).Body)
	requireProblem(t, send(t, s.Server.URL+"/default", c), 409, "result_unavailable")
}
