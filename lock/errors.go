package lock

import (
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/internal/lease"
)

var (
	// ErrHeld: another holder has the lock. The error is a [*HeldError].
	ErrHeld = errors.New("lock is held")
	// ErrLost: the lease ended before it was released. Another holder may have
	// the lock, or had it.
	ErrLost = errors.New("lock was lost")
	// ErrReleased is the cause of a lease's context after its release.
	ErrReleased = errors.New("lock was released")
	// ErrClosed: the locker is closed.
	ErrClosed = errors.New("locker is closed")
	// ErrUnavailable: the backend cannot say. Whoever gets it does not hold the
	// lock.
	ErrUnavailable = errors.New("lock backend is unavailable")
	// ErrNotExecuted is wrapped by a backend's error when the call surely was not
	// executed and will not be.
	ErrNotExecuted = errors.New("nothing was executed")
	// ErrInvalid: the key is empty.
	ErrInvalid = errors.New("invalid lock key")
)

// HeldError says that another holder has the lock. errors.Is finds [ErrHeld].
type HeldError struct {
	// ID is the first digits of the key's digest.
	ID string
	// Left is how long the holder's lease runs on if it is not renewed; zero if
	// that is not known. A holder that lives renews, so this is no promise.
	Left time.Duration
}

// Error says which lock, and for how long it may be held.
func (e *HeldError) Error() string {
	if e.Left <= 0 {
		return fmt.Sprintf("lock: %s: %v", e.ID, ErrHeld)
	}
	return fmt.Sprintf("lock: %s: %v for another %v unless it is renewed or released", e.ID, ErrHeld, e.Left)
}

// Unwrap returns [ErrHeld].
func (e *HeldError) Unwrap() error { return ErrHeld }

func unavailable(call string, id ID, cause error) error {
	return fmt.Errorf("lock: %s of %s: %w: %w", call, id.Short(), ErrUnavailable, cause)
}

func closed(id ID) error { return fmt.Errorf("lock: %s: %w", id.Short(), ErrClosed) }

// lossOf says why a lease was lost.
func lossOf(id ID, reason lease.Reason) error {
	if reason == lease.ReasonClosed {
		return fmt.Errorf("lock: %s: %w: %w", id.Short(), ErrLost, ErrClosed)
	}
	return fmt.Errorf("lock: %s: %w: %s", id.Short(), ErrLost, reason)
}
