package redisstore

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/store"
)

// unreadable names what makes a value no record of ours. The words are the
// ones that the scripts use.
type unreadable string

// Error returns the field's name.
func (u unreadable) Error() string { return string(u) }

// decode reads a whole record. It is strict: whatever encode and the scripts
// do not write is an error of type [unreadable]. The slices of the answer are
// parts of raw, which the caller gives up.
func decode(id store.ID, raw []byte) (store.Record, error) {
	r, rest, err := decodeFixed(id, raw)
	if err != nil {
		return store.Record{}, err
	}
	r.Answer, err = decodeEnd(r.State, &fields{raw: raw}, rest)
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// decodeStart is decode for the beginning of a record, which may end anywhere
// in the answer. It says as much about the answer as stands before it.
func decodeStart(id store.ID, raw []byte) (store.Record, error) {
	r, rest, err := decodeFixed(id, raw)
	if err != nil {
		return store.Record{}, err
	}
	f := fields{raw: raw}
	if r.State != store.Completed {
		err = nothing(&f, rest)
	} else {
		r.Answer, err = f.answer()
	}
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// decodeFixed reads what every record has, and returns what follows it.
func decodeFixed(id store.ID, raw []byte) (r store.Record, rest []byte, err error) {
	r, err = decodeHead(raw)
	if err != nil {
		return store.Record{}, nil, err
	}
	if len(raw) < atOperation {
		return store.Record{}, nil, unreadable("length")
	}
	f := fields{raw: raw}
	r.Fingerprint.Algorithm = f.word("algorithm", atAlgorithm)
	f.hex("fingerprint", atSum, r.Fingerprint.Sum[:])
	f.hex("scope", atScope, r.Scope[:])
	var digest store.ID
	f.hex("key digest", atDigest, digest[:])
	length := f.number("operation length", atLength, lengthWidth, store.MaxOperationName)
	if f.bad == "" && digest != id {
		f.bad = "key digest"
	}
	if f.bad == "" && length == 0 {
		f.bad = "operation length"
	}
	if f.bad != "" {
		return store.Record{}, nil, f.bad
	}
	end := atOperation + int(length)
	if len(raw) < end {
		return store.Record{}, nil, unreadable("length")
	}
	r.Operation = string(raw[atOperation:end])
	return r, raw[end:], nil
}

// decodeHead reads the part of a record that the scripts write and return.
func decodeHead(raw []byte) (store.Record, error) {
	if bad := checkFormat(raw); bad != "" {
		return store.Record{}, bad
	}
	if len(raw) < headEnd {
		return store.Record{}, unreadable("length")
	}
	f := fields{raw: raw}
	r := store.Record{
		State:     f.state(),
		Marked:    f.flag(atMarked),
		Waiters:   f.flag(atWaiters),
		Void:      f.flag(atVoid),
		TookOver:  f.flag(atTookOver),
		Token:     store.Token(f.micros(atToken)),
		Attempt:   int(f.number("number", atAttempt, attemptWidth, maxAttempt)),
		LeaseEnd:  f.instant(atLeaseEnd),
		Lease:     time.Duration(f.micros(atLease)) * time.Microsecond,
		NotBefore: f.instant(atNotBefore),
		Created:   f.instant(atCreated),
		Started:   f.instant(atStarted),
		Finished:  f.instant(atFinished),
	}
	f.hex("owner", atOwner, r.Owner[:])
	if f.bad != "" {
		return store.Record{}, f.bad
	}
	return r, nil
}

func checkFormat(raw []byte) unreadable {
	switch {
	case bytes.HasPrefix(raw, []byte(format)):
		return ""
	case len(raw) >= len(format) && bytes.HasPrefix(raw, []byte(formatFamily)) &&
		raw[len(formatFamily)] >= '2' && raw[len(formatFamily)] <= '9':
		return "newer format"
	}
	return "format"
}

// decodeEnd reads what only a completed record has: codec, omission, answer.
func decodeEnd(state store.State, f *fields, raw []byte) (store.Answer, error) {
	if state != store.Completed {
		return store.Answer{}, nothing(f, raw)
	}
	a, err := f.answer()
	if err != nil {
		return store.Answer{}, err
	}
	var rest []byte
	var ok bool
	if a.Meta, rest, ok = cutPart(raw); !ok {
		return store.Answer{}, unreadable("answer")
	}
	if a.Body, rest, ok = cutPart(rest); !ok {
		return store.Answer{}, unreadable("answer")
	}
	var want [prefixWidth]byte
	if !bytes.Equal(rest, appendHex32(want[:0], checksum(raw[:len(raw)-len(rest)]))) {
		return store.Answer{}, unreadable("checksum")
	}
	return a, nil
}

// nothing checks that a record without an answer has no traces of one.
func nothing(f *fields, raw []byte) error {
	blank := string(f.raw[atCodec:atOmitted]) == strings.Repeat(" ", store.MaxWord)
	switch {
	case len(raw) > 0:
		return unreadable("length")
	case !blank:
		return unreadable("codec")
	case f.raw[atOmitted] != '0':
		return unreadable("omission")
	}
	return nil
}

// cutPart takes a part that is preceded by its length. An empty one is nil.
func cutPart(raw []byte) (part, rest []byte, ok bool) {
	if len(raw) < prefixWidth || !lowerHex(raw[:prefixWidth]) {
		return nil, nil, false
	}
	n, err := strconv.ParseUint(string(raw[:prefixWidth]), 16, 32)
	raw = raw[prefixWidth:]
	if err != nil || n > uint64(len(raw)) {
		return nil, nil, false
	}
	if n == 0 {
		return nil, raw, true
	}
	// Capped, so that appending to one part does not write into the next.
	return raw[:n:n], raw[n:], true
}

// fields reads header fields and remembers the first bad one. raw must reach
// beyond all that are asked for.
type fields struct {
	raw []byte
	bad unreadable
}

func (f *fields) fail(name unreadable) {
	if f.bad == "" {
		f.bad = name
	}
}

func (f *fields) state() store.State {
	i := strings.IndexByte(stateLetters, f.raw[atState])
	if i <= 0 {
		f.fail("state")
		return store.Absent
	}
	return store.State(i)
}

func (f *fields) flag(at int) bool {
	if c := f.raw[at]; c != '0' && c != '1' {
		f.fail("flags")
	}
	return f.raw[at] == '1'
}

func (f *fields) number(name unreadable, at, width int, limit int64) int64 {
	var n int64
	for _, c := range f.raw[at : at+width] {
		if c < '0' || c > '9' {
			f.fail(name)
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	if n > limit {
		f.fail(name)
		return 0
	}
	return n
}

func (f *fields) micros(at int) int64 { return f.number("number", at, numberWidth, maxNumber) }

func (f *fields) instant(at int) store.Instant { return store.Instant(f.micros(at)) }

// answer reads what stands before the operation about a completed record's
// answer.
func (f *fields) answer() (store.Answer, error) {
	a := store.Answer{
		Codec:   f.word("codec", atCodec),
		Omitted: store.Omission(f.number("omission", atOmitted, 1, int64(store.BodyStreamed))),
	}
	if f.bad != "" {
		return store.Answer{}, f.bad
	}
	return a, nil
}

func (f *fields) hex(name unreadable, at int, dst []byte) {
	bad := byte(0)
	for i := range dst {
		high, low := nibble(f.raw[at+2*i]), nibble(f.raw[at+2*i+1])
		dst[i] = high<<4 | low&0x0f
		bad |= high | low
	}
	if bad&notHex != 0 {
		f.fail(name)
	}
}

// notHex is what nibble returns for a byte that is no lower-case hex digit.
const notHex = 0x80

func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return notHex
}

func (f *fields) word(name unreadable, at int) string {
	word := strings.TrimRight(string(f.raw[at:at+store.MaxWord]), " ")
	if word == "" {
		f.fail(name)
	}
	for _, c := range []byte(word) {
		if c <= ' ' || c > '~' {
			f.fail(name)
		}
	}
	return word
}

func lowerHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
