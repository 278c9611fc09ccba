package idempotency

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Preflight examines the store now, if it can be examined ([store.Preflighter]):
// configuration, rights, version. It returns all faults found, joined; what
// could not be examined ([store.ErrUnchecked]) is logged and is no fault. The
// same check runs in the background once at the start and every minute. It
// takes 5 s at most.
func (g *Guard) Preflight(ctx context.Context) error { return g.check.run(ctx) }

// Health returns nil when the guard can serve: it is not draining, the last
// check of the store found no fault, and the store takes writes, which is tried
// with a claim and a release of a record of the guard's own (two round trips).
// Errors: [ErrDraining], [ErrStoreUnavailable], or the check's findings.
func (g *Guard) Health(ctx context.Context) error {
	if g.gate.Closed() {
		return &Error{Code: ErrDraining}
	}
	err := g.check.refuses()
	if err == nil {
		err = g.check.last()
	}
	if err != nil {
		return fmt.Errorf("idempotency: %w", err)
	}
	if err := g.probe(ctx); err != nil {
		return &Error{Code: ErrStoreUnavailable, Err: err}
	}
	return nil
}

// probeOperation is the operation of the records that probes leave for a second.
const probeOperation = "reprise.health"

func (g *Guard) probe(ctx context.Context) error {
	owner := store.NewOwner()
	id := store.NewID("", probeOperation, owner.String())
	attempt := store.Attempt{
		Owner:       owner,
		Lease:       minLease,
		Retention:   minRetention,
		Operation:   probeOperation,
		Fingerprint: store.Fingerprint{Algorithm: store.NoFingerprint},
	}
	claim := store.Claim{
		Owner:       owner,
		Fingerprint: attempt.Fingerprint,
		Operation:   attempt.Operation,
		Lease:       attempt.Lease,
		Retention:   attempt.Retention,
	}
	limited, cancel := context.WithTimeout(ctx, g.opts.storeTimeout)
	defer cancel()
	if _, err := g.store.Apply(limited, id, claim); err != nil {
		return err
	}
	_, err := g.apply(ctx, id, store.Release{Attempt: attempt, Void: true})
	return err
}

// checker examines the store at the start and now and then.
type checker struct {
	store  store.Preflighter // nil if the store cannot be examined
	logger *slog.Logger
	strict bool

	mu       sync.Mutex
	checked  bool
	findings error
	noted    string

	cancel context.CancelFunc
	done   chan struct{}
}

func startChecker(st store.Store, o options) *checker {
	c := &checker{logger: o.logger, strict: o.strictCheck, done: make(chan struct{})}
	c.store, _ = st.(store.Preflighter)
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	if c.store == nil {
		c.checked = true
		close(c.done)
		return c
	}
	go c.loop(ctx, o.checkInterval)
	return c
}

// loop checks now and then, and soon again after a check that did not reach the
// store: it may come up later than the service.
func (c *checker) loop(ctx context.Context, interval time.Duration) {
	defer close(c.done)
	again := recheck
	for {
		wait := interval
		if err := c.run(ctx); errors.Is(err, store.ErrUnavailable) {
			wait, again = min(again, interval), min(2*again, interval)
		} else {
			again = recheck
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (c *checker) wait(ctx context.Context) error { return waitFor(ctx, c.done) }

const (
	checkTimeout = 5 * time.Second
	recheck      = time.Second
)

func (c *checker) run(ctx context.Context) error {
	if c.store == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	findings, err := c.store.Preflight(limited)
	if ctx.Err() != nil {
		return ctx.Err() // cut short by its caller: not a finding
	}
	faults, unchecked := split(findings)
	if c.note(faults, unchecked, err) {
		c.warn(faults, unchecked, err)
	}
	return errors.Join(faults, err)
}

// note keeps what a check found and says whether it is news. That the store did
// not answer is no finding: the next request finds out for itself.
func (c *checker) note(faults, unchecked, err error) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.checked, c.findings = true, faults
	}
	text := fmt.Sprint(faults, unchecked, err)
	news = text != c.noted
	c.noted = text
	return news
}

// warn is called without the mutex, because a logger may block.
func (c *checker) warn(faults, unchecked, err error) {
	if faults != nil {
		c.logger.Warn("idempotency: the store is not fit for its task", "findings", faults)
	}
	if unchecked != nil {
		c.logger.Info("idempotency: the store could not be examined wholly", "findings", unchecked)
	}
	if err != nil {
		c.logger.Warn("idempotency: the store does not answer", "error", err)
	}
}

// last returns the faults that the last check found.
func (c *checker) last() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.findings
}

// refuses returns why a strict guard must not run anything now.
func (c *checker) refuses() error {
	if !c.strict {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.checked {
		return errors.New("the store has not been checked yet")
	}
	return c.findings
}

// split parts findings into faults and what could not be examined.
func split(findings []error) (faults, unchecked error) {
	for _, finding := range findings {
		if errors.Is(finding, store.ErrUnchecked) {
			unchecked = errors.Join(unchecked, finding)
		} else {
			faults = errors.Join(faults, finding)
		}
	}
	return faults, unchecked
}
