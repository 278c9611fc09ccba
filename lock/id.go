package lock

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// ID names one lock: the SHA-256 digest of its key. Backends never see keys.
type ID [sha256.Size]byte

// NewID digests a key.
func NewID(key string) ID { return sha256.Sum256([]byte(key)) }

// String returns the digest as 64 lower-case hex digits.
func (id ID) String() string {
	var digits [2 * len(ID{})]byte
	hex.Encode(digits[:], id[:])
	return string(digits[:])
}

// Short returns the first eight hex digits, which is what errors, logs and hooks
// carry: enough to find a lock by, too few to test guesses of its key against.
func (id ID) Short() string { return hex.EncodeToString(id[:4]) }

// Owner identifies one acquisition: 128 random bits, drawn before the first try.
// A backend recognises its own earlier execution of a call by it.
type Owner [16]byte

// NewOwner draws an owner from the system's random source. It cannot fail:
// crypto/rand ends the process when there is no randomness.
func NewOwner() Owner {
	var o Owner
	_, _ = rand.Read(o[:])
	return o
}

// String returns the owner as 32 lower-case hex digits.
func (o Owner) String() string {
	var digits [2 * len(Owner{})]byte
	hex.Encode(digits[:], o[:])
	return string(digits[:])
}

// Token is a fencing token: larger for every acquisition of a lock than for any
// earlier one that the backend remembers. Hand it to whatever the lock protects,
// and let that refuse smaller ones than it has seen. Zero means that the backend
// gives none.
type Token int64
