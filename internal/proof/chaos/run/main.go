// Command run breaks everything around the reference service and judges what
// its clients saw; see package chaos. It exits with 1 if a rule was broken, or if
// too little happened to say that none was.
//
// It builds the service with the go command, so it runs in a folder of this
// module:
//
//	go run ./chaos/run -seed 7 -duration 30s -orphan rerun-unmarked
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

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/paytest"
	"github.com/reprise-go/reprise/internal/proof/chaos"
)

func main() {
	cfg, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var program paytest.Binary
	os.Exit(program.Main(&attempt{ctx: ctx, program: &program, cfg: cfg, out: os.Stdout}).Run())
}

// parse reads the flags. It complains to usage, as package flag does.
func parse(args []string, usage io.Writer) (chaos.Config, error) {
	cfg := chaos.Full()
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.SetOutput(usage)
	f.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "what is sent, and the order of the faults")
	f.DurationVar(&cfg.Duration, "duration", cfg.Duration, "how long there are faults")
	f.IntVar(&cfg.Keys, "keys", cfg.Keys, "how many keys begin in that time")
	f.IntVar(&cfg.Servers, "servers", cfg.Servers, "how many servers there are")
	f.DurationVar(&cfg.Lease, "lease", cfg.Lease, "the service's lease")
	f.DurationVar(&cfg.Wait, "wait", cfg.Wait, "how long duplicates wait for the first; over gRPC twice as long")
	f.Float64Var(&cfg.Density, "density", cfg.Density, "how many of the faults, for their time")
	f.IntVar(&cfg.Minimum, "minimum", cfg.Minimum, "how often each fault has to happen")
	f.BoolVar(&cfg.Guard, "guard", cfg.Guard, "refuse new keys after Redis has lost its memory; without, that has to be caught")
	topology := f.String("topology", string(cfg.Topology), "of Redis: single, sentinel, cluster")
	orphan := f.String("orphan", string(cfg.Orphan), "refuse, rerun-unmarked, or rerun, which has to be caught")
	faults := f.String("faults", "all", fmt.Sprintf("all, none, or some with commas between, of %v; fewer with other topologies", chaos.AllFaults(chaos.Single)))
	if err := f.Parse(args); err != nil {
		return cfg, err
	}
	if f.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	cfg.Orphan, cfg.Topology = idempotency.Orphan(*orphan), chaos.Topology(*topology)
	var err error
	cfg.Faults, err = chaos.ParseFaults(*faults, cfg.Topology)
	return cfg, err
}

// attempt is one run in the hands of somebody.
type attempt struct {
	ctx     context.Context
	program *paytest.Binary
	cfg     chaos.Config
	out     io.Writer
}

// Run implements [paytest.Runner].
func (a *attempt) Run() int {
	h := &hand{ctx: a.ctx, complaints: os.Stderr}
	ok := false
	h.do(func() {
		report := chaos.Run(h, a.program, a.cfg)
		report.Print(a.out)
		ok = report.OK()
	})
	if !ok || h.Failed() {
		return 1
	}
	return 0
}
