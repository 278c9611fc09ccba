package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// httpLevels are the ways of declaring protected routes and handlers. What each
// mounts answers POST /orders.
func httpLevels() []level {
	return []level{
		{name: "route option", open: openedBy(mountByOption, idemhttp.Scope(tenantOnly))},
		{
			name: "request struct", open: openedBy(mountTyped, idemhttp.GlobalScope()),
			mistake: misspeltRequest, names: []string{"misspelt.ID", `"kee"`, `"key"`},
		},
		{
			name: "route table", open: openedBy(mountTable, idemhttp.GlobalScope()),
			mistake: misspeltTable, names: []string{"table.Create", `"requierd"`, `"required"`},
		},
		{name: "request struct below another router", open: openedBy(mountProtected, idemhttp.GlobalScope())},
	}
}

// mountFunc mounts an order desk.
type mountFunc func(mw *idemhttp.Middleware, mux *http.ServeMux, desk orderDesk) error

// openedBy serves what is mounted on a socket.
func openedBy(mount mountFunc, scope idemhttp.Option) func(*testing.T, orderDesk) callFunc {
	return func(t *testing.T, desk orderDesk) callFunc {
		t.Helper()
		mw, err := idemhttp.New(desk.guard, scope)
		require.NoError(t, err)
		mux := http.NewServeMux()
		require.NoError(t, mount(mw, mux, desk))
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		return func(_ context.Context, in orderInput) (orderOutput, error) { return order(t, server.URL, in) }
	}
}

func tenantOnly(r *http.Request) (string, error) { return r.Header.Get("X-Tenant"), nil }

// order sends an order, with the key and the tenant in the header as well.
func order(t *testing.T, url string, in orderInput) (out orderOutput, err error) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	resp, err := trySend(t, url+"/orders", call{
		key: in.ID, tenant: in.Tenant, body: string(body), header: http.Header{"Content-Type": {"application/json"}},
	})
	if err != nil || resp.Status == http.StatusOK {
		return out, errors.Join(err, json.Unmarshal([]byte(resp.Body), &out))
	}
	var refused struct {
		Code idempotency.Code `json:"code"`
	}
	if json.Unmarshal([]byte(resp.Body), &refused) == nil && refused.Code != "" {
		return out, &idempotency.Error{Code: refused.Code}
	}
	return out, fmt.Errorf("%d %s", resp.Status, resp.Body)
}

// mountByOption mounts a handler that knows nothing of tags: the key is in the
// header, and the policy says what counts.
func mountByOption(mw *idemhttp.Middleware, mux *http.ServeMux, desk orderDesk) error {
	policy, err := idempotency.ParsePolicy(desk.words() + ",fingerprint=json,fingerprint-exclude=/trace_id")
	if err != nil {
		return err
	}
	return mw.Handle(mux, "POST /orders", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in orderInput
		err := json.NewDecoder(r.Body).Decode(&in)
		var out orderOutput
		if err == nil {
			out, err = desk.run(r.Context(), in)
		}
		if err != nil {
			http.Error(w, "trouble", http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(out)
	}), policy)
}

func mountTyped(mw *idemhttp.Middleware, mux *http.ServeMux, desk orderDesk) error {
	policy, err := idempotency.ParsePolicy(desk.words())
	if err != nil {
		return err
	}
	return mw.Handle(mux, "POST /orders", idemhttp.JSON(desk.run), policy)
}

// mountProtected stands for routers that know other patterns.
func mountProtected(mw *idemhttp.Middleware, mux *http.ServeMux, desk orderDesk) error {
	policy, err := idempotency.ParsePolicy(desk.words())
	if err != nil {
		return err
	}
	protect, err := mw.Protect("orders.create", policy)
	if err != nil {
		return err
	}
	mux.Handle("/", protect(idemhttp.JSON(desk.run)))
	return nil
}

func mountTable(mw *idemhttp.Middleware, mux *http.ServeMux, desk orderDesk) error {
	return mw.Mount(mux, tableOf(desk.words(), idemhttp.JSON(desk.run)))
}

// tableOf is a route table whose policy is known at run time only.
func tableOf(words string, handler http.Handler) any {
	table := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: "Create", Type: reflect.TypeFor[http.Handler](),
		Tag: reflect.StructTag(fmt.Sprintf(`route:"POST /orders" idempotency:%q`, words)),
	}}))
	table.Elem().Field(0).Set(reflect.ValueOf(handler))
	return table.Interface()
}

type misspelt struct {
	ID string `idempotency:"kee"`
}

func misspeltRequest(g *idempotency.Guard) error {
	mw, err := idemhttp.New(g, idemhttp.GlobalScope())
	if err != nil {
		return err
	}
	handler := idemhttp.JSON(func(context.Context, misspelt) (orderOutput, error) { return orderOutput{}, nil })
	return mw.Handle(http.NewServeMux(), "POST /orders", handler)
}

func misspeltTable(g *idempotency.Guard) error {
	mw, err := idemhttp.New(g, idemhttp.GlobalScope())
	if err != nil {
		return err
	}
	return mw.Mount(http.NewServeMux(), tableOf("requierd", http.NotFoundHandler()))
}
