package lock

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The defaults of [New].
const (
	DefaultLease       = 30 * time.Second
	DefaultMaxHold     = 15 * time.Minute
	DefaultCallTimeout = 500 * time.Millisecond
	DefaultMaxWaiters  = 20_000
)

// Unlimited is the [MaxHold] that never ends and the [MaxWait] that only the
// context ends.
const Unlimited time.Duration = -1

const (
	leastLease  = 100 * time.Millisecond
	longestTime = 24 * time.Hour
	// How long waiters rely on notifications, or do without them.
	recheckListening = 500 * time.Millisecond
	recheckPolling   = 50 * time.Millisecond
)

// Option configures a [Locker].
type Option interface{ apply(*options) }

type option func(*options)

func (o option) apply(all *options) { o(all) }

type options struct {
	lease, maxHold, maxWait, recheck, callTimeout time.Duration
	maxWaiters                                    int
	hooks                                         Hooks
	logger                                        *slog.Logger
}

// LeaseTime sets for how long a lock outlives its holder: after a crash it is
// free no later than this. A living holder renews it at a third. From 100 ms to
// 24 h; the default is [DefaultLease].
func LeaseTime(d time.Duration) Option {
	return option(func(o *options) { o.lease = d })
}

// MaxHold sets for how long a lock is renewed at most, so that a holder that
// hangs does not keep it for ever: then the lease is lost. At least the lease
// time, or [Unlimited]; the default is [DefaultMaxHold].
func MaxHold(d time.Duration) Option {
	return option(func(o *options) { o.maxHold = d })
}

// MaxWait sets for how long [Locker.Lock] waits at most; the context may end it
// earlier. The default is [Unlimited].
func MaxWait(d time.Duration) Option {
	return option(func(o *options) { o.maxWait = d })
}

// Recheck sets after how long a waiter asks although it heard nothing, a fifth
// more or less. The time doubles twice while it waits. From 1 ms to 1 min; the
// default is 500 ms with a backend that notifies and 50 ms with one that does
// not. All waiters of a process for one lock ask once.
func Recheck(d time.Duration) Option {
	return option(func(o *options) { o.recheck = d })
}

// CallTimeout bounds every call of the backend. From 1 ms to a third of the
// lease time, to which the default, [DefaultCallTimeout], is lowered.
func CallTimeout(d time.Duration) Option {
	return option(func(o *options) { o.callTimeout = d })
}

// MaxWaiters bounds how many goroutines wait in [Locker.Lock] at once, for all
// locks together. Beyond that, Lock does what [Locker.TryLock] does. The default
// is [DefaultMaxWaiters].
func MaxWaiters(n int) Option {
	return option(func(o *options) { o.maxWaiters = n })
}

// Observe sets the hooks.
func Observe(h Hooks) Option {
	return option(func(o *options) { o.hooks = h })
}

// Logger sets where losses and failed calls are told. No line holds a key. The
// default, and nil, is silence.
func Logger(l *slog.Logger) Option {
	return option(func(o *options) { o.logger = l })
}

func newOptions(opts []Option, notifies bool) (options, error) {
	o := options{
		lease: DefaultLease, maxHold: DefaultMaxHold, maxWait: Unlimited,
		maxWaiters: DefaultMaxWaiters, recheck: recheckPolling,
	}
	if notifies {
		o.recheck = recheckListening
	}
	for _, opt := range opts {
		if opt == nil {
			return options{}, errors.New("lock: nil option")
		}
		opt.apply(&o)
	}
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	if o.callTimeout == 0 {
		o.callTimeout = min(DefaultCallTimeout, o.lease/3)
	}
	return o, o.check()
}

func (o *options) check() error {
	switch {
	case o.lease < leastLease || o.lease > longestTime:
		return fmt.Errorf("lock: LeaseTime %v is not between %v and %v", o.lease, leastLease, longestTime)
	case o.maxHold != Unlimited && o.maxHold < o.lease:
		return fmt.Errorf("lock: MaxHold %v is shorter than LeaseTime %v", o.maxHold, o.lease)
	case o.maxWait != Unlimited && o.maxWait <= 0:
		return fmt.Errorf("lock: MaxWait %v is not positive", o.maxWait)
	case o.recheck < time.Millisecond || o.recheck > time.Minute:
		return fmt.Errorf("lock: Recheck %v is not between 1ms and 1m", o.recheck)
	case o.callTimeout < time.Millisecond || o.callTimeout > o.lease/3:
		return fmt.Errorf("lock: CallTimeout %v is not between 1ms and a third of LeaseTime %v", o.callTimeout, o.lease)
	case o.maxWaiters < 1:
		return fmt.Errorf("lock: MaxWaiters %d is not positive", o.maxWaiters)
	}
	return nil
}
