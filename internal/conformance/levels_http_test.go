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
// mounts answers POST /orders with 201.
func httpLevels() []level {
	const pattern = "POST /orders"
	option := httpWay{mount: mountByOption, scope: idemhttp.Scope(tenantOnly), handler: plainly, unscoped: plainly}
	typed := httpWay{mount: mountHandler, scope: idemhttp.GlobalScope(), handler: orderDesk.typed, unscoped: orderDesk.typedUnscoped}
	table, below, wrapped, around := typed, typed, typed, option
	table.mount, below.mount, wrapped.mount, around.mount = mountTable, mountProtected, mountWrapped, mountAround
	all := []level{
		{
			name: "route option", operation: pattern, open: option.open, unscoped: option.openUnscoped,
			mistakes: []mistake{
				{"a word", option.declare("requierd"), []string{`"requierd"`, `"required"`}},
				{"a field", wrongPointer, []string{pattern, "FingerprintExclude", `"trace_id"`}},
			},
		},
		{
			name: "request struct", operation: pattern, open: typed.open, unscoped: typed.openUnscoped,
			mistakes: []mistake{{"a field's word", typed.misspelt(), []string{pattern, "misspelt.ID", `"kee"`, `"key"`}}},
		},
		{
			name: "route table", operation: pattern, open: table.open, unscoped: table.openUnscoped,
			mistakes: []mistake{
				{"a route's word", table.declare("requierd"), []string{"table.Create", `"requierd"`, `"required"`}},
				{"a field's word", table.misspelt(), []string{"table.Create", "misspelt.ID", `"kee"`, `"key"`}},
			},
		},
		{
			name: "request struct below another router", operation: "orders.create", open: below.open, unscoped: below.openUnscoped,
			mistakes: []mistake{
				{"a policy's word", wrongProtect, []string{`"orders.create"`, "Key", `"requierd"`}},
				{"a field's word", misspeltBelow, []string{"500", "misspelt.ID", `"kee"`, `"key"`}},
			},
		},
		{
			name: "request struct wrapped", operation: "orders.create", open: wrapped.open, unscoped: wrapped.openUnscoped,
			mistakes: []mistake{{"a field's word", wrapped.misspelt(), []string{"orders.create", "misspelt.ID", `"kee"`, `"key"`}}},
		},
		{
			name: "around a router", operation: "orders", open: around.open, unscoped: around.openUnscoped,
			mistakes: []mistake{{"a policy's word", wrongAround, []string{`"orders"`, "Key", `"requierd"`}}},
		},
	}
	for i := range all {
		all[i].passing = []trouble{500, 502, 503, 504}
	}
	return all
}

// httpWay is one way of mounting an order desk.
type httpWay struct {
	mount    func(mw *idemhttp.Middleware, mux *http.ServeMux, words string, handler http.Handler) error
	scope    idemhttp.Option
	handler  func(orderDesk) http.Handler
	unscoped func(orderDesk) http.Handler // whose input has no scope either
}

func (h httpWay) open(t *testing.T, desk orderDesk) callFunc {
	t.Helper()
	call, err := h.serve(t, desk, h.handler(desk), h.scope)
	require.NoError(t, err)
	return call
}

func (h httpWay) openUnscoped(t *testing.T, desk orderDesk, openly bool) (callFunc, error) {
	t.Helper()
	if openly {
		return h.serve(t, desk, h.unscoped(desk), idemhttp.GlobalScope())
	}
	return h.serve(t, desk, h.unscoped(desk))
}

// serve serves what is mounted on a socket.
func (h httpWay) serve(t *testing.T, desk orderDesk, handler http.Handler, scope ...idemhttp.Option) (callFunc, error) {
	t.Helper()
	mw, err := idemhttp.New(desk.guard, scope...)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	if err := h.mount(mw, mux, desk.words(), handler); err != nil {
		return nil, err
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return func(_ context.Context, in orderInput) (answered, error) { return order(t, server.URL, in) }, nil
}

// declare mounts something under other words, and misspelt something with a wrong tag.
func (h httpWay) declare(words string) func(*testing.T, *idempotency.Guard) error {
	return func(t *testing.T, g *idempotency.Guard) error {
		t.Helper()
		return h.mount(openly(t, g), http.NewServeMux(), words, h.handler(orderDesk{}))
	}
}

func (h httpWay) misspelt() func(*testing.T, *idempotency.Guard) error {
	return func(t *testing.T, g *idempotency.Guard) error {
		t.Helper()
		return h.mount(openly(t, g), http.NewServeMux(), "required", idemhttp.JSON(orderMisspelt))
	}
}

// openly is a middleware for what is declared wrongly in another respect.
func openly(t *testing.T, g *idempotency.Guard) *idemhttp.Middleware {
	t.Helper()
	mw, err := idemhttp.New(g, idemhttp.GlobalScope())
	require.NoError(t, err)
	return mw
}

func tenantOnly(r *http.Request) (string, error) { return r.Header.Get("X-Tenant"), nil }

// order sends an order, with the key and the tenant in the header as well.
func order(t *testing.T, url string, in orderInput) (got answered, err error) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		return got, err
	}
	resp, err := trySend(t, url+"/orders", call{
		key: in.ID, tenant: in.Tenant, body: string(body), header: http.Header{"Content-Type": {"application/json"}},
	})
	if err != nil {
		return got, err
	}
	if resp.Status == http.StatusCreated {
		got.Wire = fmt.Sprint(resp.Status, resp.Header["Content-Type"], resp.Body)
		got.Replayed = resp.Header.Get("Idempotent-Replayed") == "true"
		return got, json.Unmarshal([]byte(resp.Body), &got.orderOutput)
	}
	var refused struct {
		Code idempotency.Code `json:"code"`
	}
	if json.Unmarshal([]byte(resp.Body), &refused) == nil && refused.Code != "" {
		return got, &idempotency.Error{Code: refused.Code}
	}
	return got, trouble(resp.Status)
}

// plainly is a handler that knows nothing of tags: the key is in the header.
func plainly(desk orderDesk) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in orderInput
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		out, err := desk.run(r.Context(), in)
		if failed, ok := errors.AsType[trouble](err); ok {
			http.Error(w, "trouble", failed.HTTPStatus())
			return
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(out)
	})
}

func (d orderDesk) typed() http.Handler {
	return idemhttp.JSON(d.run, idemhttp.JSONStatus(http.StatusCreated))
}

func (d orderDesk) typedUnscoped() http.Handler {
	return idemhttp.JSON(d.runUnscoped, idemhttp.JSONStatus(http.StatusCreated))
}

// bodyWords say what of a body counts, where no tags do.
const bodyWords = ",fingerprint=json,fingerprint-exclude=/tenant|/trace_id"

// mountByOption says in the policy what counts. The tenant is in the header.
func mountByOption(mw *idemhttp.Middleware, mux *http.ServeMux, words string, handler http.Handler) error {
	return mountHandler(mw, mux, words+bodyWords, handler)
}

func mountHandler(mw *idemhttp.Middleware, mux *http.ServeMux, words string, handler http.Handler) error {
	policy, err := idempotency.ParsePolicy(words)
	if err != nil {
		return err
	}
	return mw.Handle(mux, "POST /orders", handler, policy)
}

// mountProtected stands for routers that know other patterns.
func mountProtected(mw *idemhttp.Middleware, mux *http.ServeMux, words string, handler http.Handler) error {
	policy, err := idempotency.ParsePolicy(words)
	if err != nil {
		return err
	}
	protect, err := mw.Protect("orders.create", policy)
	if err != nil {
		return err
	}
	mux.Handle("/", protect(handler))
	return nil
}

func mountWrapped(mw *idemhttp.Middleware, mux *http.ServeMux, words string, handler http.Handler) error {
	policy, err := idempotency.ParsePolicy(words)
	if err != nil {
		return err
	}
	protected, err := mw.Wrap("orders.create", handler, policy)
	if err != nil {
		return err
	}
	mux.Handle("/", protected)
	return nil
}

// mountAround goes around a router, and says in the policy what counts.
func mountAround(mw *idemhttp.Middleware, mux *http.ServeMux, words string, handler http.Handler) error {
	policy, err := idempotency.ParsePolicy(words + bodyWords)
	if err != nil {
		return err
	}
	protect, err := mw.ProtectByPath("orders", policy)
	if err != nil {
		return err
	}
	router := http.NewServeMux()
	router.Handle("POST /orders", handler)
	mux.Handle("/", protect(router))
	return nil
}

// mountTable mounts a table whose policy is known at run time only.
func mountTable(mw *idemhttp.Middleware, mux *http.ServeMux, words string, handler http.Handler) error {
	table := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: "Create", Type: reflect.TypeFor[http.Handler](),
		Tag: reflect.StructTag(fmt.Sprintf(`route:"POST /orders" idempotency:%q`, words)),
	}}))
	table.Elem().Field(0).Set(reflect.ValueOf(handler))
	return mw.Mount(mux, table.Interface())
}

// wrongPointer names a member without the slash of a JSON pointer.
func wrongPointer(t *testing.T, g *idempotency.Guard) error {
	t.Helper()
	policy := idempotency.Policy{Fingerprint: idempotency.FingerprintJSON, FingerprintExclude: []string{"trace_id"}}
	return openly(t, g).Handle(http.NewServeMux(), "POST /orders", plainly(orderDesk{}), policy)
}

func wrongProtect(t *testing.T, g *idempotency.Guard) error {
	t.Helper()
	_, err := openly(t, g).Protect("orders.create", requierd())
	return err
}

func wrongAround(t *testing.T, g *idempotency.Guard) error {
	t.Helper()
	_, err := openly(t, g).ProtectByPath("orders", requierd())
	return err
}

// misspeltBelow is told by every request: what goes around a handler returns no error.
func misspeltBelow(t *testing.T, g *idempotency.Guard) error {
	t.Helper()
	mux := http.NewServeMux()
	require.NoError(t, mountProtected(openly(t, g), mux, "required", idemhttp.JSON(orderMisspelt)))
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", http.NoBody))
	return fmt.Errorf("%d %s", answer.Code, answer.Body)
}
