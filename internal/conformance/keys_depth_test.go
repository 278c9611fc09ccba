package conformance_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

const (
	uuid4 = "919108f7-52d1-4320-9bac-f847db4148a8"
	uuid7 = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
)

func TestK14_SpellingsOfOneUUIDAreOneOperation(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{policy: idempotency.Policy{KeyFormat: idempotency.KeyUUID}})
	first := send(t, s.URL, call{key: uuid4, body: "B"})
	requireExecuted(t, first)
	for _, spelling := range []string{strings.ToUpper(uuid4), `"` + strings.ToUpper(uuid4) + `"`, strings.ToUpper(uuid4[:18]) + uuid4[18:]} {
		requireReplay(t, first, send(t, s.URL, call{key: spelling, body: "B"}))
	}
	assert.Equal(t, 1, s.Runs())
}

func TestK14_OtherThanTheDemandedUUIDIsRejectedBeforeTheStore(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		format idempotency.KeyFormat
		key    string
		says   string
	}{
		{"free-form", idempotency.KeyUUID, "order-1", "not a UUID"},
		{"malformed", idempotency.KeyUUID, uuid4[:35] + "x", "not a UUID"},
		{"no hyphens", idempotency.KeyUUID, strings.ReplaceAll(uuid4, "-", ""), "not a UUID"},
		{"nil UUID", idempotency.KeyUUID, "00000000-0000-0000-0000-000000000000", "not a UUID"},
		{"7 where 4 is demanded", idempotency.KeyUUIDv4, uuid7, "version 4"},
		{"4 where 7 is demanded", idempotency.KeyUUIDv7, uuid4, "version 7"},
		{"wrong variant", idempotency.KeyUUIDv4, "919108f7-52d1-4320-cbac-f847db4148a8", "variant"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			st := &countingStore{Store: setup{}.openStore(t)}
			s := newService(t, setup{store: st, policy: idempotency.Policy{KeyFormat: test.format}})
			resp := send(t, s.URL, call{key: test.key, body: "B"})
			requireProblem(t, resp, 400, "idempotency_key_invalid")
			assert.Equal(t, "rejected", resp.Header.Get("Idempotency-Status"))
			assert.Contains(t, resp.Body, test.says, "an explanation")
			assert.NotContains(t, resp.Body, test.key, "no echo")
			assert.Zero(t, s.Runs())
			assert.Zero(t, st.calls.Load(), "calls to the store")
			good := uuid4
			if test.format == idempotency.KeyUUIDv7 {
				good = uuid7
			}
			requireExecuted(t, send(t, s.URL, call{key: good, body: "B"}))
		})
	}
}

// newRouter starts a service whose whole router is protected by path. Outside
// POST /orders, which is protected itself, it answers every method on every path.
func newRouter(t *testing.T, with setup, policy idempotency.Policy) *service {
	t.Helper()
	var protected atomic.Pointer[http.Handler] // once the guard is there
	with.wrap = func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*protected.Load()).ServeHTTP(w, r) })
	}
	s := newService(t, with)
	protect, err := s.MW.ProtectByPath("router", policy)
	require.NoError(t, err)
	s.Mux.HandleFunc("/", s.order)
	handler := protect(s.Mux)
	protected.Store(&handler)
	s.URL = s.Server.URL + "/payments"
	return s
}

func TestK16_AroundARouterUnprotectedRequestsWithAKeyAreMarked(t *testing.T) {
	t.Parallel()
	st := &countingStore{Store: setup{}.openStore(t)}
	s := newRouter(t, setup{store: st}, idempotency.Policy{Key: idempotency.KeyOptional})
	for _, method := range []string{"GET", "OPTIONS"} {
		for range 2 {
			resp := send(t, s.URL, call{method: method, key: "same"})
			assert.Equal(t, 201, resp.Status, "handled normally")
			assert.Equal(t, "ignored", resp.Header.Get("Idempotency-Status"), method)
			assert.Empty(t, resp.Header.Get("Idempotent-Replayed"))
		}
		assert.Empty(t, send(t, s.URL, call{method: method}).Header.Get("Idempotency-Status"), "no key was sent")
	}
	grpc := call{key: "same", header: http.Header{"Content-Type": {"application/grpc"}}}
	assert.Equal(t, "ignored", send(t, s.URL, grpc).Header.Get("Idempotency-Status"))
	assert.Equal(t, "ignored", send(t, s.URL, call{body: "B"}).Header.Get("Idempotency-Status"), "optional and absent")
	assert.Zero(t, st.calls.Load(), "calls to the store")
	assert.Equal(t, 8, s.Runs())
}

func TestK16_AroundARouterEveryMethodAndPathIsAnOperation(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		guard  []idempotency.Option
		strict bool
	}{
		{name: "default"},
		{name: "strict", guard: []idempotency.Option{idempotency.StrictKeys()}, strict: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newRouter(t, setup{guard: test.guard}, idempotency.Policy{})
			key := newKey()
			first := send(t, s.URL, call{key: key, body: "B"})
			requireExecuted(t, first)
			requireReplay(t, first, send(t, s.URL, call{key: key, body: "B"}))
			requireProblem(t, send(t, s.URL, call{key: key, body: "B'"}), 422, "idempotency_key_reused")
			requireProblem(t, send(t, s.URL+"?a=1", call{key: key, body: "B"}), 422, "idempotency_key_reused")
			for _, other := range []struct{ method, path string }{
				{"PUT", ""}, {"POST", "/1/refund"}, {"POST", "/2/refund"}, {"POST", "%2F1"},
			} {
				resp := send(t, s.URL+other.path, call{method: other.method, key: key, body: "B"})
				if test.strict {
					requireProblem(t, resp, 422, "idempotency_key_reused")
					continue
				}
				requireExecuted(t, resp)
				requireReplay(t, resp, send(t, s.URL+other.path, call{method: other.method, key: key, body: "B"}))
			}
			runs := 5
			if test.strict {
				runs = 1
			}
			assert.Equal(t, runs, s.Runs())
			requireProblem(t, send(t, s.URL, call{body: "B"}), 400, "idempotency_key_missing")
		})
	}
}

func TestK16_ARouteProtectedTwiceInsideIsToldAtOnce(t *testing.T) {
	t.Parallel()
	s := newRouter(t, setup{}, idempotency.Policy{})
	resp := send(t, s.Server.URL+"/orders", call{key: newKey(), body: "B"})
	assert.Equal(t, 500, resp.Status)
	assert.Contains(t, resp.Body, "mounted twice")
	assert.Zero(t, s.Runs())
}

// A webhook's key is the event's id.
func TestK14_K19_KeyFromTheBody(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{
		policy: idempotency.Policy{KeyFormat: idempotency.KeyUUID},
		http: []idemhttp.Option{idemhttp.Scope(tenant), idemhttp.KeyFunc(func(r *http.Request) (string, error) {
			return r.PostFormValue("event"), nil
		})},
	})
	event := func(id, more string) call {
		return call{body: "event=" + id + more, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
	}
	first := send(t, s.URL, event(uuid4, ""))
	requireExecuted(t, first)
	requireReplay(t, first, send(t, s.URL, event(uuid4, "")))
	requireProblem(t, send(t, s.URL, event(strings.ToUpper(uuid4), "")), 422, "idempotency_key_reused")
	requireProblem(t, send(t, s.URL, event(uuid4, "&more=1")), 422, "idempotency_key_reused")
	requireProblem(t, send(t, s.URL, event("evt_1", "")), 400, "idempotency_key_invalid")
	requireProblem(t, send(t, s.URL, event("", "")), 400, "idempotency_key_missing")
	assert.Equal(t, 1, s.Runs())
}
