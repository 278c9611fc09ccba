package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

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
	at, err := listen(signals, cfg)
	if err != nil {
		return err
	}
	defer at.close() // those that are still open
	guard, err := idempotency.New(records.store, idempotency.WithLogger(records.logger(log)), idempotency.WithPolicy(cfg.policy()))
	if err != nil {
		return err
	}
	server, err := newServer(cfg, guard, newService(money, log))
	if err != nil {
		return err
	}
	closeAdmin, err := serveAdmin(signals, cfg, at.admin, guard, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAdmin()) }() // after the drain
	// The kernel accepts from here on, and keeps connections until Serve comes.
	fmt.Fprintf(stdout, "READY http=%s grpc=%s store=%s\n", at.http.Addr(), addressOr(at.grpc, "off"), records.name)
	return server.serve(signals, at)
}

// listeners are where the service is reached; what is off is nil.
type listeners struct{ http, grpc, admin net.Listener }

// listen opens all of them before anything is started.
func listen(ctx context.Context, cfg config) (at listeners, err error) {
	for _, one := range []struct {
		into    *net.Listener
		address string
	}{{&at.http, cfg.http}, {&at.grpc, cfg.grpc}, {&at.admin, cfg.admin}} {
		if one.address == "" {
			continue
		}
		if *one.into, err = new(net.ListenConfig).Listen(ctx, "tcp", one.address); err != nil {
			at.close()
			return listeners{}, err
		}
	}
	return at, nil
}

func (at listeners) close() {
	for _, l := range []net.Listener{at.http, at.grpc, at.admin} {
		if l != nil {
			_ = l.Close()
		}
	}
}

func addressOr(l net.Listener, off string) string {
	if l == nil {
		return off
	}
	return l.Addr().String()
}
