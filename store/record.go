package store

import (
	"crypto/subtle"
	"time"
)

// State is what a record says about its operation.
type State uint8

// The states of a record. A running record whose lease has lapsed is read as
// [Unknown] but stays Running until a claim takes it over.
const (
	Absent    State = iota // no record: nothing is known to have started
	Running                // an owner holds the claim, under a lease
	Completed              // the answer is recorded
	Unknown                // an attempt started and its outcome is not known
	Released               // the last attempt ended and says that nothing happened
)

// String returns the state's name in lower case.
func (s State) String() string {
	switch s {
	case Absent:
		return "absent"
	case Running:
		return "running"
	case Completed:
		return "completed"
	case Unknown:
		return "unknown"
	case Released:
		return "released"
	}
	return "invalid"
}

// Record is everything a store keeps about one operation. The zero Record is
// the absent one.
type Record struct {
	State State

	// Owner holds the running claim, or completed the record; on a released
	// record it is the owner whose attempt ended.
	Owner Owner
	Token Token
	// Attempt counts starts, from 1. It survives a release.
	Attempt int

	// LeaseEnd is when a running claim lapses; Lease is the length it was given.
	LeaseEnd Instant
	Lease    time.Duration
	// NotBefore holds back take-overs of an unknown record until then.
	NotBefore Instant

	// Marked says that an attempt may have had an effect.
	Marked bool
	// Waiters says that somebody asked to be notified when the attempt ends.
	Waiters bool
	// TookOver says that the running attempt followed one of unknown outcome.
	TookOver bool
	// Void is set on a released record of which no attempt ever started.
	Void bool

	Fingerprint Fingerprint
	Scope       ScopeDigest
	Operation   string

	// Created is the first claim, Started the latest start, Finished the end of
	// the latest attempt (0 while it runs).
	Created, Started, Finished Instant
	// Expires is when the record is forgotten.
	Expires Instant

	// Answer is set on completed records.
	Answer Answer
}

// Lapsed reports whether the lease of a running record is over.
func (r *Record) Lapsed(now Instant) bool { return now >= r.LeaseEnd }

// Live returns the record, or the absent one when it has expired.
func (r Record) Live(now Instant) Record {
	if r.State != Absent && now >= r.Expires {
		return Record{}
	}
	return r
}

// Fingerprint is the digest that binds a key to one request, with the name of
// the algorithm that made it.
type Fingerprint struct {
	// Algorithm names how Sum was computed, 1 to 8 visible ASCII characters.
	// Records outlive deployments, so a changed algorithm takes a new name.
	Algorithm string
	Sum       [32]byte
}

// NoFingerprint is the algorithm of requests that are bound by their key alone.
const NoFingerprint = "none"

// Equal compares algorithm and sum, the sum in constant time.
func (f Fingerprint) Equal(other Fingerprint) bool {
	return f.Algorithm == other.Algorithm &&
		subtle.ConstantTimeCompare(f.Sum[:], other.Sum[:]) == 1
}

// Answer is a recorded response as the transport that made it encoded it. A
// store keeps it and gives it back; it looks at nothing inside.
type Answer struct {
	// Codec names the encoding, 1 to 8 visible ASCII characters.
	Codec string
	Meta  []byte
	Body  []byte
	// Omitted says why Body was left out, or [BodyKept].
	Omitted Omission
}

// Omission is the reason why a recorded answer has no body.
type Omission uint8

// Why a body is missing.
const (
	BodyKept     Omission = iota // the body is there
	BodyTooLarge                 // it exceeded the recording limit
	BodySecret                   // the handler asked to leave it out
	BodyStreamed                 // it was passed through without being kept
)

// String returns the reason in words.
func (o Omission) String() string {
	switch o {
	case BodyKept:
		return "kept"
	case BodyTooLarge:
		return "too large"
	case BodySecret:
		return "secret"
	case BodyStreamed:
		return "streamed"
	}
	return "invalid"
}
