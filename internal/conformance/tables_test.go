package conformance_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store"
)

// shopRoutes are a service that is declared by tags alone.
type shopRoutes struct {
	Orders struct {
		Create http.Handler     `route:"POST /orders" operation:"orders.create"`
		Cancel http.Handler     `route:"POST /orders/{id}/cancel"`
		Read   http.HandlerFunc `route:"GET /orders/{id}"`
		Change http.Handler     `route:"PATCH /orders/{id}" idempotency:"optional"`
	} `route:"/v1" idempotency:"required,wait=15s,key-format=uuid4"`
	Track http.HandlerFunc `route:"POST /track" idempotency:"off"`
}

type shopOrder struct {
	RequestID string `json:"request_id,omitempty" idempotency:"key"`
	Item      string `json:"item"`
	Trace     string `json:"trace,omitempty" idempotency:"-"`
}

type shopCancel struct {
	ID     int    `path:"id" json:"-"`
	Reason string `json:"reason"`
}

type shopAnswer struct {
	Run  int64  `json:"run"`
	What string `json:"what"`
}

// shop is a node of the service.
type shop struct {
	url string
	mw  *idemhttp.Middleware
}

// newShop starts a node. Its runs are counted in runs.
func newShop(t *testing.T, st store.Store, runs *atomic.Int64) shop {
	t.Helper()
	guard := guardsOn(t, 1, func() store.Store { return st })[0]
	mw, err := idemhttp.New(guard, idemhttp.Scope(tenant))
	require.NoError(t, err)
	var routes shopRoutes
	routes.Orders.Create = idemhttp.JSON(func(_ context.Context, in shopOrder) (shopAnswer, error) {
		return shopAnswer{runs.Add(1), in.Item}, nil
	}, idemhttp.JSONStatus(http.StatusCreated))
	routes.Orders.Cancel = idemhttp.JSON(func(_ context.Context, in shopCancel) (shopAnswer, error) {
		return shopAnswer{runs.Add(1), strconv.Itoa(in.ID) + " " + in.Reason}, nil
	})
	routes.Orders.Change = routes.Orders.Cancel
	routes.Orders.Read = func(http.ResponseWriter, *http.Request) { runs.Add(1) }
	routes.Track = routes.Orders.Read
	mux := http.NewServeMux()
	require.NoError(t, mw.Mount(mux, &routes))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return shop{server.URL, mw}
}

const shopKey = "0f8fad5b-d9cb-469f-a165-70867728950e"

func TestTable_OneNodeReplaysWhatAnotherRan_R1_F1_G2(t *testing.T) {
	t.Parallel()
	namespace := namespaceOf(t)
	open := func() store.Store { return openRedis(t, shared.Server(t).Client(t), namespace) }
	runs := new(atomic.Int64)
	a, b := newShop(t, open(), runs), newShop(t, open(), runs)

	first := send(t, a.url+"/v1/orders", call{body: `{"request_id":"` + shopKey + `","item":"book","trace":"1"}`})
	require.Equal(t, http.StatusCreated, first.Status, first.Body)
	requireExecuted(t, first)
	requireReplay(t, first, send(t, b.url+"/v1/orders", call{
		body: `{"item":"book","request_id":"` + strings.ToUpper(shopKey) + `","trace":"2"}`,
	}))
	requireReplay(t, first, send(t, b.url+"/v1/orders", call{key: shopKey, body: `{"item":"book"}`}))
	requireReplay(t, first, send(t, b.url+"/v1/orders", call{
		key: shopKey, body: `{ "item":"\u0062ook" }`, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, // as curl -d
	}))
	requireProblem(t, send(t, b.url+"/v1/orders", call{key: shopKey, body: `{"item":"pen"}`}), 422, "idempotency_key_reused")
	requireProblem(t, send(t, b.url+"/v1/orders", call{
		key: "11111111-d9cb-469f-a165-70867728950e", body: `{"request_id":"` + shopKey + `","item":"book"}`,
	}), 400, "idempotency_key_invalid")
	requireProblem(t, send(t, b.url+"/v1/orders", call{body: `{"item":"book"}`}), 400, "idempotency_key_missing")
	requireProblem(t, send(t, b.url+"/v1/orders", call{key: "7", body: `{"item":"book"}`}), 400, "idempotency_key_invalid")
	assert.EqualValues(t, 1, runs.Load())
}

func TestTable_EachRouteHasThePolicyOfItsTags_P5(t *testing.T) {
	t.Parallel()
	runs := new(atomic.Int64)
	s := newShop(t, newMemory(t), runs)
	order := call{key: shopKey, body: `{"item":"book"}`}
	cancel := call{key: shopKey, body: `{"reason":"late"}`}

	requireExecuted(t, send(t, s.url+"/v1/orders", order))
	first := send(t, s.url+"/v1/orders/7/cancel", cancel) // the same key, another operation
	requireExecuted(t, first)
	assert.JSONEq(t, `{"run":2,"what":"7 late"}`, first.Body)
	requireReplay(t, first, send(t, s.url+"/v1/orders/7/cancel", cancel))
	requireProblem(t, send(t, s.url+"/v1/orders/8/cancel", cancel), 422, "idempotency_key_reused")
	require.EqualValues(t, 2, runs.Load())

	cancel.key, cancel.method = "", http.MethodPatch // optional
	for range 2 {
		assert.Equal(t, "ignored", send(t, s.url+"/v1/orders/7", cancel).Header.Get("Idempotency-Status"))
	}
	for range 2 {
		assert.Equal(t, "ignored", send(t, s.url+"/track", order).Header.Get("Idempotency-Status")) // off
		assert.Empty(t, send(t, s.url+"/v1/orders/7", call{method: http.MethodGet}).Header.Get("Idempotency-Status"))
	}
	assert.EqualValues(t, 8, runs.Load())
}

// Whoever runs the service can be told what it protects, and so can a test.
func TestTable_RoutesTellWhatIsProtected(t *testing.T) {
	t.Parallel()
	s := newShop(t, newMemory(t), new(atomic.Int64))
	protected := make(map[string]string)
	for _, r := range s.mw.Routes() {
		words := "-"
		if r.Protected {
			words = string(r.Policy.Key) + " " + r.Operation
		}
		protected[r.Pattern] = words
	}
	assert.Equal(t, map[string]string{
		"POST /v1/orders":             "required orders.create",
		"POST /v1/orders/{id}/cancel": "required POST /v1/orders/{id}/cancel",
		"PATCH /v1/orders/{id}":       "optional PATCH /v1/orders/{id}",
		"GET /v1/orders/{id}":         "-",
		"POST /track":                 "-",
	}, protected)
}

// The handler of a wrapped function is not protected itself, and tells the
// refusals of the function as the middleware would.
func TestTable_WrappedFunctionBehindAJSONHandlerTellsItsRefusals(t *testing.T) {
	t.Parallel()
	guard := guardsOn(t, 1, func() store.Store { return newMemory(t) })[0]
	desk := orderDesk{guard: guard, runs: new(atomic.Int64)}
	create, err := idempotency.Wrap(guard, "orders.create", desk.run)
	require.NoError(t, err)
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	mux := http.NewServeMux()
	require.NoError(t, mw.Handle(mux, "POST /orders", idemhttp.JSON(create, idemhttp.JSONStatus(http.StatusCreated)),
		idempotency.Policy{Key: idempotency.KeyOff}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	for range 2 {
		out, err := order(t, server.URL, orderOf("k"))
		require.NoError(t, err)
		assert.EqualValues(t, 1, out.Run)
	}
	other := orderOf("k")
	other.Amount++
	_, err = order(t, server.URL, other)
	require.ErrorIs(t, err, idempotency.ErrKeyReused)
	other.ID = ""
	_, err = order(t, server.URL, other)
	require.ErrorIs(t, err, idempotency.ErrKeyMissing)
	assert.EqualValues(t, 1, desk.runs.Load())
}
