package idempotency

import (
	"fmt"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Code names one reason why an execution was not granted or not finished. It
// is stable, machine-readable, and an error itself: compare with [errors.Is].
type Code string

// The codes.
const (
	// ErrKeyMissing: the operation requires a key and the request has none.
	ErrKeyMissing Code = "idempotency_key_missing"
	// ErrKeyInvalid: the key does not follow the syntax.
	ErrKeyInvalid Code = "idempotency_key_invalid"
	// ErrBodyUnreadable: reading the request failed; nothing was claimed.
	ErrBodyUnreadable Code = "request_body_unreadable"
	// ErrBodyTooLarge: the request exceeds the policy's limit; nothing was claimed.
	ErrBodyTooLarge Code = "request_body_too_large"
	// ErrKeyReused: the key is bound to another request.
	ErrKeyReused Code = "idempotency_key_reused"
	// ErrInProgress: another attempt is running.
	ErrInProgress Code = "in_progress"
	// ErrOutcomeUnknown: an attempt started and its outcome is not known.
	ErrOutcomeUnknown Code = "outcome_unknown"
	// ErrResultUnavailable: the operation is done, and its answer was not kept.
	ErrResultUnavailable Code = "result_unavailable"
	// ErrReplayDenied: there is a recorded answer, and the replay guard did not
	// let this caller have it.
	ErrReplayDenied Code = "replay_denied"
	// ErrScopeBusy: the scope has as many executions under way as it may.
	ErrScopeBusy Code = "scope_busy"
	// ErrOverloaded: the process has as many executions under way as it may.
	ErrOverloaded Code = "overloaded"
	// ErrNotStarted: the caller's context ended before the handler was started.
	ErrNotStarted Code = "not_started"
	// ErrScopeMissing: the request belongs to no scope.
	ErrScopeMissing Code = "scope_missing"
	// ErrStoreUnavailable: the store cannot say, so the handler did not run.
	ErrStoreUnavailable Code = "store_unavailable"
	// ErrDraining: the guard is shutting down; the handler did not run.
	ErrDraining Code = "draining"
	// ErrLeaseLost: the attempt lost its claim, and what is recorded instead
	// cannot be given. Also the cause of a cancelled handler's context.
	ErrLeaseLost Code = "lease_lost"
	// ErrRecordUnreadable: there is a record which cannot be understood.
	ErrRecordUnreadable Code = "record_unreadable"
)

// codes returns all of them.
func codes() []Code {
	return []Code{
		ErrKeyMissing, ErrKeyInvalid, ErrBodyUnreadable, ErrBodyTooLarge, ErrKeyReused,
		ErrInProgress, ErrOutcomeUnknown, ErrResultUnavailable, ErrReplayDenied,
		ErrScopeBusy, ErrOverloaded, ErrNotStarted, ErrScopeMissing, ErrStoreUnavailable, ErrDraining,
		ErrLeaseLost, ErrRecordUnreadable,
	}
}

// Error returns the code.
func (c Code) Error() string { return string(c) }

// Error is a refusal with its particulars. errors.Is finds its [Code] and the
// cause.
type Error struct {
	Code Code
	// Operation is the operation's name, ID the first digits of its record's
	// digest. The key appears nowhere.
	Operation string
	ID        string
	// RetryAfter is when a retry makes sense; 0 if unknown or never.
	RetryAfter time.Duration
	// Conflict is set for [ErrInProgress]: how the policy wants it told.
	Conflict ConflictRule
	// Answer is set for [ErrResultUnavailable]: what was kept of the answer.
	Answer *store.Answer
	// Err is the cause, or nil.
	Err error
}

// Error names code, operation and cause.
func (e *Error) Error() string {
	msg := "idempotency: " + string(e.Code)
	if e.Operation != "" {
		msg += " (" + e.Operation
		if e.ID != "" {
			msg += " " + e.ID
		}
		msg += ")"
	}
	if e.Err != nil {
		msg += fmt.Sprintf(": %v", e.Err)
	}
	return msg
}

// Unwrap returns the code and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.Err}
}
