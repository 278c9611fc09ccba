package idempotency

import "errors"

// Final marks an error of a function under [Do], [Wrap] or [Weave] as its answer:
// it is recorded, and every duplicate gets it again. Say it of what a retry would
// meet again ("the card is expired"), never of what may heal.
//
// The result has err's text, and errors.Is and errors.As find err. Duplicates get a
// [*RecordedError] of the same text; [ErrorNames] says which errors errors.Is finds
// in that. Final(nil) is nil.
func Final(err error) error {
	if err == nil {
		return nil
	}
	return &finalError{err}
}

type finalError struct{ cause error }

func (e *finalError) Error() string { return e.cause.Error() }
func (e *finalError) Unwrap() error { return e.cause }

// RecordedError is the error that the first call of a function answered with, given
// to a duplicate. errors.Is finds those of the errors named by [ErrorNames] that it
// found in the first.
type RecordedError struct {
	text  string
	named []error
}

// Error returns the text of the first call's error.
func (e *RecordedError) Error() string { return e.text }

// Unwrap returns the errors that have a name.
func (e *RecordedError) Unwrap() []error { return e.named }

// IsFinal reports whether an error is a function's answer, which asking again does
// not change: one that [Final] marked, to the first caller, or a [*RecordedError], to
// all others.
func IsFinal(err error) bool {
	_, marked := errors.AsType[*finalError](err)
	_, recorded := errors.AsType[*RecordedError](err)
	return marked || recorded
}

// classOfError says what a function's error means for its record.
func classOfError(err error, rule RecordRule) Class {
	refused, isRefusal := errors.AsType[*Error](err)
	switch {
	case rule == RecordAll, IsFinal(err) && rule != RecordSuccess:
		return ClassRecord
	case isRefusal && refused.leavesDoubt():
		return ClassUnknown
	default:
		return ClassRelease
	}
}

// leavesDoubt tells, of the refusal by another protected function which a function
// passes on, whether that one may have had its effect.
func (e *Error) leavesDoubt() bool {
	switch e.Code {
	case ErrOutcomeUnknown, ErrResultUnavailable, ErrReplayDenied, ErrLeaseLost, ErrRecordUnreadable:
		return true
	default:
		return false
	}
}
