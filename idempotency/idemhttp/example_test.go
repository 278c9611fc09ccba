package idemhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

// A service with one protected route. In production the store is a
// redisstore.Store, and the scope is whoever authentication says it is.
func Example() {
	guard, stop := newGuard()
	defer stop()
	mw, err := idemhttp.New(guard, idemhttp.Scope(func(r *http.Request) (string, error) {
		return r.Header.Get("X-Tenant"), nil
	}))
	if err != nil {
		panic(err)
	}

	payments := 0
	mux := http.NewServeMux()
	err = mw.Handle(mux, "POST /payments", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		payments++
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, "payment %d", payments)
	}))
	if err != nil {
		panic(err)
	}

	server := httptest.NewServer(mux)
	defer server.Close()
	post(server.URL, "acme", "order-1", "EUR 19.99")
	post(server.URL, "acme", "order-1", "EUR 19.99") // a retry
	post(server.URL, "acme", "order-1", "EUR 29.99") // another request under the same key
	post(server.URL, "umbra", "order-1", "EUR 5.00") // another tenant's key
	// Output:
	// 201 executed payment 1
	// 201 replayed payment 1
	// 422 mismatch
	// 201 executed payment 2
}

// Protect fits routers of the form func(http.Handler) http.Handler.
func ExampleMiddleware_Protect() {
	guard, stop := newGuard()
	defer stop()
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	if err != nil {
		panic(err)
	}
	protect, err := mw.Protect("orders.create", idempotency.Policy{Key: idempotency.KeyOptional})
	if err != nil {
		panic(err)
	}
	handler := protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ordered")
	}))

	server := httptest.NewServer(handler)
	defer server.Close()
	post(server.URL, "", "", "a book") // no key, and none is required
	post(server.URL, "", "k", "a book")
	post(server.URL, "", "k", "a book")
	// Output:
	// 200 ignored ordered
	// 200 executed ordered
	// 200 replayed ordered
}

// Mistakes are found at construction.
func ExampleNew_errors() {
	guard, stop := newGuard()
	defer stop()
	_, err := idemhttp.New(guard)
	fmt.Println(err)
	_, err = idemhttp.New(guard, idemhttp.GlobalScope(), idemhttp.RecordHeaders("Set-Cookie"))
	fmt.Println(err != nil)
	// Output:
	// idemhttp: no scope: choose Scope(func) or, openly, GlobalScope()
	// true
}

func newGuard() (guard *idempotency.Guard, stop func()) {
	store, err := memstore.New()
	if err != nil {
		panic(err)
	}
	guard, err = idempotency.New(store)
	if err != nil {
		panic(err)
	}
	return guard, func() { _ = guard.Shutdown(context.Background()) }
}

func post(url, tenant, key, body string) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/payments", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("X-Tenant", tenant)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= http.StatusBadRequest {
		answer = nil
	}
	fmt.Println(strings.TrimSpace(fmt.Sprintf("%d %s %s", resp.StatusCode, resp.Header.Get("Idempotency-Status"), answer)))
}
