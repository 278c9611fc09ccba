package lock

import (
	"context"
	"time"
)

// Backend is where locks live. A [Locker] calls it, from many goroutines at
// once; the package locktest checks an implementation.
//
// A backend measures a lease by its own clock, from the moment when it executes
// the call. It may execute a call more than once, late, or after the caller has
// given up, and must therefore recognise what it did for an owner before.
//
// An error means that there was no definite answer: the call may or may not have
// been executed, unless the error wraps [ErrNotExecuted]. Errors name no key.
type Backend interface {
	// Acquire takes the lock of id for the claim's owner if it is free or its
	// lease has lapsed. An owner that asks again gets its own lock again, with
	// the same token and a lease counted anew, and [Ended] once it has been
	// released. After [Held] an owner does not ask again. Ctx bounds the call; one
	// that has ended already executes nothing.
	Acquire(ctx context.Context, id ID, claim Claim) (Reply, error)

	// Renew gives each lock a whole lease from now, if its owner holds it and
	// the lease has not lapsed; it never takes a lock that is free. The answers
	// are in the order of the renewals, of which there are at most [MaxRenewals].
	Renew(ctx context.Context, renewals []Renewal) []RenewResult

	// Release ends the owner's hold. It reports whether the owner held the lock up
	// to its release, also when an earlier execution released it, and when another
	// owner has claimed since: a client sends a command again by itself when a reply
	// got lost. After nil the owner does not hold it, and a claim of this owner that
	// arrives late does not take it. A backend may forget all that after some seconds,
	// or some owners. The lock of another owner stays as it is. Releasing again does
	// nothing.
	Release(ctx context.Context, id ID, owner Owner) (held bool, err error)
}

// Notifier is a [Backend] that tells when a lock may be free. Without it waiters
// ask now and then.
type Notifier interface {
	// Watch begins to listen for releases of the lock of id. It does not wait for
	// the backend.
	Watch(id ID) Watch
}

// Watch is one interest in one lock.
type Watch interface {
	// Signals holds at most one signal. One is sent when releases begin to be
	// heard, again whenever some may have been missed, and for every release of
	// which the backend was told by [Claim].Wait that somebody waits. It is never
	// closed. A signal too many does no harm.
	Signals() <-chan struct{}
	// Close ends the interest, without waiting. Closing again does nothing.
	Close()
}

// Claim asks for a lock.
type Claim struct {
	Owner Owner
	// Lease is how long the lock is the owner's unless it is renewed.
	Lease time.Duration
	// Wait says that somebody listens for the end of the hold that this claim
	// finds or begins.
	Wait bool
}

// Reply is the answer to a claim.
type Reply struct {
	Verdict Verdict
	// Token is set for [Acquired], by backends that fence.
	Token Token
	// Left is set for [Held]: how much of the holder's lease is left. Zero means
	// that the backend does not know.
	Left time.Duration
}

// Verdict is what a backend decided about a claim.
type Verdict uint8

// The verdicts.
const (
	// Acquired: the owner holds the lock.
	Acquired Verdict = iota + 1
	// Held: another owner does.
	Held
	// Ended: this owner held the lock, or was released before its claim arrived,
	// and does not hold it any more.
	Ended
)

// String returns the verdict in a word.
func (v Verdict) String() string {
	switch v {
	case Acquired:
		return "acquired"
	case Held:
		return "held"
	case Ended:
		return "ended"
	}
	return "invalid"
}

// MaxRenewals is the most renewals of one call of [Backend].Renew.
const MaxRenewals = 128

// Renewal asks for a whole lease from now.
type Renewal struct {
	ID    ID
	Owner Owner
	Lease time.Duration
}

// RenewResult is the answer to one renewal. The zero value says that it was done.
type RenewResult struct {
	// Lost says that the owner does not hold the lock, or that its lease lapsed.
	Lost bool
	// Err says that the backend could not tell.
	Err error
}
