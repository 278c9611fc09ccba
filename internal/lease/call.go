package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

var errExited = errors.New("Renew ended its goroutine")

// call is one batch on its way to the backend.
type call[T any] struct {
	leases  []*Lease[T]
	items   []T
	sent    reading
	timeout time.Duration
	// overdue is when the loop stops waiting for the call; a little after its
	// context ended, since a call that heeds that deserves to say so itself.
	overdue time.Duration
	stuck   bool
	spread  float64
}

// hasRoom reports whether another call may be started.
func (w *Watchdog[T]) hasRoom() bool {
	return len(w.calls) < w.cfg.MaxCalls && len(w.calls)+w.stuck < w.cfg.MaxCalls*maxStuck
}

func (w *Watchdog[T]) startCalls(now reading) {
	for w.hasRoom() && w.renewals.next() <= now.mono {
		w.startCall(w.collect(now), now)
	}
}

// collect takes the leases that are due, and those that nearly are.
func (w *Watchdog[T]) collect(now reading) []*Lease[T] {
	batch := make([]*Lease[T], 0, min(w.cfg.MaxBatch, len(w.renewals)))
	for len(batch) < cap(batch) {
		l := w.renewals[0].lease
		if l.earliest() > now.mono {
			break
		}
		w.renewals.drop(&l.renewal)
		batch = append(batch, l)
	}
	return batch
}

func (w *Watchdog[T]) startCall(batch []*Lease[T], now reading) {
	c := &call[T]{
		leases:  batch,
		items:   make([]T, len(batch)),
		sent:    now,
		timeout: w.cfg.CallTimeout,
		spread:  w.jitter.Float64(),
	}
	for i, l := range batch {
		l.call = c
		c.items[i] = l.item
		c.timeout = min(c.timeout, interval(l.length))
	}
	c.overdue = now.mono + c.timeout + c.timeout/8
	w.calls = append(w.calls, c)
	w.goroutines++
	go w.run(c)
}

// run makes the call on a goroutine of its own.
func (w *Watchdog[T]) run(c *call[T]) {
	defer w.left()
	var results []Result
	err := errExited
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("Renew panicked: %v", r)
		}
		w.finish(c, results, err)
	}()
	ctx, cancel := context.WithTimeout(w.ctx, c.timeout)
	defer cancel()
	results = w.cfg.Renew(ctx, c.items)
	err = nil
	if len(results) != len(c.leases) {
		err = fmt.Errorf("Renew gave %d results for %d items", len(results), len(c.leases))
	}
}

func (w *Watchdog[T]) finish(c *call[T], results []Result, err error) {
	if err != nil {
		results = slices.Repeat([]Result{{Err: err}}, len(c.leases))
	}
	w.report(w.settle(c, results))
	if c.stuck {
		w.log(slog.LevelWarn, "lease: a renewal outlived its time, its context notwithstanding")
	}
	w.logFailures(results)
}

// settle applies the results and makes room for the next call.
func (w *Watchdog[T]) settle(c *call[T], results []Result) []loss {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.stuck {
		w.stuck--
	} else {
		w.calls = slices.DeleteFunc(w.calls, func(other *call[T]) bool { return other == c })
	}
	now := w.clock.now()
	for i, l := range c.leases {
		w.apply(l, c, results[i], now)
	}
	w.nudge(w.nextWake(now))
	return w.takeLosses()
}

// apply does to a lease what the backend answered. A late answer counts as
// well: "lost" is final whenever it was said, and a confirmation counts from
// the moment when it was sent.
func (w *Watchdog[T]) apply(l *Lease[T], c *call[T], result Result, now reading) {
	switch {
	case l.state != watched:
	case result.Err != nil:
		w.retry(l, c, now)
	case result.Lost:
		w.lose(l, ReasonLost)
	default:
		w.confirm(l, c, result.Confirmed, now)
	}
}

// retry schedules another try after the failure of the call that the lease
// waits for; any other call's failure means nothing.
func (w *Watchdog[T]) retry(l *Lease[T], c *call[T], now reading) {
	if l.state != watched || l.call != c {
		return
	}
	l.call = nil
	l.fails = min(l.fails+1, maxFails)
	w.renewAt(l, now.mono+retryDelay(l.length, l.fails, c.spread))
}

func (w *Watchdog[T]) confirm(l *Lease[T], c *call[T], confirmed int64, now reading) {
	if l.call == c {
		l.call = nil
	}
	// An older call that is answered after a newer one must not move the deadline
	// backwards.
	if c.sent.mono < l.sent {
		return
	}
	l.sent, l.skew, l.confirmed, l.fails = c.sent.mono, c.sent.skew, confirmed, 0
	if !l.jumped(now) {
		l.doubt = 0
	}
	w.limits.set(&l.limit, l.limitNow())
	if l.call == nil {
		w.renewAt(l, w.nextRenewal(l, now))
	}
	w.suspect(l, now)
}

// limitNow is when the lease is given up as things stand.
func (l *Lease[T]) limitNow() time.Duration {
	if l.doubt != 0 {
		return min(l.deadline(), l.doubt)
	}
	return l.deadline()
}

// nextRenewal comes at once while a jump is not confirmed: the confirmation
// just received was of a command from before it.
func (w *Watchdog[T]) nextRenewal(l *Lease[T], now reading) time.Duration {
	if l.doubt != 0 {
		return now.mono
	}
	return l.sent + renewalDelay(l.length, w.jitter.Float64())
}

// abandonCalls stops waiting for calls that outlived their time: their leases
// are tried again on another one. Nothing is logged here, on the loop's
// goroutine: a logger that blocks would keep leases from being lost in time.
func (w *Watchdog[T]) abandonCalls(now reading) {
	w.calls = slices.DeleteFunc(w.calls, func(c *call[T]) bool {
		if c.overdue > now.mono {
			return false
		}
		c.stuck = true
		w.stuck++
		for _, l := range c.leases {
			w.retry(l, c, now)
		}
		return true
	})
}

// logFailures writes one line for a call, however many leases it carried.
func (w *Watchdog[T]) logFailures(results []Result) {
	failed := 0
	var first error
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		if failed == 0 {
			first = r.Err
		}
		failed++
	}
	if failed > 0 {
		w.log(slog.LevelWarn, "lease: renewals failed",
			slog.Int("failed", failed), slog.Int("of", len(results)), slog.Any("error", first))
	}
}
