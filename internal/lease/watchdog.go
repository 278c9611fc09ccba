package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Config is what a [Watchdog] works with. T is the backend's own name of a
// lease, passed to Renew as it is.
type Config[T any] struct {
	// Renew renews a batch and answers each item at its index; required. It is
	// called from several goroutines at once, never twice at once for one item
	// unless an earlier call overstayed its time or a clock jumped. It owns items.
	// A panic, or an answer of another length, is an error for all of the batch.
	Renew func(ctx context.Context, items []T) []Result
	// MaxBatch is the most items of one call. Default 128.
	MaxBatch int
	// MaxCalls is the most calls side by side. Default 8. Beyond it due leases
	// wait, the longest due first. A call that outlives its time gives up its
	// place, so that one that ignores its context does not starve the others; with
	// eight times MaxCalls under way nothing is renewed until one returns.
	// Waiting leases are lost in time like any other.
	MaxCalls int
	// CallTimeout ends a call. Default 500 ms, and never more than a third of
	// the shortest lease in the batch.
	CallTimeout time.Duration
	// Logger gets one warning for each failed call. Default: nothing is logged.
	Logger *slog.Logger
}

// Result is the answer to one renewal: confirmed, lost, or an error.
type Result struct {
	// Confirmed is the backend's own time of the renewal; opaque.
	Confirmed int64
	// Lost says that the backend does not know this lease as held any more.
	Lost bool
	// Err says that the backend could not tell; the others do not count then.
	Err error
}

// ErrHung is returned by [Watchdog.Close] when calls do not end.
var ErrHung = errors.New("renewal ignores its context")

// Watchdog renews leases of one backend until each is ended or lost. All
// methods may be called concurrently. Create one with [New].
type Watchdog[T any] struct {
	cfg   Config[T]
	clock clock
	// ctx is the parent of all calls, cancelled by Close.
	ctx    context.Context //nolint:containedctx // the watchdog is what owns the calls' lifetime
	cancel context.CancelFunc
	// wake makes the loop look before its timer ends.
	wake chan struct{}
	// done is closed when the watchdog is closed and its last goroutine ends.
	done chan struct{}

	// mu is never held while Renew, Lost or the logger runs.
	mu         sync.Mutex
	renewals   schedule[T] // leases with a renewal to come
	limits     schedule[T] // all watched leases
	calls      []*call[T]  // under way and within their time
	stuck      int         // calls under way beyond their time
	losses     []loss      // to be reported as soon as mu is free
	jitter     *rand.Rand
	skew       time.Duration
	armed      time.Duration // when the loop wakes by itself
	looping    bool
	closed     bool
	goroutines int
}

// loss is a call of a lease's Lost that is owed.
type loss struct {
	lost   func(Reason)
	reason Reason
}

// New returns a watchdog. It starts nothing. The error names the field.
func New[T any](cfg Config[T]) (*Watchdog[T], error) {
	switch {
	case cfg.Renew == nil:
		return nil, errors.New("lease: Renew is nil")
	case cfg.MaxBatch < 0:
		return nil, fmt.Errorf("lease: MaxBatch %d is negative", cfg.MaxBatch)
	case cfg.MaxCalls < 0:
		return nil, fmt.Errorf("lease: MaxCalls %d is negative", cfg.MaxCalls)
	case cfg.CallTimeout < 0:
		return nil, fmt.Errorf("lease: CallTimeout %v is negative", cfg.CallTimeout)
	}
	cfg.setDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	return &Watchdog[T]{
		cfg:   cfg,
		clock: newClock(),
		// Seeded by the clock: apart in different processes, and the same again
		// where a test repeats time itself.
		jitter: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)),
		ctx:    ctx,
		cancel: cancel,
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
	}, nil
}

func (c *Config[T]) setDefaults() {
	if c.MaxBatch == 0 {
		c.MaxBatch = 128
	}
	if c.MaxCalls == 0 {
		c.MaxCalls = 8
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = 500 * time.Millisecond
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Watch keeps the lease of item alive until [Lease.End], a loss, or
// [Watchdog.Close]. On a closed watchdog Lost is called before Watch returns.
func (w *Watchdog[T]) Watch(item T, spec Spec) *Lease[T] {
	w.mu.Lock()
	now := w.clock.now()
	l := w.newLease(item, spec, now)
	if w.closed {
		l.state = lost
		w.mu.Unlock()
		w.report([]loss{{spec.Lost, ReasonClosed}})
		return l
	}
	defer w.mu.Unlock()
	w.limits.set(&l.limit, l.deadline())
	w.renewAt(l, l.sent+renewalDelay(l.length, w.jitter.Float64()))
	w.suspect(l, now)
	if !w.looping {
		w.startLoop(now)
	}
	w.nudge(w.nextWake(now))
	return l
}

func (w *Watchdog[T]) newLease(item T, spec Spec, now reading) *Lease[T] {
	since := w.clock.at(spec.Since)
	l := &Lease[T]{
		dog:  w,
		item: item,
		lost: spec.Lost,
		// Older than a whole lease is as good as a lease ago, and a Since in the
		// future must not lengthen anything.
		sent:      min(max(since.mono, now.mono-spec.Lease), now.mono),
		length:    spec.Lease,
		skew:      since.skew,
		confirmed: spec.Confirmed,
	}
	l.hold = never
	if spec.MaxHold > 0 {
		l.hold = l.sent + spec.MaxHold
	}
	l.renewal.lease, l.limit.lease = l, l
	return l
}

// Close stops the renewals, reports [ReasonClosed] for what is still watched,
// cancels the calls under way and waits for all goroutines of the watchdog.
// Calls that ignore their context are waited for no longer than CallTimeout;
// the error then wraps [ErrHung]. Closing twice is allowed.
func (w *Watchdog[T]) Close() error {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.loseAll(ReasonClosed)
	losses := w.takeLosses()
	if first && w.goroutines == 0 {
		close(w.done)
	}
	w.mu.Unlock()

	w.cancel()
	w.signal()
	w.report(losses)
	return w.wait()
}

func (w *Watchdog[T]) wait() error {
	timer := time.NewTimer(w.cfg.CallTimeout)
	defer timer.Stop()
	select {
	case <-w.done:
		return nil
	case <-timer.C:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.goroutines == 0 {
		return nil
	}
	return fmt.Errorf("lease: %w: %d calls left behind", ErrHung, w.goroutines)
}

// left counts a goroutine out, as the last thing that it does.
func (w *Watchdog[T]) left() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.goroutines--
	if w.closed && w.goroutines == 0 {
		close(w.done)
	}
}

// renewAt schedules the next renewal, unless the hold ends before.
func (w *Watchdog[T]) renewAt(l *Lease[T], at time.Duration) {
	if at >= l.hold {
		w.renewals.drop(&l.renewal)
		return
	}
	w.renewals.set(&l.renewal, at)
}

// forget ends the watch of a lease.
func (w *Watchdog[T]) forget(l *Lease[T], as state) {
	w.renewals.drop(&l.renewal)
	w.limits.drop(&l.limit)
	l.state, l.call, l.lost = as, nil, nil
}

// lose ends the watch of a lease and notes that its holder must be told.
func (w *Watchdog[T]) lose(l *Lease[T], reason Reason) {
	w.losses = append(w.losses, loss{l.lost, reason})
	w.forget(l, lost)
}

func (w *Watchdog[T]) loseAll(reason Reason) {
	for len(w.limits) > 0 {
		w.lose(w.limits[0].lease, reason)
	}
}

func (w *Watchdog[T]) takeLosses() []loss {
	losses := w.losses
	w.losses = nil
	return losses
}

// report calls what is owed. Whoever held mu when the losses were noted calls
// it as soon as mu is free.
func (w *Watchdog[T]) report(losses []loss) {
	told := 0
	// A callback that ends its goroutine must not keep the others from hearing.
	defer func() {
		if told < len(losses) {
			w.report(losses[told:])
		}
	}()
	for told < len(losses) {
		l := losses[told]
		told++
		w.tell(l)
	}
}

func (w *Watchdog[T]) tell(l loss) {
	defer func() {
		if r := recover(); r != nil {
			w.log(slog.LevelError, "lease: Lost panicked", slog.Any("panic", r))
		}
	}()
	if l.lost != nil {
		l.lost(l.reason)
	}
}

// log contains panics of the logger: they would end the process, since nobody
// else stands above the watchdog's goroutines.
func (w *Watchdog[T]) log(level slog.Level, message string, attrs ...slog.Attr) {
	defer func() { _ = recover() }()
	w.cfg.Logger.LogAttrs(context.Background(), level, message, attrs...)
}
