package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/internal/lease"
)

// answer is what one claim brought.
type answer struct {
	owner Owner
	sent  time.Time // before the call
	reply Reply
	err   error
	// unclear says that a claim of this owner may have been executed unheard.
	unclear bool
}

func (a answer) acquired() bool { return a.err == nil && a.reply.Verdict == Acquired }

func (a answer) held() bool { return a.err == nil && a.reply.Verdict == Held }

// toOthers is what an answer means to those who wait: one lock that was acquired
// is held, as by anybody else.
func (a answer) toOthers(length time.Duration) answer {
	if a.acquired() {
		a.reply = Reply{Verdict: Held, Left: length}
	}
	return a
}

// left is how much is left now of the lease that the answer spoke of.
func (a answer) left() time.Duration {
	if a.reply.Left <= 0 {
		return 0
	}
	return max(a.reply.Left-time.Since(a.sent), 0)
}

var (
	errEnded    = errors.New("it answers that a new owner was released before")
	errVerdict  = errors.New("it gave no verdict")
	errLength   = errors.New("it gave another number of answers")
	errTooLate  = errors.New("its answer took longer than the lease")
	errNotAsked = errors.New("it has not answered yet")
)

// ask sends one claim. It is bounded by the call timeout, and by ctx's deadline
// but not its cancellation, which would only leave the outcome unknown.
func (l *Locker) ask(ctx context.Context, id ID, owner Owner, wait bool) (a answer) {
	a = answer{owner: owner, sent: time.Now()}
	ctx, cancel := l.bounded(ctx, a.sent)
	defer cancel()
	defer contain(&a.err)
	a.unclear = true // should the backend panic
	a.reply, a.err = l.backend.Acquire(ctx, id, Claim{Owner: owner, Lease: l.opts.lease, Wait: wait})
	if a.err == nil && (a.reply.Verdict < Acquired || a.reply.Verdict > Ended) {
		a.err = errVerdict
	}
	a.unclear = a.err != nil && !errors.Is(a.err, ErrNotExecuted)
	return a
}

// bounded is bounded by the call timeout and by ctx's deadline.
func (l *Locker) bounded(ctx context.Context, now time.Time) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && deadline.Sub(now) < l.opts.callTimeout {
		return context.WithDeadline(context.WithoutCancel(ctx), deadline)
	}
	return l.bounds.detached(ctx, now), func() {}
}

func (l *Locker) release(ctx context.Context, id ID, owner Owner) (held bool, err error) {
	defer contain(&err)
	return l.backend.Release(l.bounds.detached(ctx, time.Now()), id, owner)
}

// contain makes a backend's panic an error: some calls are made by goroutines
// that serve others.
func contain(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("it panicked: %v", p)
	}
}

// renew renews for the watchdog.
func (l *Locker) renew(ctx context.Context, renewals []Renewal) []lease.Result {
	results := l.backend.Renew(ctx, renewals)
	confirmed := make([]lease.Result, len(results))
	for i, r := range results {
		confirmed[i] = lease.Result{Lost: r.Lost, Err: r.Err}
	}
	return confirmed
}

// renewOne renews for a holder.
func (l *Locker) renewOne(ctx context.Context, r Renewal) (lost bool, err error) {
	ctx, cancel := l.bounded(ctx, time.Now())
	defer cancel()
	defer contain(&err)
	results := l.backend.Renew(ctx, []Renewal{r})
	if len(results) != 1 {
		return false, errLength
	}
	return results[0].Lost, results[0].Err
}

// grant turns an answer into a lease or an error.
func (l *Locker) grant(ctx context.Context, id ID, a answer, began time.Time) (*Lease, error) {
	switch {
	case a.err != nil:
		l.leftovers.unclear(id, a)
		return nil, l.explain(ctx, id, a.err)
	case a.reply.Verdict == Held:
		return nil, &HeldError{ID: id.Short(), Left: a.left()}
	case a.reply.Verdict == Ended:
		return nil, unavailable("acquire", id, errEnded)
	case ctx.Err() != nil:
		l.leftovers.unused(id, a)
		return nil, fmt.Errorf("lock: %s: %w", id.Short(), context.Cause(ctx))
	}
	le := l.newLease(ctx, id, a)
	if !le.Held() {
		_ = le.Release(ctx)
		return nil, l.tooLate(id)
	}
	l.acquired(ctx, Acquisition{ID: id.Short(), Token: le.token, Waited: time.Since(began)})
	return le, nil
}

// explain adds the caller's context to an error that it may have caused.
func (l *Locker) explain(ctx context.Context, id ID, err error) error {
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return unavailable("acquire", id, err)
}

func (l *Locker) tooLate(id ID) error {
	select {
	case <-l.calls.Shut():
		return closed(id)
	default:
		return unavailable("acquire", id, errTooLate)
	}
}
