package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/idempotency"
)

func main() { os.Exit(start(os.Args[1:], os.Stdout, os.Stderr)) }

// start returns the exit status: 0, 1 for a failure, 2 for a bad flag.
func start(args []string, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = run(cfg, stdout, stderr)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "payments: "+oneLine(err))
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

// run opens what the service stands on, and serves until a signal comes.
func run(cfg config, stdout, stderr io.Writer) (err error) {
	log, err := newLogger(cfg.log, stderr)
	if err != nil {
		return err
	}
	redis.SetLogger(redisLog{log})
	signals, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	records, err := openBackend(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, records.close()) }()
	money, err := openLedger(cfg.ledger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, money.Close()) }()
	front, back, err := listen(signals, cfg)
	if err != nil {
		return err
	}
	defer closeAll(front, back) // those that are still open
	guard, err := idempotency.New(records.store, idempotency.WithLogger(log), idempotency.WithPolicy(cfg.policy()))
	if err != nil {
		return err
	}
	api, err := routes(cfg, guard, newService(money, log))
	if err != nil {
		return err
	}
	closeAdmin, err := serveAdmin(signals, cfg, back, guard, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAdmin()) }() // after the drain
	// The kernel accepts from here on, and keeps connections until Serve comes.
	fmt.Fprintf(stdout, "READY http=%s grpc=off store=%s\n", front.Addr(), records.name)
	return serve(signals, front, api, guard, log)
}

// listen opens the listener of the service and, if there is to be one, that of
// the operator's page, before anything is started.
func listen(ctx context.Context, cfg config) (front, back net.Listener, err error) {
	front, err = new(net.ListenConfig).Listen(ctx, "tcp", cfg.http)
	if err == nil && cfg.admin != "" {
		back, err = new(net.ListenConfig).Listen(ctx, "tcp", cfg.admin)
	}
	if err != nil {
		closeAll(front)
		return nil, nil, err
	}
	return front, back, nil
}

func closeAll(listeners ...net.Listener) {
	for _, l := range listeners {
		if l != nil {
			_ = l.Close()
		}
	}
}

// serve answers requests until ctx ends, then drains.
func serve(ctx context.Context, l net.Listener, api http.Handler, guard *idempotency.Guard, log *slog.Logger) error {
	gate := &gate{}
	server := &http.Server{
		Handler:           gate.wrap(api),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	log.Info("draining")
	err := drain(ctx, gate, guard, server, log)
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
