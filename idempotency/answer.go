package idempotency

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

// Class says what an answer means for the record. The transport decides it;
// status codes never enter the engine.
type Class uint8

// The classes.
const (
	// ClassRecord: the answer is final and is recorded.
	ClassRecord Class = iota + 1
	// ClassRelease: nothing final happened; a retry may run. It becomes
	// unknown when an effect was marked or the handler's context had ended.
	ClassRelease
	// ClassUnknown: it cannot be said what happened.
	ClassUnknown
)

// Answer is what a handler answered, encoded by its transport. An answer with
// an Omitted reason is recorded without body. One without a class is taken as
// [ClassUnknown].
type Answer struct {
	Class Class
	store.Answer
}

// Outcome says how a [Result] came about.
type Outcome uint8

// The outcomes.
const (
	// Executed: the handler ran, in this call.
	Executed Outcome = iota + 1
	// Replayed: the answer is the recorded one of an earlier execution.
	Replayed
	// Unprotected: the handler ran without protection, as the policy allows
	// while the store is down.
	Unprotected
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case Executed:
		return "executed"
	case Replayed:
		return "replayed"
	case Unprotected:
		return "unprotected"
	}
	return "none"
}

// Result is the answer of an execution.
type Result struct {
	Outcome Outcome
	// Recorded says that the answer is the recorded one, and so the same for
	// every duplicate. An executed answer that is not recorded is not final.
	Recorded bool
	Answer   Answer
	// Attempt and Token are those of the attempt that answered.
	Attempt int
	Token   store.Token
	// RecordedAt is when a replayed answer was recorded, by the store's clock.
	RecordedAt time.Time
}
