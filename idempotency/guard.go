package idempotency

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/reprise-go/reprise/internal/gate"
	"github.com/reprise-go/reprise/internal/lease"
	"github.com/reprise-go/reprise/store"
)

// Guard protects operations on one store. It owns the watchdog that renews the
// leases of all running attempts, the retries of endings that the store did not
// take at once, and the periodic check of the store. Safe for concurrent use.
// Stop it with [Guard.Shutdown].
type Guard struct {
	store  store.Store
	opts   options
	policy Policy

	watchdog *lease.Watchdog[store.Renewal]
	endings  *finisher  // of attempts
	releases *finisher  // of claims that were never answered
	gate     *gate.Gate // counts executions
	inFlight *inFlight  // bounds them
	crowds   *crowds    // those that wait
	hooks    *gate.Gate // counts hooks that run on goroutines of their own
	check    *checker
	plans    plans // of the inputs of functions

	deadlines *deadlines // of calls to the store

	mu         sync.Mutex
	operations map[string]*Operation
}

// New returns a guard on a store. It starts a background check of the store and
// sends nothing before it returns. Errors name the option or the policy field
// that is wrong.
func New(st store.Store, opts ...Option) (*Guard, error) {
	if isNil(st) {
		return nil, errors.New("idempotency: the store is nil")
	}
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	policy := DefaultPolicy().Override(o.policy)
	if err := policy.Validate(); err != nil {
		return nil, fmt.Errorf("idempotency: %w", err)
	}
	g := &Guard{
		store:      st,
		opts:       o,
		policy:     policy,
		gate:       gate.New(),
		hooks:      gate.New(),
		operations: make(map[string]*Operation),
	}
	g.deadlines = &deadlines{limit: o.storeTimeout}
	g.inFlight, g.crowds = newInFlight(o.limits), newCrowds(g, o.limits.Waiters)
	g.endings, g.releases = newFinisher(g.apply), newFinisher(g.apply)
	g.watchdog, err = lease.New(lease.Config[store.Renewal]{
		Renew:       g.renew,
		MaxBatch:    store.MaxRenewals,
		CallTimeout: o.storeTimeout,
		Logger:      o.logger,
	})
	if err != nil {
		return nil, fmt.Errorf("idempotency: %w", err)
	}
	g.check = startChecker(st, o)
	return g, nil
}

// Policy returns the policy that operations inherit, defaults included.
func (g *Guard) Policy() Policy {
	return g.policy.clone()
}

// Logger returns the logger of [WithLogger], for transports that have something to
// tell an operator.
func (g *Guard) Logger() *slog.Logger { return g.opts.logger }

// Operation registers a protected operation under a stable name of 1 to 255
// bytes. The name is part of the record's identity: rename it and earlier keys
// are forgotten. Policies are applied over the guard's, left to right.
// Registering a name again with the same policy returns the same operation; with
// another policy, or with a [Reconcile], it is an error.
func (g *Guard) Operation(name string, opts ...OperationOption) (*Operation, error) {
	set, err := g.settings(name, opts)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.operations[name].agrees(name, set); err != nil {
		return nil, err
	}
	return g.enroll(name, set), nil
}

// enroll registers an operation, unless it is, and is called under the lock.
func (g *Guard) enroll(name string, set operationSettings) *Operation {
	op := g.operations[name]
	if op == nil {
		op = newOperation(g, name, set)
		g.operations[name] = op
	}
	op.addReplays(set.replays)
	return op
}

// CheckOperation returns the error that [Guard.Operation] would, and registers
// nothing: for transports that register several operations, all or none.
func (g *Guard) CheckOperation(name string, opts ...OperationOption) error {
	_, err := g.checkOperation(name, opts)
	return err
}

func (g *Guard) checkOperation(name string, opts []OperationOption) (operationSettings, error) {
	set, err := g.settings(name, opts)
	if err != nil {
		return set, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return set, g.operations[name].agrees(name, set)
}

func (g *Guard) settings(name string, opts []OperationOption) (operationSettings, error) {
	if name == "" || len(name) > store.MaxOperationName {
		return operationSettings{}, fmt.Errorf("idempotency: operation name has %d bytes, not 1 to %d", len(name), store.MaxOperationName)
	}
	set, err := newOperationSettings(g.policy, opts)
	if err != nil {
		return set, fmt.Errorf("idempotency: operation %q: %w", name, err)
	}
	return set, nil
}

// agrees reports why a registered operation, if it is one, cannot be had with these
// settings.
func (o *Operation) agrees(name string, set operationSettings) error {
	if o == nil {
		return nil
	}
	if err := o.sharedWith(set.replays); err != nil {
		return err
	}
	if !reflect.DeepEqual(o.declared, set.policy) || o.reconcile != nil || set.reconcile != nil {
		return fmt.Errorf("idempotency: operation %q is registered already, with another policy or a Reconcile", name)
	}
	return nil
}

// Registered returns the operation of that name, if there is one.
func (g *Guard) Registered(name string) (*Operation, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	op, ok := g.operations[name]
	return op, ok
}

// Operations returns the names of the registered operations, sorted.
func (g *Guard) Operations() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.operations))
}

// Shutdown drains the guard: from now on every execution, replays included, is
// refused with [ErrDraining]. Running attempts keep their leases and finish,
// and endings that the store has not taken yet are sent. When ctx ends first,
// renewals stop, the contexts of the attempts still running are cancelled with
// [ErrDraining] as cause, and Shutdown returns ctx's error; what they leave
// behind follows the orphan mode. Calls to the store that are under way then may
// take it a few store timeouts longer. It may be called again. A handler or a hook
// that calls it waits for itself, as long as ctx lasts.
func (g *Guard) Shutdown(ctx context.Context) error {
	g.gate.Close()
	g.check.cancel()
	limit := 2 * g.opts.storeTimeout
	err := g.gate.Wait(ctx)
	err = errors.Join(err, g.crowds.stop(ctx, limit))
	if err == nil {
		err = errors.Join(g.endings.wait(ctx), g.releases.wait(ctx))
	}
	err = errors.Join(err, g.watchdog.Close(), g.endings.stop(limit), g.releases.stop(limit))
	g.hooks.Close()
	err = errors.Join(err, g.hooks.Wait(ctx), g.check.wait(ctx))
	if err != nil {
		return fmt.Errorf("idempotency: shutdown: %w", err)
	}
	return nil
}

// apply sends one event with the guard's own deadline: a caller that goes away
// or has a tight deadline must not leave the store's answer unheard.
//
// A store that panics is taken as one that could not say: some calls are made on
// goroutines of the guard, where a panic would end the process.
func (g *Guard) apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	return g.send(g.deadlines.within(ctx), id, event)
}

func (g *Guard) applyWithin(
	ctx context.Context, limit time.Duration, id store.ID, event store.Event,
) (store.Reply, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return g.send(ctx, id, event)
}

func (g *Guard) send(ctx context.Context, id store.ID, event store.Event) (reply store.Reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			g.opts.logger.Error("idempotency: the store panicked", "event", event.Name(), "panic", p, "stack", string(debug.Stack()))
			reply, err = store.Reply{}, fmt.Errorf("%w: the store panicked", store.ErrUnavailable)
		}
	}()
	return g.store.Apply(ctx, id, event)
}

func (g *Guard) renew(ctx context.Context, renewals []store.Renewal) []lease.Result {
	results := make([]lease.Result, 0, len(renewals))
	for _, r := range g.store.Renew(ctx, renewals) {
		results = append(results, lease.Result{
			Confirmed: int64(r.Reply.Now),
			Lost:      r.Err == nil && r.Reply.Verdict != store.Done,
			Err:       r.Err,
		})
	}
	return results
}

func isNil(st store.Store) bool {
	if st == nil {
		return true
	}
	v := reflect.ValueOf(st)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// Option configures a [Guard].
type Option func(*options) error

type options struct {
	policy        Policy
	logger        *slog.Logger
	trace         Trace
	storeTimeout  time.Duration
	shadowTimeout time.Duration
	strictKeys    bool
	strictCheck   bool
	checkInterval time.Duration
	limits        Limits
	locker        Locker // may be nil
}

func newOptions(opts []Option) (options, error) {
	o := options{
		logger:        slog.Default(),
		storeTimeout:  500 * time.Millisecond,
		shadowTimeout: 100 * time.Millisecond,
		checkInterval: time.Minute,
		limits:        Limits{Waiters: defaultWaiters},
	}
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("idempotency: a nil option")
		}
		if err := opt(&o); err != nil {
			return o, fmt.Errorf("idempotency: %w", err)
		}
	}
	return o, nil
}

// WithPolicy sets the policy that operations inherit.
func WithPolicy(p Policy) Option {
	return func(o *options) error { o.policy = o.policy.Override(p); return nil }
}

// WithLogger sets the logger for what an operator should know: lost leases,
// endings that the store did not take, findings about the store, mistakes in the program
// that nobody could return an error for. Nothing is
// logged for an execution that goes well. Default [slog.Default].
func WithLogger(l *slog.Logger) Option {
	return func(o *options) error {
		if l == nil {
			return errors.New("WithLogger: the logger is nil")
		}
		o.logger = l
		return nil
	}
}

// WithTrace sets hooks that observe executions.
func WithTrace(t Trace) Option {
	return func(o *options) error { o.trace = t; return nil }
}

// WithStoreTimeout bounds every single call to the store. 10 ms to 10 s,
// default 500 ms. The request's own deadline plays no part.
func WithStoreTimeout(d time.Duration) Option {
	return func(o *options) error {
		o.storeTimeout = d
		return within("WithStoreTimeout", d, 10*time.Millisecond, 10*time.Second)
	}
}

// WithShadowTimeout bounds how long a request under [KeyShadow] waits for the
// store, all its calls together. 1 ms to 10 s, default 100 ms; a single call never
// takes longer than [WithStoreTimeout] says. What is later than that is counted as
// [ErrStoreUnavailable], so the counts are true of a store that answers in time.
func WithShadowTimeout(d time.Duration) Option {
	return func(o *options) error {
		o.shadowTimeout = d
		return within("WithShadowTimeout", d, time.Millisecond, 10*time.Second)
	}
}

// WithLimits bounds what the guard does at once in this process. Negative
// numbers are an error.
func WithLimits(l Limits) Option {
	return func(o *options) error {
		if l.Waiters < 0 || l.InFlight < 0 || l.InFlightPerScope < 0 {
			return fmt.Errorf("WithLimits: a negative limit in %+v", l)
		}
		if l.Waiters == 0 {
			l.Waiters = defaultWaiters
		}
		o.limits = l
		return nil
	}
}

// StrictKeys makes a key valid for one operation only: the same key of the same
// scope on another operation is [ErrKeyReused] instead of independent. All
// guards on one store must agree on it.
func StrictKeys() Option {
	return func(o *options) error { o.strictKeys = true; return nil }
}

// StrictCheck refuses executions with [ErrStoreUnavailable] until a check of
// the store (see [Guard.Preflight]) has passed, and again whenever one finds a
// fault. Without it findings are logged and show in [Guard.Health].
func StrictCheck() Option {
	return func(o *options) error { o.strictCheck = true; return nil }
}
