package store

// Verdict is a store's answer to an event.
type Verdict uint8

// The verdicts.
const (
	// Claimed: the claim is the caller's. So it was already if the same owner
	// asks again, with the same token and attempt.
	Claimed Verdict = iota + 1
	// Ended: the claiming owner's attempt is over; nothing changed. It answers
	// a claim that was still on its way when its request gave up.
	Ended
	// InProgress: another owner runs, until Reply.LeaseEnd unless renewed.
	InProgress
	// OutcomeUnknown: an attempt started, its outcome is not known, and the
	// claim may not take it over.
	OutcomeUnknown
	// Recorded: Reply.Answer is the recorded answer.
	Recorded
	// Mismatch: the key is bound to a request with another fingerprint.
	Mismatch
	// OtherAlgorithm: the fingerprints cannot be compared; the record's was
	// made by Reply.Algorithm. A caller that knows it claims again with it.
	OtherAlgorithm
	// Done: the event is in effect, now or by an earlier execution of it.
	Done
	// Lost: the claim is not, or no longer, the owner's, or its lease lapsed.
	Lost
	// Refused: the record is not the caller's to end; nothing changed.
	Refused
)

// String returns the verdict's name in lower case.
func (v Verdict) String() string {
	names := [...]string{
		"none", "claimed", "ended", "in progress", "outcome unknown", "recorded",
		"mismatch", "other algorithm", "done", "lost", "refused",
	}
	if int(v) < len(names) {
		return names[v]
	}
	return "invalid"
}

// Reply is a store's answer to an event. Fields that the verdict does not name
// are zero.
type Reply struct {
	Verdict Verdict
	// Now is the store's time of the decision. Always set.
	Now Instant

	// Token, Attempt and Started describe the attempt that the verdict speaks
	// of. Set for Claimed, InProgress, OutcomeUnknown and Recorded.
	Token   Token
	Attempt int
	Started Instant

	// LeaseEnd is set for Claimed and InProgress.
	LeaseEnd Instant

	// TookOver says that a Claimed attempt follows one whose outcome is not
	// known; Marked, that an effect of it was marked. Marked is also set for
	// OutcomeUnknown.
	TookOver bool
	Marked   bool

	// Algorithm is set for OtherAlgorithm.
	Algorithm string

	// Answer and Finished are set for Recorded. The answer's slices are the
	// caller's to keep.
	Answer   Answer
	Finished Instant
}
