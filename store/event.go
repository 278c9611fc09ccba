package store

import "time"

// Event is one of the transitions: [Claim], [Renew], [Mark], [Complete],
// [Fail], [Release], [Settle]. The set is closed.
type Event interface {
	// Name returns the event's name in lower case, for logs and errors.
	Name() string
	validate() error
}

// TakeOver says what a claim may do with an attempt whose outcome is unknown,
// by [Fail] or by a lapsed lease.
type TakeOver uint8

// The take-over modes.
const (
	TakeOverNever    TakeOver = iota // leave it unknown
	TakeOverUnmarked                 // start again unless an effect was marked
	TakeOverAlways                   // start again
)

// Claim asks to start an attempt. The decision, the take-over included, is
// made on the record as it is when the claim is executed.
//
// Verdicts: [Claimed], [Ended], [InProgress], [OutcomeUnknown], [Recorded],
// [Mismatch], [OtherAlgorithm].
type Claim struct {
	Owner       Owner
	Fingerprint Fingerprint
	Scope       ScopeDigest
	Operation   string // 1 to 255 bytes
	Lease       time.Duration
	Retention   time.Duration
	TakeOver    TakeOver
	// Wait asks for a notification when the running attempt ends.
	Wait bool
}

// Renew confirms a running claim and moves its lease end to now + Lease.
// Refused ([Lost]) once the lease has lapsed or the record is anything but
// the owner's running one; so a late renewal cannot touch a finished record.
//
// Verdicts: [Done], [Lost].
type Renew struct {
	Owner     Owner
	Lease     time.Duration
	Retention time.Duration
}

// Mark records that the owner is about to have an effect. It is the gate for a
// handler that was paused: refused ([Lost]) once the lease has lapsed.
//
// Verdicts: [Done], [Lost].
type Mark struct {
	Owner Owner
}

// Attempt is a claimed attempt, with all that is needed to write its record
// again when the store has lost it.
type Attempt struct {
	Owner       Owner
	Token       Token
	Number      int
	Lease       time.Duration
	Fingerprint Fingerprint
	Scope       ScopeDigest
	Operation   string
	Started     Instant
	// Retention of the record that the event leaves behind.
	Retention time.Duration
}

// Adoption bounds when an event may write a record that is gone. Confirmed is
// the store's time of the last confirmation of the lease (claim or renewal),
// Within the shortest retention of the operation: up to Confirmed + Within any
// other run since would still have left a record.
type Adoption struct {
	Confirmed Instant
	Within    time.Duration
}

// Allows reports whether an absent record may be adopted at now.
func (a Adoption) Allows(now Instant) bool { return now < a.Confirmed.Add(a.Within) }

// Complete records the answer. Accepted on the owner's own running or unknown
// record, lapsed or not, and on an absent one under [Adoption]; a no-op on the
// owner's own completed one.
//
// Verdicts: [Done] (the answer is the recorded one and may be sent), [Refused].
type Complete struct {
	Attempt
	Adoption
	Answer Answer
}

// Fail says that the attempt is over and its outcome is not known.
//
// Verdicts: [Done], [Refused].
type Fail struct {
	Attempt
	Adoption
	// Marked is the owner's own knowledge of the mark.
	Marked bool
	// Backoff holds back take-overs for so long.
	Backoff time.Duration
}

// Release says that the attempt is over and nothing final happened, so that
// the next claim may start another. Releasing an absent record leaves a
// tombstone for [TombstoneTTL], which refuses a claim of the same owner that
// is still on its way.
//
// Verdicts: [Done], [Refused].
type Release struct {
	Attempt
	// Void says that the attempt never started. Its number is given back. If it
	// had taken over an unknown outcome, that is what the record says again.
	// If it had created the record, the record counts as absent for the
	// adoption of an attempt with a smaller token.
	Void bool
}

// Settle decides an unknown outcome from outside. It is a compare-and-set on
// the token that the decider saw. It never shortens a record's life: as long as
// an attempt of the operation could still be adopted, its trace stays.
//
// Verdicts: [Done], [Refused].
type Settle struct {
	// Owner is the decider's, drawn anew: the settled attempt's own owner must
	// not find its name on an answer that it did not give.
	Owner     Owner
	Token     Token
	Retention time.Duration
	// Answer becomes the recorded one; nil releases instead.
	Answer *Answer
	// Running settles an attempt that still holds its lease, too.
	Running bool
	// Erase releases a completed record, too: its answer is gone. Not together
	// with an Answer.
	Erase bool
}

// TombstoneTTL is how long a release of an absent record is remembered.
const TombstoneTTL = time.Minute

// MinRunningTTL is the least time for which a running or unknown record is
// kept after its lease, however short the retention, so that the evidence of a
// died attempt is still there when somebody looks.
const MinRunningTTL = 24 * time.Hour

// RunningTTL returns the time to live that a claim or renewal gives a record.
func RunningTTL(lease, retention time.Duration) time.Duration {
	return lease + max(retention, MinRunningTTL)
}

// Name returns "claim".
func (Claim) Name() string { return "claim" }

// Name returns "renew".
func (Renew) Name() string { return "renew" }

// Name returns "mark".
func (Mark) Name() string { return "mark" }

// Name returns "complete".
func (Complete) Name() string { return "complete" }

// Name returns "fail".
func (Fail) Name() string { return "fail" }

// Name returns "release".
func (Release) Name() string { return "release" }

// Name returns "settle".
func (Settle) Name() string { return "settle" }
