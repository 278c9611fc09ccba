package idemhttp_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func TestWrap_ProtectsOneHandler(t *testing.T) {
	t.Parallel()
	var service orders
	mw := newMiddleware(t)
	handler, err := mw.Wrap("orders.create", idemhttp.JSON(service.create), idempotency.Policy{Retention: time.Hour})
	require.NoError(t, err)
	for _, want := range []string{"executed", "replayed"} {
		w := asked(t, handler, "", `{"request_id":"k","merchant":"acme"}`)
		assert.Equal(t, want, w.Header().Get("Idempotency-Status"))
	}
	assert.Equal(t, 1, service.runs)
	assert.Empty(t, mw.Routes(), "somebody else mounts it")
}

// wrongChains are handlers that cannot be protected under a policy, and why.
func wrongChains(t *testing.T) map[string]struct {
	handler http.Handler
	policy  idempotency.Policy
	want    string
} {
	t.Helper()
	protect, err := newMiddleware(t).Protect("inner")
	require.NoError(t, err)
	type scoped struct {
		Merchant string `idempotency:"scope"`
	}
	return map[string]struct {
		handler http.Handler
		policy  idempotency.Policy
		want    string
	}{
		"nothing": {want: "no handler: the handler is nil"},
		"a wrong request": {
			handler: typed[unknownWord](),
			want:    `JSON: unknownWord.ID: idempotency:"kee": there is no word "kee"; the nearest is "key"`,
		},
		"a misspelt place": {
			handler: typed[misspeltPlace](),
			want:    `JSON: misspeltPlace.ID: there is no tag "pth"; the nearest is "path"`,
		},
		"what counts, twice": {
			handler: typed[plain](), policy: idempotency.Policy{Fingerprint: idempotency.FingerprintJSON, FingerprintOnly: []string{"/amount"}},
			want: "Policy.FingerprintOnly and FingerprintExclude: the tags of plain say what counts: say it in one place",
		},
		"a scope for records by path": {
			handler: typed[scoped](),
			want: `operation "orders" has a scope from the fields of its requests, so that neither Status nor ` +
				`ProtectByPath would find its records`,
		},
		"protected already": {
			handler: protect(http.NotFoundHandler()),
			want:    "the handler is protected already, and a request would meet its own claim: protect it once",
		},
		"a timeout inside": {
			handler: http.TimeoutHandler(http.NotFoundHandler(), time.Second, ""),
			want: "http.TimeoutHandler stands inside: its 503 would say that nothing happened while the handler that it " +
				"wraps is still at work; put it outside, around the protected route or the mux",
		},
	}
}

// Whoever has the handler at hand gets an error, by Wrap, Handle and Mount; and nothing
// is left behind. Protect can only say it where the chain is served.
func TestF58_WrongChainsAreErrorsWhereTheHandlerIsAtHand(t *testing.T) {
	t.Parallel()
	for name, tt := range wrongChains(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logged := &bytes.Buffer{}
			guard := newGuardFor(t, loggingTo(logged))
			mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
			require.NoError(t, err)
			_, err = mw.ProtectByPath("orders", tt.policy)
			require.NoError(t, err)
			registered := guard.Operations()

			_, err = mw.Wrap("orders", tt.handler, tt.policy)
			require.EqualError(t, err, "idemhttp: orders: "+tt.want)
			mux := http.NewServeMux()
			err = mw.Mount(mux, struct {
				Create http.Handler `route:"POST /orders" operation:"orders"`
			}{orNothing(tt.handler)}, idemhttp.TablePolicy(idempotency.Policy{Key: idempotency.KeyRequired}.Override(tt.policy)))
			require.EqualError(t, err, "idemhttp: table.Create: "+tt.want)
			_, pattern := mux.Handler(newRequest(t, http.MethodPost, "/orders"))
			assert.Empty(t, pattern)
			assert.Equal(t, registered, guard.Operations())
			assert.Empty(t, logged.String(), "who can return an error says it there")

			protect, err := mw.Protect("orders", tt.policy)
			require.NoError(t, err)
			served := protect(tt.handler)
			assert.Equal(t, 1, strings.Count(logged.String(), "a mistake in the program"), "before any request")
			for range 3 {
				w := httptest.NewRecorder()
				served.ServeHTTP(w, keyedRequest(t.Context(), http.MethodPost, "/orders", "k"))
				assert.Equal(t, http.StatusInternalServerError, w.Code)
				assert.Equal(t, "rejected", w.Header().Get("Idempotency-Status"))
				assert.Equal(t, "idempotency: operation orders: "+tt.want, strings.TrimSpace(w.Body.String()))
			}
			protect(tt.handler)
			assert.Equal(t, 1, strings.Count(logged.String(), "a mistake in the program"), "once")
		})
	}
}

// orNothing keeps a nil handler as it would stand in a table.
func orNothing(handler http.Handler) http.Handler {
	if handler == nil {
		return http.HandlerFunc(nil)
	}
	return handler
}

func TestWrap_WhatTheOperationRefusesIsAnErrorAndRegistersNothing(t *testing.T) {
	t.Parallel()
	guard := newGuardFor(t)
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	_, err = mw.Wrap("", http.NotFoundHandler())
	require.EqualError(t, err, "idemhttp: : idempotency: operation name has 0 bytes, not 1 to 255")
	_, err = mw.Wrap("a", http.NotFoundHandler(), idempotency.Policy{Headers: []string{"Set-Cookie"}})
	require.EqualError(t, err, `idemhttp: a: Policy.Headers: header "Set-Cookie" cannot be recorded: it belongs to one client's session`)
	_, err = mw.Wrap("a", http.NotFoundHandler(), idempotency.Policy{Lease: time.Millisecond})
	require.EqualError(t, err, `idemhttp: a: idempotency: operation "a": Lease is 1ms, not within 100ms and 24h0m0s`)
	assert.Empty(t, guard.Operations())
	_, err = mw.Wrap("a", http.NotFoundHandler(), idempotency.Policy{Lease: time.Second})
	require.NoError(t, err, "put right")
	_, err = mw.Wrap("a", http.NotFoundHandler(), idempotency.Policy{Lease: time.Minute})
	require.EqualError(t, err, `idemhttp: a: idempotency: operation "a" is registered already, with another policy or a Reconcile`)
}

// A middleware between two hides the tags. That is logged once, and says no path.
func TestProtect_TagsThatAreHiddenAreLoggedOnce(t *testing.T) {
	t.Parallel()
	var service orders
	logged := &bytes.Buffer{}
	mw, err := idemhttp.New(newGuardFor(t, loggingTo(logged)), idemhttp.GlobalScope())
	require.NoError(t, err)
	protect, err := mw.ProtectByPath("orders", idempotency.Policy{Orphan: idempotency.OrphanRerun})
	require.NoError(t, err)
	hidden := protect(http.HandlerFunc(idemhttp.JSON(service.create).ServeHTTP))
	for _, path := range []string{"/secret/1", "/secret/2"} {
		w := httptest.NewRecorder()
		hidden.ServeHTTP(w, keyedRequest(t.Context(), http.MethodPost, path, "k"))
		assert.Equal(t, http.StatusInternalServerError, w.Code)
	}
	assert.Equal(t, 1, strings.Count(logged.String(), "operation orders: JSON: a middleware between it"))
	assert.NotContains(t, logged.String(), "secret")
	assert.Zero(t, service.runs)
}

func ExampleMiddleware_Wrap() {
	guard, stop := newGuard()
	defer stop()
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	if err != nil {
		panic(err)
	}
	type CreatePayment struct {
		RequestID string `json:"request_id" idempotency:"key"`
		Amount    int64  `json:"amount"`
	}
	type Payment struct {
		Amount int64 `json:"amount"`
	}
	create := func(_ context.Context, req CreatePayment) (Payment, error) { return Payment{req.Amount}, nil }
	handler, err := mw.Wrap("payments.create", idemhttp.JSON(create), idempotency.Policy{Retention: 72 * time.Hour})
	if err != nil {
		panic(err)
	}
	router := http.NewServeMux() // or any other
	router.Handle("POST /payments", handler)
	for range 2 {
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/payments", strings.NewReader(`{"request_id":"r1","amount":5}`)))
		fmt.Print(w.Header().Get("Idempotency-Status"), " ", w.Body)
	}
	// Output:
	// executed {"amount":5}
	// replayed {"amount":5}
}
