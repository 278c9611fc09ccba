package idempotency

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/store"
)

// Locker is what [WithLocker] takes: a *lock.Locker on any backend, or something
// around one. A guard calls it from many goroutines at once. Both methods must do
// what those of [lock.Locker] say; one that panics counts as unavailable.
type Locker interface {
	// TryLock takes the lock of a key, or says at once that it is held.
	TryLock(ctx context.Context, key string) (*lock.Lease, error)
	// Lock also waits for it, as long as ctx lasts.
	Lock(ctx context.Context, key string) (*lock.Lease, error)
}

var _ Locker = (*lock.Locker)(nil)

// WithLocker holds a lock around every attempt, beside its claim: for a store that
// can forget what it acknowledged, as a Redis does that fails over to a replica. On
// package quorumlock, whose lock outlives any single server, no two attempts of an
// operation run at once then, whatever became of the record. Without it the claim
// is the only lock, and one that the store has forgotten stops nobody.
//
// The order is claim, lock, start. A claim whose lock cannot be had is given back
// as one that never started, which leaves nothing in the way of an attempt whose
// record was lost. The caller gets [ErrInProgress] if the lock is held, also where
// the policy has a Wait, since there is no record to wait by; and
// [ErrStoreUnavailable] if the locker cannot say, also under [StoreDownOpen]. The
// lock is held until the store has taken the attempt's ending, or that was given
// up; as long as it is, an answer that is refused because of such a claim is
// offered again, for one store timeout.
//
// When the lock is lost, the handler's context ends with a cause that wraps
// [ErrLeaseLost] and [lock.ErrLost], [MarkEffect] fails, and the attempt goes on
// like one whose lease was lost. A [Reconcile] callback runs under the lock, too.
//
// Replays, duplicates that wait, and requests under [KeyShadow] or [KeyOff] take no
// lock. Each attempt costs the locker's round trips twice, one before the handler
// starts and one before its answer is given; the first takes no longer than
// [WithStoreTimeout] and a call of the locker. An operation's first attempt does
// not wait for a lock that is held; a later one does, so long, because the attempt
// before it may be just giving its lock back.
//
// The lock does not make up for a lost record: once the first attempt is over, and
// the store has lost that as well, another may run after it. Nor does it stop a
// handler that ignores its context.
//
// Keys of the locks are the records' digests, the same in all guards. So all
// processes of a service must have the same locker, and services that share the
// lock's servers and not the store need different namespaces there. Let the
// locker's lease be no longer than those of the policies, or who may take over an
// orphan is told [ErrInProgress] for a while, and its MaxHold no shorter. Close the
// locker after [Guard.Shutdown].
func WithLocker(l Locker) Option {
	return func(o *options) error {
		if v := reflect.ValueOf(l); l == nil || v.Kind() == reflect.Pointer && v.IsNil() {
			return errors.New("WithLocker: the locker is nil")
		}
		o.locker = l
		return nil
	}
}

// holding is the lock that an attempt holds.
type holding struct {
	lease *lock.Lease
	// unwatch ends the watch over its loss, free what its context takes.
	unwatch func() bool
	free    context.CancelCauseFunc
}

var (
	errLockPatience = errors.New("the lock was not to be had in time")
	errNoLock       = errors.New("the locker gave neither a lock nor an error")
	errLockExited   = errors.New("the locker ended the goroutine")
)

// admit takes the lock, if the guard has a locker, and says why the handler must
// not be started.
func (a *attempt) admit(ctx, hctx context.Context) *Error {
	refused := a.mayStart(ctx, hctx)
	if refused != nil || a.guard.opts.locker == nil || a.shadowed {
		return refused
	}
	asked := false
	defer func() {
		if !asked { // runtime.Goexit
			_ = a.abandon(hctx, a.refuse(ErrStoreUnavailable, time.Second, errLockExited))
		}
	}()
	err := a.takeLock(hctx)
	asked = true
	if refused := a.mayStart(ctx, hctx); refused != nil { // if the lock failed, this may be why
		return refused
	}
	if err == nil {
		return nil
	}
	a.op.counts.locksRefused.Add(1)
	if !errors.Is(err, lock.ErrHeld) {
		return a.refuse(ErrStoreUnavailable, time.Second, err)
	}
	busy := a.refuse(ErrInProgress, time.Second, err)
	busy.Conflict = a.policy.Conflict
	return busy
}

// takeLock asks for the lock in a context of its own: that is the lock's parent,
// and the end of the handler's must not keep a later loss from being heard.
func (a *attempt) takeLock(hctx context.Context) error {
	ctx, abort := context.WithCancelCause(context.WithoutCancel(hctx))
	late := time.AfterFunc(a.guard.opts.storeTimeout, func() { abort(errLockPatience) })
	unfollow := context.AfterFunc(hctx, func() { abort(context.Cause(hctx)) })
	defer func() {
		if a.lock == nil {
			abort(nil)
		}
	}()
	held, err := a.askLocker(ctx)
	inTime, wanted := late.Stop(), unfollow()
	if err != nil {
		return err
	}
	if !inTime || !wanted {
		_ = held.Release(ctx) // what the backend does not take goes on in the background
		return errLockPatience
	}
	a.lock = &holding{lease: held, free: abort}
	a.lock.unwatch = context.AfterFunc(held.Context(), func() { a.lockEnded(context.Cause(held.Context())) })
	return nil
}

// askLocker waits only where the attempt before this one may be giving the lock
// back. A first attempt finds it held only if its record was lost: then waiting
// would keep the record from the one that runs.
func (a *attempt) askLocker(ctx context.Context) (held *lock.Lease, err error) {
	defer func() {
		if p := recover(); p != nil {
			a.guard.opts.logger.Error("idempotency: the locker panicked", "panic", p, "stack", string(debug.Stack()))
			held, err = nil, errNoLock
		}
	}()
	take := a.guard.opts.locker.Lock
	if a.reply.Attempt == 1 {
		take = a.guard.opts.locker.TryLock
	}
	held, err = take(ctx, a.id.String())
	if err == nil && held == nil {
		err = errNoLock
	}
	return held, err
}

// lockEnded hears that the lock is gone.
func (a *attempt) lockEnded(cause error) {
	if errors.Is(cause, lock.ErrLost) {
		a.lose(fmt.Errorf("%w: %w", ErrLeaseLost, cause), "lock lost")
	}
}

// locked reports that the attempt has a lock and surely holds it.
func (a *attempt) locked() bool { return a.lock != nil && a.lock.lease.Held() }

// holds reports that the attempt surely is the operation's only one.
func (a *attempt) holds() bool { return a.lease.Held() && (a.lock == nil || a.locked()) }

// unlock gives the lock back. Doing so again does nothing.
func (a *attempt) unlock(ctx context.Context) {
	if a.lock == nil {
		return
	}
	a.lock.unwatch()
	_ = a.lock.lease.Release(ctx) // the locker repeats it, and tells its own hooks of a loss
	a.lock.free(nil)
}

// unlockAside is for the goroutine that sends what is pending, which a locker must
// not hold up.
func (a *attempt) unlockAside() {
	if a.lock != nil {
		a.guard.aside(func() { a.unlock(context.Background()) })
	}
}

const firstReoffer = 5 * time.Millisecond

// offer sends the ending. While the attempt holds the lock, no other of those that
// claimed a lost record can start: they give their claims back, and then the
// outcome can be recorded after all.
func (a *attempt) offer(ctx context.Context, event store.Event) (store.Reply, error) {
	reply, err := a.apply(ctx, event)
	if _, released := event.(store.Release); released {
		return reply, err
	}
	until := time.Now().Add(a.guard.opts.storeTimeout)
	for pause := firstReoffer; err == nil && reply.Verdict == store.Refused && a.locked(); pause *= 2 {
		if time.Until(until) < pause {
			break
		}
		time.Sleep(pause)
		reply, err = a.apply(ctx, event)
	}
	return reply, err
}
