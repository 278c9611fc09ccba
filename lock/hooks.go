package lock

import (
	"context"
	"log/slog"
	"time"
)

// Hooks observe a locker, for metrics and tracing. Nil hooks are skipped. They
// may run concurrently and should not block; a hook that panics is logged and
// otherwise ignored. [Locker.Close] waits for them, so they must not call it. No
// hook sees a key.
type Hooks struct {
	// Acquired is called when a lock was acquired, on the goroutine that asked.
	Acquired func(ctx context.Context, a Acquisition)
	// Lost is called when a lease was lost, on a goroutine of its own, after its
	// context has ended.
	Lost func(l Loss)
	// Released is called when the backend has answered a release or is not asked
	// any more, on the goroutine that released, or on one of the locker's if Late.
	Released func(r Handback)
}

// Acquisition describes a lock that was acquired.
type Acquisition struct {
	// ID is the first digits of the key's digest. Not for metric labels.
	ID    string
	Token Token
	// Waited is how long the call took in all.
	Waited time.Duration
}

// Loss describes a lease that was lost.
type Loss struct {
	ID    string
	Token Token
	// Reason is "lost" (the backend says so), "unconfirmed" (it could not be
	// confirmed in time), "maximum hold", or "closed".
	Reason string
	// Held is how long the lock was held.
	Held time.Duration
}

// Handback describes a release.
type Handback struct {
	ID string
	// Late says that it was sent in the background: an earlier try failed, or the
	// claim itself had no answer.
	Late bool
	// Err is nil if the backend executed it. Otherwise the lock ends with its
	// lease, or [Handback] is called again when a later try is over.
	Err error
}

func (l *Locker) acquired(ctx context.Context, a Acquisition) {
	if hook := l.opts.hooks.Acquired; hook != nil {
		l.contain("Acquired", func() { hook(ctx, a) })
	}
}

func (l *Locker) released(r Handback) {
	if hook := l.opts.hooks.Released; hook != nil {
		l.contain("Released", func() { hook(r) })
	}
}

// lost tells of a loss on a goroutine of its own: the watchdog, which found it,
// must not wait for a logger or a hook.
func (l *Locker) lost(loss Loss) {
	tell := func() {
		l.opts.logger.Warn("lock: lease lost", slog.String("id", loss.ID), slog.String("reason", loss.Reason))
		if hook := l.opts.hooks.Lost; hook != nil {
			l.contain("Lost", func() { hook(loss) })
		}
	}
	if !l.aside.Enter() {
		tell() // the locker is closed, and nothing is left to be held up
		return
	}
	go func() {
		defer l.aside.Leave()
		tell()
	}()
}

// contain keeps a hook's panic from ending the process.
func (l *Locker) contain(hook string, call func()) {
	defer func() {
		if p := recover(); p != nil {
			l.opts.logger.Error("lock: a hook panicked", slog.String("hook", hook), slog.Any("panic", p))
		}
	}()
	call()
}
