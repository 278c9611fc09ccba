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
