package main

import (
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// routeTable is the service's interface: where each handler is, and how it is
// protected. Reads are not, because they have no effect that could happen twice. What a
// tag leaves open is the table's: how Create streams, which a flag says.
type routeTable struct {
	V1 struct {
		Create http.Handler     `route:"POST /payments" idempotency:"required"`
		Refund http.Handler     `route:"POST /payments/{id}/refunds" idempotency:"required,stream=buffer"`
		Update http.Handler     `route:"PATCH /payments/{id}" idempotency:"optional,stream=buffer"`
		Read   http.HandlerFunc `route:"GET /payments/{id}"`
		List   http.HandlerFunc `route:"GET /payments"`
		Ledger http.HandlerFunc `route:"GET /ledger"`
	} `route:"/v1"`
}

// routes builds the chain. Outermost first: recovery, authentication,
// idempotency, handler.
func routes(c config, guard *idempotency.Guard, s *service) (http.Handler, error) {
	mw, err := idemhttp.New(guard, idemhttp.Scope(scope))
	if err != nil {
		return nil, err
	}
	api := http.NewServeMux()
	if err := mount(mw, api, c, s); err != nil {
		return nil, err
	}
	root := http.NewServeMux()
	root.Handle("/v1/", authenticate(api))
	root.Handle("GET /healthz", health(guard, s.log))
	return recoverPanics(s.log, root), nil
}

// mount fills the table and mounts it.
func mount(mw *idemhttp.Middleware, mux *http.ServeMux, c config, s *service) error {
	var table routeTable
	table.V1.Create = idemhttp.JSON(s.charge, idemhttp.JSONErrors(s.fail))
	table.V1.Refund = idemhttp.JSON(s.refund, idemhttp.JSONErrors(s.fail), idemhttp.JSONStatus(http.StatusCreated))
	table.V1.Update = idemhttp.JSON(s.describe, idemhttp.JSONErrors(s.fail))
	table.V1.Read, table.V1.List, table.V1.Ledger = s.readPayment, s.listPayments, s.listLedger
	return mw.Mount(mux, &table, idemhttp.TablePolicy(idempotency.Policy{Stream: idempotency.StreamRule(c.stream)}))
}
