// Package framing writes and reads the parts that recorded answers are made of:
// numbers, byte strings with their length before them, and lists of names with
// values. It is the same for every transport, and there is one spelling of
// everything: what a [Reader] takes is, byte for byte, what the functions here
// write.
//
// Records outlive deployments. A change of these bytes makes every record that
// is in use unreadable.
package framing

import (
	"encoding/binary"
	"errors"
)

var (
	errMalformed = errors.New("cut short, out of range, or not in the shortest form")
	errTrailing  = errors.New("bytes after the end")
)

// AppendNumber appends n, which is not negative, as a uvarint.
func AppendNumber(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)) }

// Append appends s with its length before it.
func Append[T string | []byte](b []byte, s T) []byte {
	return append(AppendNumber(b, len(s)), s...)
}

// Size is how many bytes [Append] adds for n bytes.
func Size(n int) int {
	size := n + 1
	for length := n; length >= 0x80; length >>= 7 {
		size++
	}
	return size
}

// Reader reads what the functions of this package wrote. After a failure it
// reads zeros, so that only [Reader.End] need be asked. Not safe for concurrent
// use.
type Reader struct {
	rest   []byte
	failed bool
}

// NewReader returns a reader of b, which it does not change.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// More reports whether there is something left to read.
func (r *Reader) More() bool { return len(r.rest) > 0 && !r.failed }

// End returns an error if anything could not be read, or is left.
func (r *Reader) End() error {
	switch {
	case r.failed:
		return errMalformed
	case len(r.rest) > 0:
		return errTrailing
	}
	return nil
}

// Number reads a number of at most most.
func (r *Reader) Number(most int) int {
	n, size := binary.Uvarint(r.rest)
	if r.failed || size <= 0 || n > uint64(most) || size > 1 && r.rest[size-1] == 0 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[size:]
	return int(n)
}

// Bytes reads what [Append] wrote. It is a part of what is read, not a copy.
func (r *Reader) Bytes() []byte {
	n := r.Number(len(r.rest))
	if r.failed || n > len(r.rest) { // the length itself took some
		r.failed = true
		return nil
	}
	part := r.rest[:n:n]
	r.rest = r.rest[n:]
	return part
}

// Pairs reads a count of at most most, and so many names with their values, and
// gives each pair to take. On a failure it has given those that came before.
func (r *Reader) Pairs(most int, take func(name, value string)) {
	n := r.Number(most)
	if n == 0 {
		return
	}
	text := string(r.rest) // one piece of memory for all of them
	next := func() string {
		part := r.Bytes()
		end := len(text) - len(r.rest)
		return text[end-len(part) : end]
	}
	for range n {
		name, value := next(), next()
		if r.failed {
			return
		}
		take(name, value)
	}
}
