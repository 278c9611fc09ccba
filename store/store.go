package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Store keeps records. All methods may be called concurrently, and by several
// processes on one backend where the store says that it supports that.
//
// A context bounds how long a caller waits, nothing else: an event whose call
// returned an error may have been executed, or may be executed later. Every
// event can be sent again. With a context that has ended already, every method
// returns an error that wraps [ErrUnavailable].
//
// A store keeps no slice that it was given, and gives away none that it keeps:
// the bytes of answers are copied both ways.
type Store interface {
	// Apply executes one event on the record of id, atomically and as [Step]
	// says. Errors: [ErrUnavailable], [ErrUnreadable], [ErrInvalid].
	Apply(ctx context.Context, id ID, event Event) (Reply, error)

	// Renew executes many renewals in as few round trips as the backend allows
	// and answers each at its own index. One renewal's trouble is not the
	// others'. Never called with more than [MaxRenewals].
	Renew(ctx context.Context, renewals []Renewal) []RenewResult

	// Lookup returns the record of id as it is stored, or the absent record; one
	// that has expired is absent ([Record.Live]). Whether a lease has lapsed is for a claim to say, not for a reader: the
	// record carries the store's time and the reader has another. Errors:
	// [ErrUnavailable], [ErrUnreadable].
	Lookup(ctx context.Context, id ID) (Record, error)
}

// MaxRenewals is the most renewals that one call carries.
const MaxRenewals = 128

// Renewal is one renewal in a batch.
type Renewal struct {
	ID ID
	Renew
}

// RenewResult is the answer to one renewal: a reply, or an error.
type RenewResult struct {
	Reply Reply
	Err   error
}

// Preflighter is a store that can examine its backend: configuration, rights,
// version. Findings that wrap [ErrUnchecked] say that something could not be
// examined and are no faults; all others are. The error is for a backend that
// does not answer, and wraps [ErrUnavailable].
type Preflighter interface {
	Preflight(ctx context.Context) (findings []error, err error)
}

// Errors of a store. Implementations wrap them.
var (
	// ErrUnavailable: the store could not say. The event may or may not have
	// been executed.
	ErrUnavailable = errors.New("store unavailable")
	// ErrNotExecuted: the event was certainly not executed. Wrapped together
	// with ErrUnavailable, by stores that can tell: when there is no room for a
	// record, say.
	ErrNotExecuted = errors.New("not executed")
	// ErrUnreadable: there is a record which cannot be understood: corrupt,
	// foreign, or of a newer format. Nothing was changed.
	ErrUnreadable = errors.New("record unreadable")
	// ErrInvalid: the event itself is wrong. Nothing was sent.
	ErrInvalid = errors.New("invalid event")
	// ErrUnchecked: a preflight finding that is no fault: something could not
	// be examined, for lack of rights or of a command.
	ErrUnchecked = errors.New("could not be checked")
)

// RetryAfter returns how long a store that refused wants to be left alone, if its
// error says so by a method RetryAfter() time.Duration.
func RetryAfter(err error) (time.Duration, bool) {
	var telling interface{ RetryAfter() time.Duration }
	if !errors.As(err, &telling) {
		return 0, false
	}
	return telling.RetryAfter(), true
}

// Validate checks an event before it is sent. Errors wrap [ErrInvalid] and
// name the field. Stores call it first thing in Apply and Renew.
func Validate(event Event) error {
	switch event.(type) {
	case Claim, Renew, Mark, Complete, Fail, Release, Settle:
	default: // nil, a pointer to an event, a type that embeds one
		return fmt.Errorf("%w: %T is none of the seven event types", ErrInvalid, event)
	}
	if err := event.validate(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, event.Name(), err)
	}
	return nil
}
