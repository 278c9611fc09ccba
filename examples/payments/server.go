package main

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// routes builds the chain. Outermost first: recovery, authentication,
// idempotency, handler. Reads and the health check are not protected, because
// they have no effect that could happen twice.
func routes(c config, guard *idempotency.Guard, s *service) (http.Handler, error) {
	api, err := protectedRoutes(c, guard, s)
	if err != nil {
		return nil, err
	}
	api.HandleFunc("GET /v1/payments", s.listPayments)
	api.HandleFunc("GET /v1/payments/{id}", s.readPayment)
	api.HandleFunc("GET /v1/ledger", s.listLedger)

	root := http.NewServeMux()
	root.Handle("/v1/", authenticate(api))
	root.Handle("GET /healthz", health(guard, s.log))
	return recoverPanics(s.log, root), nil
}

// protectedRoutes mounts what must not run twice.
func protectedRoutes(c config, guard *idempotency.Guard, s *service) (*http.ServeMux, error) {
	mux := http.NewServeMux()
	mw, err := idemhttp.New(guard, idemhttp.Scope(scope))
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		mw.Handle(mux, "POST /v1/payments", http.HandlerFunc(s.createPayment),
			idempotency.Policy{Stream: idempotency.StreamRule(c.stream)}),
		mw.Handle(mux, "POST /v1/payments/{id}/refunds", http.HandlerFunc(s.createRefund)),
		mw.Handle(mux, "PATCH /v1/payments/{id}", http.HandlerFunc(s.updatePayment),
			idempotency.Policy{Key: idempotency.KeyOptional}),
	)
	return mux, err
}

// health says whether requests can be served at the moment.
func health(guard *idempotency.Guard, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := guard.Health(r.Context()); err != nil {
			log.Warn("unhealthy", "error", err)
			writeProblem(w, errUnhealthy)
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
}
