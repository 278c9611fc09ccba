package idemhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

type createOrder struct {
	RequestID string `json:"request_id" idempotency:"key"`
	Merchant  string `json:"merchant"   idempotency:"scope"`
	Amount    int64  `json:"amount"`
	Comment   string `json:"comment"    idempotency:"-"`
}

type order struct {
	Number int    `json:"number"`
	For    string `json:"for"`
}

// orders answers with the number of the run.
type orders struct{ runs int }

func (o *orders) create(_ context.Context, req createOrder) (order, error) {
	o.runs++
	return order{o.runs, req.Merchant}, nil
}

// asked sends a body with a header key, if any.
func asked(t *testing.T, handler http.Handler, key, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// said is what a client gets: status, mark, and the code or body.
func said(w *httptest.ResponseRecorder) string {
	var problem struct {
		Code string `json:"code"`
	}
	text := strings.TrimSpace(w.Body.String())
	if json.Unmarshal(w.Body.Bytes(), &problem) == nil && problem.Code != "" {
		text = problem.Code
	}
	return fmt.Sprintf("%d %s %s", w.Code, w.Header().Get("Idempotency-Status"), text)
}

func mountTyped(t *testing.T, mw *idemhttp.Middleware, handler http.Handler, policy idempotency.Policy) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	require.NoError(t, mw.Handle(mux, "POST /orders", handler, policy))
	return mux
}

func TestJSON_KeyScopeAndWhatCountsAreThoseOfTheStruct(t *testing.T) {
	t.Parallel()
	const first = `{"request_id":"k1","merchant":"acme","amount":5,"comment":"first"}`
	tests := []struct {
		name      string
		key, body string
		want      string
	}{
		{"a retry", "", first, `200 replayed {"number":1,"for":"acme"}`},
		{"written in another way", "", ` { "amount":5, "merchant":"acme",` + "\n" + `"request_id":"\u006b1", "comment":"first"}`, `200 replayed {"number":1,"for":"acme"}`},
		{"what is excluded does not count", "", `{"request_id":"k1","merchant":"acme","amount":5}`, `200 replayed {"number":1,"for":"acme"}`},
		{"what counts", "", `{"request_id":"k1","merchant":"acme","amount":6}`, `422 mismatch idempotency_key_reused`},
		{"another scope", "", `{"request_id":"k1","merchant":"umbra","amount":5}`, `200 executed {"number":2,"for":"umbra"}`},
		{"another key", "", `{"request_id":"k2","merchant":"acme","amount":5}`, `200 executed {"number":2,"for":"acme"}`},
		{"the key in the header as well", "k1", first, `200 replayed {"number":1,"for":"acme"}`},
		{"the key in the header alone", "k1", `{"merchant":"acme","amount":5}`, `200 replayed {"number":1,"for":"acme"}`},
		{"another key in the header, G3", "k9", first, `400 rejected idempotency_key_invalid`},
		{"no key", "", `{"merchant":"acme","amount":5}`, `400 rejected idempotency_key_missing`},
		{"an invalid key", "", `{"request_id":"é","merchant":"acme"}`, `400 rejected idempotency_key_invalid`},
		{"no scope", "", `{"request_id":"k1","amount":5}`, `500 rejected scope_missing`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var service orders
			handler := mountTyped(t, newMiddleware(t), idemhttp.JSON(service.create), idempotency.Policy{})
			require.Equal(t, `200 executed {"number":1,"for":"acme"}`, said(asked(t, handler, "", first)))
			assert.Equal(t, tt.want, said(asked(t, handler, tt.key, tt.body)))
		})
	}
}

// The scope of a request says whom it concerns, never who sends it.
func TestA1_ScopeInTheRequestIsWithinTheCallersOwn(t *testing.T) {
	t.Parallel()
	var service orders
	guard := newGuardFor(t)
	mw, err := idemhttp.New(guard, idemhttp.Scope(func(r *http.Request) (string, error) {
		return r.Header.Get("X-Tenant"), nil
	}))
	require.NoError(t, err)
	handler := mountTyped(t, mw, idemhttp.JSON(service.create), idempotency.Policy{})
	send := func(tenant string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders",
			strings.NewReader(`{"request_id":"k","merchant":"acme"}`))
		r.Header.Set("X-Tenant", tenant)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return said(w)
	}
	assert.Equal(t, `200 executed {"number":1,"for":"acme"}`, send("a"))
	assert.Equal(t, `200 executed {"number":2,"for":"acme"}`, send("b"))
	assert.Equal(t, `200 replayed {"number":1,"for":"acme"}`, send("a"))
	found, err := guard.Lookup(t.Context(), guard.ID("POST /orders", idemhttp.ScopeWithin("b", "acme"), "k"))
	require.NoError(t, err)
	assert.Equal(t, "completed", found.State.String())
	assert.NotEqual(t, idemhttp.ScopeWithin("a", "bc"), idemhttp.ScopeWithin("ab", "c"))
	assert.NotEqual(t, idemhttp.ScopeWithin("a:b", "c"), idemhttp.ScopeWithin("a", "b:c"))
}

func TestJSON_KeyFormatHoldsForTheStructsKey(t *testing.T) {
	t.Parallel()
	var service orders
	handler := mountTyped(t, newMiddleware(t), idemhttp.JSON(service.create), idempotency.Policy{KeyFormat: idempotency.KeyUUIDv4})
	const upper, lower = "0F8FAD5B-D9CB-469F-A165-70867728950E", "0f8fad5b-d9cb-469f-a165-70867728950e"
	assert.Equal(t, `200 executed {"number":1,"for":"a"}`, said(asked(t, handler, "", `{"request_id":"`+upper+`","merchant":"a"}`)))
	assert.Equal(t, `200 replayed {"number":1,"for":"a"}`, said(asked(t, handler, "", `{"request_id":"`+lower+`","merchant":"a"}`)))
	assert.Equal(t, `200 replayed {"number":1,"for":"a"}`, said(asked(t, handler, upper, `{"request_id":"`+lower+`","merchant":"a"}`)))
	assert.Equal(t, `400 rejected idempotency_key_invalid`, said(asked(t, handler, "", `{"request_id":"1","merchant":"a"}`)))
}

// With a scope in the request, what cannot be read claims nothing: its key is free.
func TestJSON_RequestsThatCannotBeReadClaimNothing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body, detail string
	}{
		{"empty", "", "The body is empty; it should be a JSON object."},
		{"blank", " \n", "The body is empty; it should be a JSON object."},
		{"no JSON", "amount=5", "The body is not one JSON object in UTF-8 with unique member names."},
		{"no object", "[]", "The body is not one JSON object in UTF-8 with unique member names."},
		{"null", "null", "The body is not one JSON object in UTF-8 with unique member names."},
		{"cut short", `{"amount":5`, "The body is not one JSON object in UTF-8 with unique member names."},
		{"something after it", `{"amount":5}{}`, "The body is not one JSON object in UTF-8 with unique member names."},
		{"a member twice", `{"amount":5,"amount":6}`, "The body is not one JSON object in UTF-8 with unique member names."},
		{"no UTF-8", "{\"comment\":\"\xff\"}", "The body is not one JSON object in UTF-8 with unique member names."},
		{"unknown member", `{"amuont":5}`, `There is no member "amuont" in this request.`},
		{"another type", `{"amount":"5"}`, `The member "amount" cannot be a string.`},
		{"an array", `{"amount":[]}`, `The member "amount" cannot be an array.`},
		{"too large a number", `{"amount":1e99}`, `The member "amount" cannot be this number.`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var service orders
			handler := mountTyped(t, newMiddleware(t), idemhttp.JSON(service.create), idempotency.Policy{})
			w := asked(t, handler, "k", tt.body)
			assert.Equal(t, http.StatusBadRequest, w.Code)
			assert.Equal(t, "rejected", w.Header().Get("Idempotency-Status"))
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			var problem struct {
				Detail string `json:"detail"`
			}
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &problem))
			assert.Equal(t, tt.detail, problem.Detail)
			assert.Zero(t, service.runs)
			put := asked(t, handler, "k", `{"merchant":"acme"}`)
			assert.Equal(t, `200 executed {"number":1,"for":"acme"}`, said(put))
		})
	}
}

// Where key and scope are known, a refusal is an answer like any other.
func TestJSON_RequestsThatCannotBeReadAreRecordedUnderTheHeadersKey(t *testing.T) {
	t.Parallel()
	type request struct {
		ID     string `json:"id" idempotency:"key"`
		Amount int64  `json:"amount"`
	}
	for name, policy := range map[string]idempotency.Policy{
		"whole": {}, "headers": {FingerprintHeaders: []string{"X-Version"}},
		"key alone": {Fingerprint: idempotency.FingerprintOff},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := mountTyped(t, newMiddleware(t), typed[request](), policy)
			const detail = ` {"type":"about:blank","title":"Bad Request","status":400,"detail":"The member \"amount\" cannot be a string."}`
			assert.Equal(t, "400 rejected"+detail, said(asked(t, handler, "", `{"id":"k","amount":"5"}`)), "the key is in what cannot be read")
			assert.Equal(t, "400 executed"+detail, said(asked(t, handler, "k", `{"amount":"5"}`)))
			assert.Equal(t, "400 replayed"+detail, said(asked(t, handler, "k", `{"amount":"5"}`)))
			put := said(asked(t, handler, "k", `{"amount":5}`))
			if policy.Fingerprint == idempotency.FingerprintOff {
				assert.Equal(t, "400 replayed"+detail, put)
				return
			}
			assert.Equal(t, "422 mismatch idempotency_key_reused", put)
			assert.Equal(t, `200 executed {"Amount":0}`, said(asked(t, handler, "k2", `{"amount":5}`)))
			assert.Equal(t, "422 mismatch idempotency_key_reused", said(asked(t, handler, "k2", `{"amount":"5"}`)))
		})
	}
}

// A chain that hides the tags would look for the key in the header alone, and
// keep no scopes apart.
func TestJSON_HiddenTagsAreToldAtTheFirstRequest(t *testing.T) {
	t.Parallel()
	var service orders
	inner := idemhttp.JSON(service.create)
	handler := mountTyped(t, newMiddleware(t), http.HandlerFunc(inner.ServeHTTP), idempotency.Policy{})
	w := asked(t, handler, "k", `{"request_id":"k","merchant":"acme"}`)
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	assert.Contains(t, w.Body.String(), "a middleware between it and the protected route hides its tags")
	assert.Zero(t, service.runs)
}

func TestJSON_ServesUnprotected(t *testing.T) {
	t.Parallel()
	var service orders
	handler := idemhttp.JSON(service.create, idemhttp.JSONMaxBody(64))
	for run := range 2 {
		w := asked(t, handler, "k", `{"request_id":"k","merchant":"acme"}`)
		assert.Equal(t, fmt.Sprintf(`200  {"number":%d,"for":"acme"}`, run+1), said(w))
	}
	w := asked(t, handler, "", `{"comment":"`+strings.Repeat("x", 64)+`"}`)
	assert.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
}

// Where keys are optional, off, or only watched, the function runs all the same.
func TestJSON_RunsWithoutAKeyWhereThePolicyAllowsIt(t *testing.T) {
	t.Parallel()
	for key, mark := range map[idempotency.KeyRule]string{
		idempotency.KeyOptional: "ignored", idempotency.KeyOff: "", idempotency.KeyShadow: "unprotected",
	} {
		var service orders
		handler := mountTyped(t, newMiddleware(t), idemhttp.JSON(service.create), idempotency.Policy{Key: key})
		for run := range 2 {
			w := asked(t, handler, "", `{"merchant":"acme"}`)
			assert.Equal(t, fmt.Sprintf(`200 %s {"number":%d,"for":"acme"}`, mark, run+1), said(w), key)
		}
	}
	var service orders
	handler := mountTyped(t, newMiddleware(t), idemhttp.JSON(service.create), idempotency.Policy{Key: idempotency.KeyShadow})
	for run := range 2 {
		w := asked(t, handler, "", `{"request_id":"k","merchant":"acme"}`)
		assert.Equal(t, fmt.Sprintf(`200 unprotected {"number":%d,"for":"acme"}`, run+1), said(w), "with a key, twice")
	}
}

func TestJSON_OversizedBodyIsRefusedByThePolicysLimit(t *testing.T) {
	t.Parallel()
	var service orders
	handler := mountTyped(t, newMiddleware(t), idemhttp.JSON(service.create), idempotency.Policy{MaxRequestBody: 32})
	w := asked(t, handler, "k", `{"comment":"`+strings.Repeat("x", 64)+`"}`)
	assert.Equal(t, "413 rejected request_body_too_large", said(w))
	assert.Zero(t, service.runs)
}

func loggingTo(w io.Writer) idempotency.Option {
	return idempotency.WithLogger(slog.New(slog.NewTextHandler(w, nil)))
}

func newGuardFor(t *testing.T, opts ...idempotency.Option) *idempotency.Guard {
	t.Helper()
	records, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(records, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	return guard
}
