package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// ID names one record: the SHA-256 digest of scope, operation and key.
type ID [sha256.Size]byte

// NewID digests the three parts of an operation's identity. Each part is
// preceded by its length, so that no two different triples collide by moving a
// separator from one part to the next.
func NewID(scope, operation, key string) ID {
	return ID(digest(scope, operation, key))
}

// String returns the digest as 64 lower-case hex digits. It is safe to log,
// though [ID.Short] is what logs and metrics should carry.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first eight hex digits, enough to find a record by and too
// few to test guesses of a key against.
func (id ID) Short() string { return hex.EncodeToString(id[:4]) }

// ScopeDigest identifies a scope inside a record without revealing it.
type ScopeDigest [16]byte

// NewScopeDigest digests a scope.
func NewScopeDigest(scope string) ScopeDigest {
	sum := digest(scope)
	return ScopeDigest(sum[:len(ScopeDigest{})])
}

func digest(parts ...string) [sha256.Size]byte {
	buf := make([]byte, 0, 512) // nearly all fit, and need no memory of their own
	for _, part := range parts {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(part)))
		buf = append(buf, part...)
	}
	return sha256.Sum256(buf)
}

// Owner identifies one request's claim: 128 random bits, drawn once per
// request before the first try. Stores recognise their own earlier execution
// of an event by it.
type Owner [16]byte

// NewOwner draws an owner from the system's random source. It cannot fail:
// crypto/rand ends the process when there is no randomness.
func NewOwner() Owner {
	var o Owner
	_, _ = rand.Read(o[:])
	return o
}

// String returns the owner as 32 lower-case hex digits.
func (o Owner) String() string { return hex.EncodeToString(o[:]) }

// Token is a fencing token: larger at every start of an operation than at any
// earlier start that the store remembers. It is drawn from the store's clock
// in microseconds and raised to the previous token plus one, so that it keeps
// growing across a lost record as far as the servers' clocks agree. Hand it to
// whatever the handler writes to, and let that refuse smaller ones.
type Token int64

// Instant is a moment by the store's own clock, in microseconds since the Unix
// epoch. It is a type of its own so that it never meets a caller's clock by
// accident.
type Instant int64

// Add returns the instant d later, to the microsecond.
func (t Instant) Add(d time.Duration) Instant { return t + Instant(d.Microseconds()) }

// Sub returns the time that passed from u to t.
func (t Instant) Sub(u Instant) time.Duration { return time.Duration(t-u) * time.Microsecond }

// Time returns the instant as a time in UTC, for people to read.
func (t Instant) Time() time.Time { return time.UnixMicro(int64(t)).UTC() }
