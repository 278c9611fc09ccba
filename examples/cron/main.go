// Cron shows a scheduled job that runs once in each period although the program
// runs on several machines, is restarted, or dies:
//
//	go run ./examples/cron -redis redis://localhost:6379 -every 10s &
//	go run ./examples/cron -redis redis://localhost:6379 -every 10s
//
// Both log the same result for each period; the report is made by one of them. The
// idempotency key is the job's name with the period in which it is due, so there is
// no leader to elect: whoever asks first does it, and the others wait for the result.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store/redisstore"
)

func main() {
	address := flag.String("redis", "redis://localhost:6379", "the Redis that all machines share")
	every := flag.Duration("every", time.Minute, "how often the report is due")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *address, *every); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string, every time.Duration) error {
	redisOptions, err := redis.ParseURL(address)
	if err != nil {
		return err
	}
	redisOptions.ContextTimeoutEnabled = true // so that a store call ends when it has to
	rdb := redis.NewClient(redisOptions)
	defer func() { _ = rdb.Close() }()
	records, err := redisstore.New(rdb, redisstore.Namespace("cron"))
	if err != nil {
		return err
	}
	defer func() { _ = records.Close() }()
	guard, err := idempotency.New(records)
	if err != nil {
		return err
	}
	report := &job{name: "report", every: every, run: makeReport}
	if err := report.protect(guard); err != nil {
		return err
	}
	report.loop(ctx, slog.Default())

	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return guard.Shutdown(drain)
}

// makeReport stands for the work. Before it sends anything, it says so: a machine
// that dies earlier may be followed by another, one that dies later may not.
func makeReport(ctx context.Context, due period) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err // nothing happened: another try is made
	}
	if err := idempotency.MarkEffect(ctx); err != nil {
		idempotency.Release(ctx)
		return "", err
	}
	return fmt.Sprintf("report of %s, made by %s (%d)", due.Begins.Format(time.RFC3339), host, os.Getpid()), nil
}
