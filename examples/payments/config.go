package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// config is what the flags say.
type config struct {
	http, grpc, redis, ledger, namespace string

	lease, retention, wait, grpcWait time.Duration

	orphan, stream, storeDown, log string

	maxBody int64

	minReplicas int
	memoryGuard time.Duration

	admin       string
	adminSettle bool
}

// errUsage marks errors in what the user typed, which end with exit status 2.
var errUsage = errors.New("usage")

// parseFlags reads and checks the flags. Its error is [flag.ErrHelp] or wraps
// errUsage.
func parseFlags(args []string, usage io.Writer) (config, error) {
	var c config
	flags := c.flags()
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(usage)
		flags.Usage()
		return c, err
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return c, fmt.Errorf("%w: %w", errUsage, err)
	}
	return c, nil
}

func (c *config) flags() *flag.FlagSet {
	f := flag.NewFlagSet("payments", flag.ContinueOnError)
	f.SetOutput(io.Discard) // an error is one line, and the caller prints it
	f.StringVar(&c.http, "http", "127.0.0.1:8080", "HTTP listener `address`; port 0 picks a free one")
	f.StringVar(&c.grpc, "grpc", "127.0.0.1:9090", "gRPC listener `address`, with health and reflection; empty: off")
	f.StringVar(&c.redis, "redis", "embedded", "Redis `URL` (a server, Sentinel or Cluster), or: embedded, memory")
	f.StringVar(&c.ledger, "ledger", "", "`file` of executed effects, shared between instances; empty: in memory")
	f.StringVar(&c.namespace, "namespace", "payments", "`prefix` of all keys in Redis")
	f.DurationVar(&c.lease, "lease", 10*time.Second, "lease of a running request; 100ms at least")
	f.DurationVar(&c.retention, "retention", 24*time.Hour, "how long a first response is replayed; longer than -lease")
	f.DurationVar(&c.wait, "wait", 0, "how long an HTTP duplicate waits for the first before it gets 409; 0s: not at all")
	f.DurationVar(&c.grpcWait, "grpc-wait", 5*time.Second, "the same for gRPC, before it gets ABORTED; 0s: not at all")
	f.StringVar(&c.orphan, "orphan", "rerun-unmarked", "what follows an attempt that died: rerun-unmarked, refuse, rerun")
	f.StringVar(&c.stream, "stream", "buffer", "streaming of POST /v1/payments: buffer, pass")
	f.StringVar(&c.storeDown, "store-down", "closed", "without the store: closed (503), open (run unprotected)")
	f.Int64Var(&c.maxBody, "max-body", 1<<20, "largest stored response body in `bytes`")
	f.IntVar(&c.minReplicas, "min-replicas", 0, "how many replicas of Redis have to acknowledge claims, marks and answers")
	f.DurationVar(&c.memoryGuard, "memory-guard", 0,
		"how long new keys are refused after Redis may have lost its memory; not on a cluster; 0s: not at all")
	f.StringVar(&c.admin, "admin", "", "listener `address` of the operator's page, which has no authentication; empty: off")
	f.BoolVar(&c.adminSettle, "admin-settle", false, "let the operator's page decide about unknown outcomes")
	f.StringVar(&c.log, "log", "text", "log to stderr: text, json, off")
	return f
}

// check finds what is wrong before anything is started.
func (c *config) check() error {
	if c.redis == "" {
		c.redis = "embedded"
	}
	if err := c.checkAddresses(); err != nil {
		return err
	}
	if c.adminSettle && c.admin == "" {
		return errors.New("-admin-settle: there is no operator's page without -admin")
	}
	if _, err := newLogger(c.log, io.Discard); err != nil {
		return err
	}
	if err := c.checkSafeguards(); err != nil {
		return err
	}
	return c.checkPolicies()
}

// checkSafeguards leaves the rest to the store.
func (c *config) checkSafeguards() error {
	if c.minReplicas < 0 {
		return fmt.Errorf("-min-replicas %d: less than none", c.minReplicas)
	}
	if c.memoryGuard < 0 {
		return fmt.Errorf("-memory-guard %v: less than no time", c.memoryGuard)
	}
	own := c.redis == "embedded" || c.redis == "memory"
	if own && (c.minReplicas > 0 || c.memoryGuard > 0) {
		return fmt.Errorf("-min-replicas, -memory-guard: not for -redis %s, which ends with the process", c.redis)
	}
	return nil
}

func (c *config) checkAddresses() error {
	if _, _, err := net.SplitHostPort(c.http); err != nil {
		return fmt.Errorf("-http: %w", err)
	}
	if _, _, err := net.SplitHostPort(c.grpc); c.grpc != "" && err != nil {
		return fmt.Errorf("-grpc: %w", err)
	}
	if _, _, err := net.SplitHostPort(c.admin); c.admin != "" && err != nil {
		return fmt.Errorf("-admin: %w", err)
	}
	return nil
}

func (c *config) checkPolicies() error {
	if c.wait < 0 {
		return fmt.Errorf("-wait %v: less than no time", c.wait) // -1ns would be NoWait
	}
	if c.grpcWait < 0 {
		return fmt.Errorf("-grpc-wait %v: less than no time", c.grpcWait)
	}
	p := c.policy()
	p.Stream = idempotency.StreamRule(c.stream)
	if err := p.Validate(); err != nil {
		return err
	}
	if err := p.Override(idempotency.Policy{Wait: waitOf(c.grpcWait)}).Validate(); err != nil {
		return fmt.Errorf("-grpc-wait: %w", err)
	}
	return nil
}

// waitOf spells "not at all" as policies do, in which 0 would mean "as usual".
func waitOf(d time.Duration) time.Duration {
	if d == 0 {
		return idempotency.NoWait
	}
	return d
}

// policy is what all routes share. It starts from the defaults and is whole, so
// that a flag of 0 is what it says and not "inherit".
func (c *config) policy() idempotency.Policy {
	p := idempotency.DefaultPolicy()
	p.Lease = c.lease
	p.MaxHold = max(p.MaxHold, c.lease)
	p.Retention = c.retention
	p.Wait = waitOf(c.wait)
	p.Orphan = idempotency.Orphan(c.orphan)
	p.StoreDown = idempotency.StoreDownRule(c.storeDown)
	p.MaxResponseBody = c.maxBody
	return p
}

func newLogger(format string, w io.Writer) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	case "off":
		return slog.New(slog.DiscardHandler), nil
	}
	return nil, fmt.Errorf("-log %q: text, json or off", format)
}

// oneLine makes an error fit for a terminal's one line.
func oneLine(err error) string {
	return strings.Join(strings.Split(err.Error(), "\n"), "; ")
}
