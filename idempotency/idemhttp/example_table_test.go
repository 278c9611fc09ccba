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
)

// A service's routes in one table: what a route is, and how it is protected, stand
// in one line.
func ExampleMiddleware_Mount() {
	guard, stop := newGuard()
	defer stop()
	mw, err := idemhttp.New(guard, idemhttp.Scope(func(r *http.Request) (string, error) {
		return r.Header.Get("X-Tenant"), nil
	}))
	if err != nil {
		panic(err)
	}

	type routes struct {
		Create http.HandlerFunc `route:"POST /payments" idempotency:"required,retention=72h"`
		Read   http.HandlerFunc `route:"GET /payments/{id}"`
		Ping   http.HandlerFunc `route:"POST /ping" idempotency:"off"`
	}
	payments := 0
	mux := http.NewServeMux()
	err = mw.Mount(mux, &routes{
		Create: func(w http.ResponseWriter, _ *http.Request) {
			payments++
			_, _ = fmt.Fprintf(w, "payment %d", payments)
		},
		Read: func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.PathValue("id")) },
		Ping: func(http.ResponseWriter, *http.Request) {},
	})
	if err != nil {
		panic(err)
	}

	server := httptest.NewServer(mux)
	defer server.Close()
	post(server.URL, "acme", "order-1", "EUR 19.99")
	post(server.URL, "acme", "order-1", "EUR 19.99") // a retry
	// Output:
	// 200 executed payment 1
	// 200 replayed payment 1
}

// What is wrong with a table is found when the program starts.
func ExampleMiddleware_Mount_errors() {
	guard, stop := newGuard()
	defer stop()
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	if err != nil {
		panic(err)
	}

	type Routes struct {
		Create http.HandlerFunc `route:"POST /payments" idempotency:"required,orphan=retry"`
		Refund http.HandlerFunc `route:"POST /refunds"`
	}
	nothing := func(http.ResponseWriter, *http.Request) {}
	fmt.Println(mw.Mount(http.NewServeMux(), &Routes{nothing, nothing}))
	type Forgotten struct {
		Refund http.HandlerFunc `route:"POST /refunds"`
	}
	fmt.Println(mw.Mount(http.NewServeMux(), &Forgotten{nothing}))
	// Output:
	// idemhttp: Routes.Create: idempotency: policy: word 2, at byte 9, "orphan=retry": the value is not one of ["refuse" "rerun-unmarked" "rerun"]; the nearest is "rerun"
	// idemhttp: Forgotten.Refund: no policy: it may change something, so say how it is protected, or idempotency:"off"
}

// Routes say what is protected: for a log line at the start, or a test that holds
// the service to it.
func ExampleMiddleware_Routes() {
	guard, stop := newGuard()
	defer stop()
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	if err != nil {
		panic(err)
	}
	nothing := func(http.ResponseWriter, *http.Request) {}
	type routes struct {
		V1 struct {
			Create http.HandlerFunc `route:"POST /payments" operation:"payments.create"`
			Read   http.HandlerFunc `route:"GET /payments/{id}"`
			Ping   http.HandlerFunc `route:"POST /ping" idempotency:"off"`
		} `route:"/v1" idempotency:"optional"`
	}
	var table routes
	table.V1.Create, table.V1.Read, table.V1.Ping = nothing, nothing, nothing
	if err := mw.Mount(http.NewServeMux(), &table); err != nil {
		panic(err)
	}

	for _, r := range mw.Routes() {
		fmt.Printf("%-26s %-16q %-10q %t\n", r.Pattern, r.Operation, r.Policy.Key, r.Protected)
	}
	// Output:
	// POST /v1/payments          "payments.create" "optional" true
	// GET /v1/payments/{id}      ""               ""         false
	// POST /v1/ping              "POST /v1/ping"  "off"      false
}

// The tags of a request's struct say where its key and scope are, and what is
// compared when a retry comes.
func ExampleJSON() {
	guard, stop := newGuard()
	defer stop()
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	if err != nil {
		panic(err)
	}

	type CreatePayment struct {
		RequestID string `json:"request_id" idempotency:"key"`
		Merchant  string `json:"merchant"   idempotency:"scope"`
		Amount    int64  `json:"amount"`
		Comment   string `json:"comment"    idempotency:"-"`
	}
	type Payment struct {
		Number int   `json:"number"`
		Amount int64 `json:"amount"`
	}
	payments := 0
	create := func(_ context.Context, req CreatePayment) (Payment, error) {
		payments++
		return Payment{payments, req.Amount}, nil
	}
	mux := http.NewServeMux()
	err = mw.Handle(mux, "POST /payments", idemhttp.JSON(create, idemhttp.JSONStatus(http.StatusCreated)),
		idempotency.Policy{})
	if err != nil {
		panic(err)
	}

	send := func(body string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/payments", strings.NewReader(body)))
		fmt.Printf("%d %s %s", w.Code, w.Header().Get("Idempotency-Status"), w.Body)
	}
	send(`{"request_id":"r1","merchant":"acme","amount":1999,"comment":"first try"}`)
	send(`{"merchant":"acme","amount":1999,"request_id":"r1"}`) // a retry, written differently
	send(`{"request_id":"r1","merchant":"umbra","amount":500}`) // another merchant's key
	// Output:
	// 201 executed {"number":1,"amount":1999}
	// 201 replayed {"number":1,"amount":1999}
	// 201 executed {"number":2,"amount":500}
}
