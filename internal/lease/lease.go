package lease

import "time"

// Lease is one lease under watch. All methods may be called concurrently; none
// of them calls the backend.
type Lease[T any] struct {
	dog  *Watchdog[T]
	item T
	lost func(Reason)

	// renewal is the next renewal, not scheduled while one is under way or when
	// there is none to come; limit is when the lease is given up.
	renewal, limit node[T]

	length    time.Duration
	hold      time.Duration // no renewal from here on
	sent      time.Duration // when the last confirmed command was sent
	skew      time.Duration // the clocks' skew at that moment
	confirmed int64
	doubt     time.Duration // 0, or until when a clock jump must be confirmed
	call      *call[T]      // the call whose failure counts, nil if none is awaited
	fails     uint8
	state     state
}

type state uint8

const (
	watched state = iota
	ended         // by its holder
	lost          // and reported
)

// Spec describes a lease that was just claimed.
type Spec struct {
	// Lease is the length that the backend was asked for, and that each renewal
	// asks for again. Useful from 100 ms; a length of zero is lost at once.
	Lease time.Duration
	// MaxHold stops the renewals so long after Since; 0 sets no limit. The lease
	// is then lost when its last confirmation runs out.
	MaxHold time.Duration
	// Since is when the claim was sent, read with [time.Now] BEFORE sending it.
	// A zero Since is a lease that is over.
	Since time.Time
	// Confirmed is the backend's own time of the claim; see [Lease.Confirmed].
	Confirmed int64
	// Lost is called at most once, from a goroutine of the watchdog, without a
	// lock held. It must not block: other leases wait for it. A panic is
	// contained and logged. It may be called before Watch has returned. It may
	// call methods of a Lease; it must not call [Watchdog.Close]. It may be nil.
	Lost func(Reason)
}

// Reason says why a lease was lost.
type Reason uint8

// The reasons.
const (
	ReasonLost        Reason = iota + 1 // the backend says that it is lost
	ReasonUnconfirmed                   // it could not be confirmed in time
	ReasonMaxHold                       // it was held for as long as is allowed
	ReasonClosed                        // the watchdog was closed
)

// String returns the reason in words.
func (r Reason) String() string {
	switch r {
	case ReasonLost:
		return "lost"
	case ReasonUnconfirmed:
		return "unconfirmed"
	case ReasonMaxHold:
		return "maximum hold"
	case ReasonClosed:
		return "closed"
	}
	return "invalid"
}

// Held reports whether the lease can be relied on at this moment: it is neither
// ended nor lost, its deadline has not passed, and no jump of the clocks awaits
// confirmation. It asks the clocks and not whether Lost was called, so it is
// right also just after a pause of the process. False because of a jump may
// become true again a round trip later.
func (l *Lease[T]) Held() bool {
	w := l.dog
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.state != watched || l.doubt != 0 {
		return false
	}
	now := w.clock.now()
	if l.jumped(now) {
		w.nudge(now.mono)
		return false
	}
	return now.mono < l.deadline()
}

// Deadline returns when, by the monotonic clock of this process, the lease can
// no longer be relied on unless it is confirmed before. It never moves
// backwards.
func (l *Lease[T]) Deadline() time.Time {
	l.dog.mu.Lock()
	defer l.dog.mu.Unlock()
	return l.dog.clock.time(l.deadline())
}

// Confirmed returns what the backend gave as its time with the last
// confirmation, by the claim or by a renewal.
func (l *Lease[T]) Confirmed() int64 {
	l.dog.mu.Lock()
	defer l.dog.mu.Unlock()
	return l.confirmed
}

// Confirm notes a confirmation that the holder itself asked for, by a command
// sent at since, read with [time.Now] BEFORE sending it, and the backend's own
// time of it. It is one like the watchdog's: it moves the deadline, never
// backwards. It reports whether the lease was neither ended nor lost before.
func (l *Lease[T]) Confirm(since time.Time, confirmed int64) bool {
	w := l.dog
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.state != watched {
		return false
	}
	now := w.clock.now()
	sent := w.clock.at(since)
	sent.mono = min(sent.mono, now.mono)
	w.confirm(l, &call[T]{sent: sent}, confirmed, now)
	w.nudge(w.nextWake(now))
	return true
}

// End stops the watch; replies for the lease that are still under way are
// ignored. It reports whether the lease was not lost before: after true, Lost
// has not been and will not be called. After false it may still be running.
// Ending twice gives the same answer. O(log n), and wakes nobody.
func (l *Lease[T]) End() bool {
	l.dog.mu.Lock()
	defer l.dog.mu.Unlock()
	if l.state == watched {
		l.dog.forget(l, ended)
	}
	return l.state == ended
}

// deadline is the send time of the last confirmation and not its reply's: the
// backend may have executed the command right after it was sent.
func (l *Lease[T]) deadline() time.Duration { return l.sent + l.length - margin(l.length) }

// earliest is from when on the lease may be taken along in a batch.
func (l *Lease[T]) earliest() time.Duration {
	if l.fails == 0 && l.doubt == 0 {
		return min(l.renewal.at, l.sent+interval(l.length))
	}
	return l.renewal.at - retrySlack(l.length)
}

// jumped reports whether the clocks moved apart since the last confirmation by
// more than the grace makes up for.
func (l *Lease[T]) jumped(now reading) bool {
	return jumped(l.skew, now.skew, grace(l.length))
}

// expiry says why the lease is over when its limit has passed: nothing was
// tried because nothing may be tried, or what was tried did not confirm it.
func (l *Lease[T]) expiry() Reason {
	if l.renewal.place == 0 && l.call == nil && l.fails == 0 {
		return ReasonMaxHold
	}
	return ReasonUnconfirmed
}
