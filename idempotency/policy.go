package idempotency

import (
	"slices"
	"time"
)

// Policy says how one operation is protected. It is data: it merges
// ([Policy.Override]), prints as words ([Policy.String]) and comes out of them
// ([ParsePolicy]). A zero field inherits: from the guard's policy, then from
// [DefaultPolicy].
type Policy struct {
	// Key says whether a request must carry an idempotency key.
	// Default [KeyRequired].
	Key KeyRule
	// KeyFormat says what keys may look like. Default [KeyAny].
	KeyFormat KeyFormat

	// Retention is how long a recorded answer is replayed, counted from
	// completion. 1 s to 30 days, and longer than Lease. Default 24 h.
	Retention time.Duration
	// MinRetention is the shortest retention that a handler of the operation
	// may ask for with [RetainFor]. 1 s to Retention. Default Retention.
	MinRetention time.Duration

	// Lease is how long a claim lasts unless renewed; the watchdog renews it
	// at a third. It bounds how long a died attempt blocks its key. 100 ms to
	// 24 h. Default 30 s.
	Lease time.Duration
	// MaxHold ends the renewals of a handler that does not end. Lease to 24 h.
	// Default 15 min.
	MaxHold time.Duration

	// Wait is how long a duplicate waits for the running attempt before it is
	// told [ErrInProgress]; less if its own deadline comes first. 1 ms to 10 min,
	// or [NoWait]. Default [NoWait].
	Wait time.Duration
	// MaxWaiters bounds how many duplicates of one key wait in this process;
	// further ones are told at once. 1 to 1,000,000. Default 10,000.
	MaxWaiters int
	// Conflict says how a transport with status codes tells [ErrInProgress].
	// Default [Conflict409].
	Conflict ConflictRule

	// Orphan says what a duplicate of an attempt gets that died, panicked or
	// ended with an unknown outcome. Default [OrphanRefuse].
	Orphan Orphan
	// Record says which answers are recorded. Default [RecordDeterministic].
	Record RecordRule
	// Failure says what an answer that is not recorded means.
	// Default [FailureReleases].
	Failure FailureRule
	// StoreDown says what happens while the store cannot be asked.
	// Default [StoreDownClosed].
	StoreDown StoreDownRule
	// Caller says whether the handler's context ends with the caller's.
	// Default [CallerDetached].
	Caller CallerRule
	// Stream says what a flush does. Default [StreamBuffer].
	Stream StreamRule
	// Fingerprint says what binds a key to its request.
	// Default [FingerprintRequest].
	Fingerprint FingerprintRule
	// FingerprintOnly are the parts of a JSON body that count, as JSON Pointers
	// (RFC 6901): "/amount", "/card/number". Only with [FingerprintJSON]. Default
	// all. An operation's list takes the place of the guard's.
	FingerprintOnly []string
	// FingerprintExclude are the parts of a JSON body that do not count, such as
	// a time stamp, as JSON Pointers. Only with [FingerprintJSON]. They add up
	// over guard and operation.
	FingerprintExclude []string
	// FingerprintHeaders are request header fields that count, too. They add up
	// over guard and operation. Default none.
	FingerprintHeaders []string

	// MaxRequestBody bounds the request body in bytes; a longer one is
	// rejected before anything is claimed. Default 1 MiB, at most 512 MiB.
	MaxRequestBody int64
	// MaxResponseBody bounds the recorded body in bytes. The first caller
	// gets a longer one all the same; duplicates are told that it was not
	// kept. Default 1 MiB, at most 128 MiB.
	MaxResponseBody int64

	// Headers are response header fields recorded beside the transport's
	// standard ones. They add up over guard and operation.
	Headers []string
}

// KeyRule says whether a request must carry an idempotency key.
type KeyRule string

// The key rules.
const (
	KeyRequired KeyRule = "required" // no key: rejected
	KeyOptional KeyRule = "optional" // no key: runs unprotected
	KeyOff      KeyRule = "off"      // keys are ignored
	KeyShadow   KeyRule = "shadow"   // runs in any case; what KeyRequired would have done is counted
)

// KeyFormat says what keys may look like.
type KeyFormat string

// The key formats. Spellings of one UUID in upper and lower case are one key.
const (
	KeyAny    KeyFormat = "any"   // whatever the syntax allows
	KeyUUID   KeyFormat = "uuid"  // a UUID of any version (RFC 9562)
	KeyUUIDv4 KeyFormat = "uuid4" // a random UUID
	KeyUUIDv7 KeyFormat = "uuid7" // a UUID that begins with the time
)

// NoWait is the value of [Policy].Wait for duplicates that do not wait.
const NoWait time.Duration = -1

// ConflictRule says how a transport with status codes tells [ErrInProgress].
type ConflictRule string

// The conflict rules.
const (
	Conflict409 ConflictRule = "409" // Conflict
	Conflict425 ConflictRule = "425" // Too Early
	Conflict503 ConflictRule = "503" // Service Unavailable: for proxies and clients that retry only this
)

// Orphan says what a duplicate of an attempt with unknown outcome gets.
type Orphan string

// The orphan modes.
const (
	OrphanRefuse        Orphan = "refuse"         // ErrOutcomeUnknown, as long as the record is kept
	OrphanRerunUnmarked Orphan = "rerun-unmarked" // another run, unless MarkEffect was called
	OrphanRerun         Orphan = "rerun"          // another run
)

// RecordRule says which answers are recorded.
type RecordRule string

// The record rules. What each means in statuses is the transport's to say.
const (
	RecordDeterministic RecordRule = "deterministic" // successes and errors that a retry would meet again
	RecordSuccess       RecordRule = "success"       // successes only
	RecordAll           RecordRule = "all"           // everything, server errors too
)

// FailureRule says what an answer that is not recorded means.
type FailureRule string

// The failure rules.
const (
	FailureReleases FailureRule = "release" // nothing happened; a retry runs
	FailureUnknown  FailureRule = "unknown" // the outcome is unknown: for handlers that only forward
)

// StoreDownRule says what happens while the store cannot be asked.
type StoreDownRule string

// The store-down rules.
const (
	StoreDownClosed StoreDownRule = "closed" // ErrStoreUnavailable; the handler does not run
	StoreDownOpen   StoreDownRule = "open"   // the handler runs unprotected
)

// CallerRule says whether the handler's context ends with the caller's.
type CallerRule string

// The caller rules. Values are kept in both, and a deadline of the server's own.
// A deadline that is the caller's ([Call].CallerDeadline, and so that of every
// gRPC call) ends an attached handler only.
const (
	CallerDetached CallerRule = "detached" // a caller that goes away does not cancel the handler
	CallerAttached CallerRule = "attached" // it does
)

// StreamRule says what a flush does.
type StreamRule string

// The stream rules.
const (
	StreamBuffer StreamRule = "buffer" // flushes are held back, the whole answer is recorded
	StreamPass   StreamRule = "pass"   // bytes go out at once, the record has no body
)

// FingerprintRule says what binds a key to its request.
type FingerprintRule string

// The fingerprint rules.
const (
	FingerprintRequest FingerprintRule = "request" // the whole request, as the transport digests it
	FingerprintJSON    FingerprintRule = "json"    // the same, but a JSON body counts by what it says, not by how it is written (RFC 8785)
	FingerprintOff     FingerprintRule = "off"     // the key alone
)

// DefaultPolicy returns the policy that fills what nobody says.
func DefaultPolicy() Policy {
	return Policy{
		Key:             KeyRequired,
		KeyFormat:       KeyAny,
		Retention:       24 * time.Hour,
		Lease:           30 * time.Second,
		MaxHold:         15 * time.Minute,
		Wait:            NoWait,
		MaxWaiters:      10_000,
		Conflict:        Conflict409,
		Orphan:          OrphanRefuse,
		Record:          RecordDeterministic,
		Failure:         FailureReleases,
		StoreDown:       StoreDownClosed,
		Caller:          CallerDetached,
		Stream:          StreamBuffer,
		Fingerprint:     FingerprintRequest,
		MaxRequestBody:  1 << 20,
		MaxResponseBody: 1 << 20,
	}
}

// Override returns p with every field that over sets, and of both the lists
// that add up. It shares no slice with either.
func (p Policy) Override(over Policy) Policy {
	set(&p.Key, over.Key)
	set(&p.KeyFormat, over.KeyFormat)
	set(&p.Wait, over.Wait)
	set(&p.MaxWaiters, over.MaxWaiters)
	set(&p.Conflict, over.Conflict)
	set(&p.Retention, over.Retention)
	set(&p.MinRetention, over.MinRetention)
	set(&p.Lease, over.Lease)
	set(&p.MaxHold, over.MaxHold)
	set(&p.Orphan, over.Orphan)
	set(&p.Record, over.Record)
	set(&p.Failure, over.Failure)
	set(&p.StoreDown, over.StoreDown)
	set(&p.Caller, over.Caller)
	set(&p.Stream, over.Stream)
	set(&p.Fingerprint, over.Fingerprint)
	set(&p.MaxRequestBody, over.MaxRequestBody)
	set(&p.MaxResponseBody, over.MaxResponseBody)
	p.FingerprintOnly = slices.Clone(p.FingerprintOnly)
	if len(over.FingerprintOnly) > 0 {
		p.FingerprintOnly = slices.Clone(over.FingerprintOnly)
	}
	p.FingerprintExclude = union(p.FingerprintExclude, over.FingerprintExclude)
	p.FingerprintHeaders = union(p.FingerprintHeaders, over.FingerprintHeaders)
	p.Headers = union(p.Headers, over.Headers)
	return p
}

// clone returns a policy that shares no slice with p.
func (p Policy) clone() Policy {
	p.FingerprintOnly = slices.Clone(p.FingerprintOnly)
	p.FingerprintExclude = slices.Clone(p.FingerprintExclude)
	p.FingerprintHeaders = slices.Clone(p.FingerprintHeaders)
	p.Headers = slices.Clone(p.Headers)
	return p
}

func set[T comparable](field *T, over T) {
	var zero T
	if over != zero {
		*field = over
	}
}

func union(a, b []string) []string {
	var out []string
	seen := make(map[string]bool, len(a)+len(b))
	for _, list := range [][]string{a, b} {
		for _, name := range list {
			if !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	return out
}
