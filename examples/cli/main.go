// Cli shows a command that may be run again after anything: a crash, a power cut, an
// impatient Ctrl-C.
//
//	go run ./examples/cli -redis redis://localhost:6379 -ledger payments.txt -amount 20
//
// It draws an idempotency key, writes it into a file, and pays under it. If it does not
// come to its end, run it again: it finds the file and asks for the same payment, which
// is either made now, or was made and is only told. When the answer is known, the file
// goes, and the next run is another payment.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string, out io.Writer) error {
	var c command
	flags := flag.NewFlagSet("cli", flag.ContinueOnError)
	address := flags.String("redis", "redis://localhost:6379", "where keys are claimed")
	flags.StringVar(&c.keyFile.path, "key-file", ".payment.key", "remembers a payment that is not over")
	flags.StringVar(&c.ledger, "ledger", "payments.txt", "the file that a payment is a line of")
	flags.Int64Var(&c.amount, "amount", 0, "what to pay, in cents")
	if err := flags.Parse(args); err != nil {
		return err
	}
	redisOptions, err := redis.ParseURL(*address)
	if err != nil {
		return err
	}
	redisOptions.ContextTimeoutEnabled = true // so that a store call ends when it has to
	rdb := redis.NewClient(redisOptions)
	defer func() { _ = rdb.Close() }()
	records, err := redisstore.New(rdb, redisstore.Namespace("cli"))
	if err != nil {
		return err
	}
	defer func() { _ = records.Close() }()
	return c.run(ctx, records, out)
}

// command is one run of the program.
type command struct {
	keyFile keyFile
	ledger  string
	amount  int64
}

// payment is what a key is bound to.
type payment struct {
	Ledger string `json:"ledger"`
	Amount int64  `json:"amount"`
}

func (c command) run(ctx context.Context, records store.Store, out io.Writer) (err error) {
	guard, err := idempotency.New(records)
	if err != nil {
		return err
	}
	defer func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, guard.Shutdown(drain))
	}()
	key, resumed, err := c.keyFile.key()
	if err != nil {
		return err
	}
	if resumed {
		_, _ = fmt.Fprintln(out, "continuing a payment that was not over")
	}
	request := idempotency.Request{
		Operation: "payments.create", Scope: "cli", Key: key, Input: payment{c.ledger, c.amount},
	}
	receipt, result, err := idempotency.Do(ctx, guard, request, c.pay, idempotency.Policy{
		Retention: remembered,
		Orphan:    idempotency.OrphanRerunUnmarked,
		Caller:    idempotency.CallerAttached, // Ctrl-C is meant
		Wait:      time.Minute,
	})
	if err != nil && !idempotency.IsFinal(err) {
		return c.explain(err)
	}
	if err == nil {
		_, _ = fmt.Fprintf(out, "%s (%s)\n", receipt, result.Outcome)
	}
	return errors.Join(err, c.keyFile.done())
}

// pay is the effect: a line in a file.
func (c command) pay(ctx context.Context) (receipt string, err error) {
	if c.amount <= 0 {
		return "", idempotency.Final(fmt.Errorf("there is nothing to pay: -amount is %d", c.amount))
	}
	file, err := os.OpenFile(c.ledger, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err // nothing happened: run it again
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := idempotency.MarkEffect(ctx); err != nil {
		idempotency.Release(ctx)
		return "", err
	}
	info, _ := idempotency.FromContext(ctx)
	receipt = fmt.Sprintf("paid %d as %s", c.amount, info.DownstreamKey("ledger"))
	_, err = fmt.Fprintln(file, receipt)
	return receipt, errors.Join(err, file.Sync())
}

// explain says what to do about an answer that is none.
func (c command) explain(err error) error {
	switch {
	case errors.Is(err, idempotency.ErrKeyReused):
		return fmt.Errorf("%s belongs to another payment, which is not over: finish that first: %w", c.keyFile.path, err)
	case errors.Is(err, idempotency.ErrOutcomeUnknown):
		return fmt.Errorf("look into %s whether it was paid; if not, remove %s and run it again: %w", c.ledger, c.keyFile.path, err)
	default:
		return fmt.Errorf("run it again: %w", err)
	}
}
