package lock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/reprise-go/reprise/internal/lease"
)

// Lease is a lock that is held. It is renewed in the background until it is
// released or lost. All methods may be called concurrently.
type Lease struct {
	locker *Locker
	outer  *Lease // within whose context it was acquired
	id     ID
	owner  Owner
	token  Token
	since  time.Time
	watch  *lease.Lease[Renewal]

	ctx    context.Context //nolint:containedctx // the lease is what the context is about
	cancel context.CancelCauseFunc

	counted bool
	once    sync.Once
	err     error // of the release

	mu       sync.Mutex
	released bool // and not lost before
	loss     error
}

type leaseKey struct{}

// FromContext returns the lease to whose context ctx belongs, the innermost of
// several: in a function that [Locker.Do] runs, it is where the token is.
func FromContext(ctx context.Context) (*Lease, bool) {
	le := leaseFrom(ctx)
	return le, le != nil
}

func leaseFrom(ctx context.Context) *Lease {
	le, _ := ctx.Value(leaseKey{}).(*Lease)
	return le
}

func (l *Locker) newLease(ctx context.Context, id ID, a answer) *Lease {
	le := &Lease{
		locker: l, outer: leaseFrom(ctx), id: id, owner: a.owner, token: a.reply.Token, since: a.sent,
		counted: l.holds.Enter(),
	}
	le.ctx, le.cancel = context.WithCancelCause(context.WithValue(ctx, leaseKey{}, le))
	spec := lease.Spec{Lease: l.opts.lease, Since: a.sent, Lost: le.lose}
	if l.opts.maxHold != Unlimited {
		spec.MaxHold = l.opts.maxHold
	}
	le.watch = l.dog.Watch(le.renewal(), spec)
	return le
}

func (le *Lease) renewal() Renewal {
	return Renewal{ID: le.id, Owner: le.owner, Lease: le.locker.opts.lease}
}

// Context returns the context of the work that the lock protects. It descends
// from the one that the lock was taken with, and also ends when the lease is
// lost, with a cause that wraps [ErrLost], before the backend can give the lock
// to another holder, unless the backend forgot it; and when it is released, with
// [ErrReleased].
//
// It is ended in time as long as this process runs. After a pause of the whole
// process longer than the lease it is ended late: see [Lease.Held] and
// [Lease.Token].
func (le *Lease) Context() context.Context { return le.ctx }

// Token returns the fencing token, or zero if the backend gives none.
func (le *Lease) Token() Token { return le.token }

// Held reports whether the lock is surely held at this moment. It asks the
// clocks and not the backend, so it is right also after a pause of the process.
func (le *Lease) Held() bool { return le.watch.Held() }

// Deadline returns until when the lock is held if no renewal succeeds from now
// on, by the monotonic clock. Renewals move it; it never moves backwards.
func (le *Lease) Deadline() time.Time { return le.watch.Deadline() }

// Extend has the backend confirm the lease now, so that nearly all of the lease
// time is ahead. It is not needed for staying alive; it makes sure of the lock
// before a step that must not be interrupted. It does not prolong [MaxHold].
//
// Errors: [ErrLost], also after MaxHold; [ErrReleased]; [ErrUnavailable], which
// by itself ends nothing.
func (le *Lease) Extend(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("lock: %s: %w", le.id.Short(), context.Cause(ctx))
	}
	if hold := le.locker.opts.maxHold; hold != Unlimited && time.Since(le.since) >= hold {
		return lossOf(le.id, lease.ReasonMaxHold)
	}
	sent := time.Now()
	lost, err := le.locker.renewOne(ctx, le.renewal())
	if err != nil {
		return unavailable("renewal", le.id, err)
	}
	if lost && le.watch.End() {
		le.lose(lease.ReasonLost)
	}
	if lost || !le.watch.Confirm(sent, 0) {
		return le.ended()
	}
	return nil
}

// Release gives the lock back. It stops the renewals first, then tells the
// backend, with a time limit of its own and whether or not ctx has ended; of ctx
// it uses the values only. Releasing again waits for the first and returns the
// same.
//
// Errors: [ErrLost], if the lock was lost before; [ErrUnavailable], if the
// backend did not answer. Then the release is repeated in the background until
// the lease is over. Either way the lock is not held any more.
func (le *Lease) Release(ctx context.Context) error {
	le.once.Do(func() { le.err = le.release(ctx) })
	return le.err
}

func (le *Lease) release(ctx context.Context) error {
	l := le.locker
	if le.counted {
		defer l.holds.Leave()
	}
	loss := le.finish()
	le.cancel(ErrReleased)
	sent := time.Now()
	held, err := l.release(ctx, le.id, le.owner)
	if err != nil {
		err = unavailable("release", le.id, err)
	}
	l.released(Handback{ID: le.id.Short(), Err: err})
	if err != nil {
		l.leftovers.add(leftover{id: le.id, owner: le.owner, until: sent.Add(l.opts.lease)})
	}
	l.crowds.released(le.id)
	if loss != nil {
		return loss
	}
	if err == nil && !held {
		return lossOf(le.id, lease.ReasonLost)
	}
	return err
}

// finish ends the watch. It returns the loss if there was one.
func (le *Lease) finish() error {
	alive := le.watch.End()
	le.mu.Lock()
	defer le.mu.Unlock()
	if !alive && le.loss == nil { // it is just being told
		le.loss = lossOf(le.id, lease.ReasonLost)
	}
	le.released = le.loss == nil
	return le.loss
}

// lose ends the context, unless the lease is over. The watchdog calls it.
func (le *Lease) lose(reason lease.Reason) {
	loss := lossOf(le.id, reason)
	if !le.note(loss) {
		return
	}
	le.cancel(loss)
	le.locker.lost(Loss{ID: le.id.Short(), Token: le.token, Reason: reason.String(), Held: time.Since(le.since)})
}

func (le *Lease) note(loss error) bool {
	le.mu.Lock()
	defer le.mu.Unlock()
	if le.released || le.loss != nil {
		return false
	}
	le.loss = loss
	return true
}

// ended says why the lease is over.
func (le *Lease) ended() error {
	le.mu.Lock()
	defer le.mu.Unlock()
	if le.loss != nil {
		return le.loss
	}
	return fmt.Errorf("lock: %s: %w", le.id.Short(), ErrReleased)
}
