package lease

import (
	"log/slog"
	"time"
)

// The loop is the watchdog's one goroutine: it starts calls and gives leases
// up, and itself waits for nothing but time. It runs while leases are watched;
// the first Watch after that starts it again.

// startLoop is called with mu held.
func (w *Watchdog[T]) startLoop(now reading) {
	w.looping = true
	w.goroutines++
	// It looks at the schedules first thing, so nobody needs to wake it.
	w.armed = now.mono
	w.skew = now.skew
	go w.loop()
}

func (w *Watchdog[T]) loop() {
	defer w.left()
	running := true
	defer func() {
		if r := recover(); running {
			w.died(r)
		}
	}()
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for {
		s := w.step()
		w.report(s.losses)
		if s.idle {
			running = false
			return
		}
		timer.Reset(s.wake - w.clock.now().mono)
		select {
		case <-timer.C:
		case <-w.wake:
		}
	}
}

// step is one look at the schedules, and what remains to be done without mu.
type step struct {
	losses []loss
	wake   time.Duration
	idle   bool
}

func (w *Watchdog[T]) step() step {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.now()
	w.abandonCalls(now)
	w.checkClocks(now)
	for w.limits.next() <= now.mono {
		l := w.limits[0].lease
		w.lose(l, l.expiry())
	}
	w.startCalls(now)
	w.looping = len(w.limits) > 0
	w.armed = w.nextWake(now)
	return step{losses: w.takeLosses(), wake: w.armed, idle: !w.looping}
}

// nextWake skips the renewals when no call can be started for them: the call
// that makes room wakes the loop.
func (w *Watchdog[T]) nextWake(now reading) time.Duration {
	wake := min(now.mono+tick, w.limits.next())
	if w.hasRoom() {
		wake = min(wake, w.renewals.next())
	}
	for _, c := range w.calls {
		wake = min(wake, c.overdue)
	}
	return wake
}

// nudge makes the loop look at the given time, if it would sleep beyond it.
func (w *Watchdog[T]) nudge(at time.Duration) {
	if !w.looping || at >= w.armed {
		return
	}
	w.armed = at
	w.signal()
}

func (w *Watchdog[T]) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// checkClocks looks at every lease when the clocks moved apart. Slow movement
// adds up until it is looked at, so a clock that is slewed is noticed, too.
func (w *Watchdog[T]) checkClocks(now reading) {
	if !jumped(w.skew, now.skew, jumpNoise) {
		return
	}
	w.skew = now.skew
	// Suspecting reorders the schedule.
	for _, n := range append([]*node[T](nil), w.limits...) {
		w.suspect(n.lease, now)
	}
}

// suspect asks for an immediate confirmation of a lease if the clocks moved
// apart since its last one: the time that passed for the backend may be more
// than what this process saw.
func (w *Watchdog[T]) suspect(l *Lease[T], now reading) {
	if l.doubt != 0 || !l.jumped(now) {
		return
	}
	l.doubt = now.mono + grace(l.length)
	w.limits.set(&l.limit, min(l.deadline(), l.doubt))
	// A call from before the jump cannot settle the doubt, and its connection may
	// be dead. Its confirmation still counts when it comes.
	if l.call != nil && jumped(l.call.sent.skew, now.skew, grace(l.length)) {
		l.call = nil
	}
	if l.call == nil {
		w.renewAt(l, now.mono)
	}
}

// died is what remains of the loop after a panic: nobody watches the leases any
// more, so they are lost. The next Watch starts a new loop.
func (w *Watchdog[T]) died(cause any) {
	w.mu.Lock()
	w.looping = false
	w.loseAll(ReasonUnconfirmed)
	losses := w.takeLosses()
	w.mu.Unlock()
	w.report(losses)
	w.log(slog.LevelError, "lease: watchdog died, all leases are given up",
		slog.Any("panic", cause), slog.Int("leases", len(losses)))
}
