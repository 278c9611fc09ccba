package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/internal/gate"
	"github.com/reprise-go/reprise/internal/lease"
)

// Locker takes locks of one backend and keeps them alive. All methods may be
// called concurrently. Create one with [New], usually one for each process and
// backend, and close it at the end.
type Locker struct {
	backend   Backend
	opts      options
	bounds    bounds
	dog       *lease.Watchdog[Renewal]
	crowds    *crowds
	leftovers *leftovers

	calls *gate.Gate // acquisitions under way; closed first
	holds *gate.Gate // leases that are not released
	aside *gate.Gate // reports of losses
}

// New returns a locker on a backend. It starts nothing and does not connect. The
// error names the option that is out of range. The backend stays the caller's to
// close, after the locker.
func New(backend Backend, opts ...Option) (*Locker, error) {
	if backend == nil {
		return nil, errors.New("lock: no backend")
	}
	notifier, _ := backend.(Notifier)
	o, err := newOptions(opts, notifier != nil)
	if err != nil {
		return nil, err
	}
	l := &Locker{backend: backend, opts: o, calls: gate.New(), holds: gate.New(), aside: gate.New()}
	l.crowds = newCrowds(l, notifier)
	l.leftovers = newLeftovers(l)
	l.bounds.limit = o.callTimeout
	l.dog, err = lease.New(lease.Config[Renewal]{
		Renew: l.renew, MaxBatch: MaxRenewals, CallTimeout: o.callTimeout, Logger: o.logger,
	})
	return l, err
}

// TryLock takes the lock of key or says that it is held, in one call of the
// backend. It does not queue: it may overtake those who wait.
//
// Errors: [ErrHeld] as a [*HeldError]; [ErrUnavailable] with the backend's error;
// [ErrClosed]; [ErrInvalid]; the context's cause if that has ended. On an error
// the lock is not held: should the backend have taken it all the same, it is
// released in the background.
func (l *Locker) TryLock(ctx context.Context, key string) (*Lease, error) {
	began := time.Now()
	id, err := l.enter(ctx, key)
	if err != nil {
		return nil, err
	}
	defer l.calls.Leave()
	return l.grant(ctx, id, l.ask(ctx, id, NewOwner(), false), began)
}

// Lock takes the lock of key, waiting while another holder has it. Waiters of
// this process for one lock get it in the order of their arrival; they cost the
// backend no more than one, however many they are. Between processes nobody is
// first by right.
//
// Locks are not re-entrant. Within a lease's context (see [Lease.Context]) Lock
// of the same key does not wait for itself but returns [ErrHeld].
//
// Errors are those of [Locker.TryLock]. If the context ends during the wait, the
// error wraps its cause, and [ErrHeld] or [ErrUnavailable], whichever was known
// last. [ErrHeld] alone comes after [MaxWait], or when [MaxWaiters] wait already.
// While it waits, Lock outlasts a backend that does not answer.
func (l *Locker) Lock(ctx context.Context, key string) (*Lease, error) {
	began := time.Now()
	id, err := l.enter(ctx, key)
	if err != nil {
		return nil, err
	}
	defer l.calls.Leave()
	if l.inside(ctx, id) {
		return nil, &HeldError{ID: id.Short()}
	}
	a, err := l.crowds.await(ctx, id)
	if err != nil {
		return nil, err
	}
	return l.grant(ctx, id, a, began)
}

// Do runs fn under the lock of key, with the lease's context, and releases the
// lock when fn returns, panics or ends its goroutine. It waits as [Locker.Lock]
// does and returns its errors without running fn.
//
// The error is fn's. If the lease was lost before fn had returned it wraps
// [ErrLost], too: fn may not have been alone. A release that the backend does not
// answer is no error: it is repeated in the background.
func (l *Locker) Do(ctx context.Context, key string, fn func(ctx context.Context) error) (err error) {
	le, err := l.Lock(ctx, key)
	if err != nil {
		return err
	}
	defer func() {
		if released := le.Release(ctx); errors.Is(released, ErrLost) {
			err = errors.Join(err, released)
		}
	}()
	return fn(le.Context())
}

// Shutdown lets nobody take a lock any more, which is [ErrClosed] also for those
// who wait, then waits until all leases are released or ctx ends, and closes the
// locker as [Locker.Close] does. It returns ctx's cause if that cut it short.
func (l *Locker) Shutdown(ctx context.Context) error {
	l.calls.Close()
	err := l.finish(ctx, l.calls)
	l.holds.Close()
	if e := l.holds.Wait(ctx); e != nil {
		err = errors.Join(err, fmt.Errorf("lock: locks are still held: %w", e))
	}
	err = errors.Join(err, l.dog.Close(), l.finish(ctx, l.crowds.workers))
	err = errors.Join(err, l.leftovers.stop(ctx))
	l.aside.Close()
	return errors.Join(err, l.finish(ctx, l.aside))
}

// Close ends everything now: nobody takes a lock any more, and the contexts of
// all leases end with [ErrLost] and [ErrClosed]. Locks whose holders still run
// are not given to others: holders release them as usual, also now, or they end
// with their leases. Close waits for the locker's goroutines, and for its calls
// of the backend as long as they may take. Closing again does nothing.
func (l *Locker) Close() error {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Shutdown(now); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// finish closes a gate and waits for those inside, who need no longer than a call
// of the backend may take, also when ctx ends before.
func (l *Locker) finish(ctx context.Context, g *gate.Gate) error {
	g.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.opts.callTimeout+time.Second)
	defer cancel()
	return g.Wait(ctx)
}

// enter begins an acquisition.
func (l *Locker) enter(ctx context.Context, key string) (ID, error) {
	if key == "" {
		return ID{}, fmt.Errorf("%w: it is empty", ErrInvalid)
	}
	id := NewID(key)
	if ctx.Err() != nil {
		return id, fmt.Errorf("lock: %s: %w", id.Short(), context.Cause(ctx))
	}
	if !l.calls.Enter() {
		return id, closed(id)
	}
	return id, nil
}

// inside reports that ctx belongs to a lease of the same lock.
func (l *Locker) inside(ctx context.Context, id ID) bool {
	for le := leaseFrom(ctx); le != nil; le = le.outer {
		if le.locker == l && le.id == id && le.Held() {
			return true
		}
	}
	return false
}
