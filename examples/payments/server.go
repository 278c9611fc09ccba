package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// server serves one business over HTTP and gRPC.
type server struct {
	http  *http.Server
	grpc  *grpc.Server
	gate  *gate
	guard *idempotency.Guard
	log   *slog.Logger
}

func newServer(c config, guard *idempotency.Guard, s *service) (*server, error) {
	api, err := routes(c, guard, s)
	if err != nil {
		return nil, err
	}
	gate := newGate()
	rpcs, err := newGRPC(c, guard, s, gate)
	if err != nil {
		return nil, err
	}
	return &server{grpc: rpcs, gate: gate, guard: guard, log: s.log, http: &http.Server{
		Handler:           gate.wrap(api),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}}, nil
}

// serve answers requests until ctx ends or a listener fails, then drains.
func (s *server) serve(ctx context.Context, at listeners) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	httpServed, grpcServed := make(chan error, 1), make(chan error, 1)
	go func() {
		defer cancel()
		httpServed <- s.serveHTTP(at.http)
	}()
	go func() {
		defer cancel()
		grpcServed <- s.serveGRPC(at.grpc)
	}()
	<-ctx.Done()
	s.log.Info("draining")
	err := s.drain(ctx)
	return errors.Join(err, <-httpServed, <-grpcServed)
}

// serveHTTP returns nil for an end that was asked for.
func (s *server) serveHTTP(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serveGRPC does the same, and where gRPC is off only waits for the end.
func (s *server) serveGRPC(l net.Listener) error {
	if l == nil {
		<-s.gate.shut
		return nil
	}
	if err := s.grpc.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

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
