package redisstore

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/store"
)

// The layout of a record, one Redis string. Everything up to the operation's
// name is ASCII of fixed width at fixed offsets: numbers are decimal, padded
// with zeros; digests are lower-case hex; words are padded with spaces. The
// head comes first because the scripts write it, and write nothing else of a
// record that is there but codec, omission and answer.
//
//	offset width
//	     0     4  "RPR" and the version of the format
//	     4     1  state: R running, C completed, U unknown, L released
//	     5     4  flags, 0 or 1: marked, waiters, void, took over
//	     9    16  token
//	    25     8  attempt
//	    33    16  lease end, an instant in µs since 1970 like all that follow
//	    49    16  lease length in µs
//	    65    16  not before
//	    81    16  created
//	    97    16  started
//	   113    16  finished
//	   129    32  owner                               (end of the head)
//	   161     8  fingerprint's algorithm
//	   169    64  fingerprint
//	   233     8  codec, blank unless completed
//	   241     1  omission, 0 to 3
//	   242    32  scope
//	   274    64  digest of the key, the same as in the record's name
//	   338     3  length of the operation's name
//	   341        the operation's name; then, when completed, the answer:
//	              length of meta (8 hex digits), meta, length of body (8 hex
//	              digits), body, CRC-32C (8 hex digits) over all of the answer
//	              before it
//
// A record's expiry is its key's time to live.
const (
	format       = "RPR1"
	formatFamily = "RPR"

	atState     = 4
	atMarked    = 5
	atWaiters   = 6
	atVoid      = 7
	atTookOver  = 8
	atToken     = 9
	atAttempt   = 25
	atLeaseEnd  = 33
	atLease     = 49
	atNotBefore = 65
	atCreated   = 81
	atStarted   = 97
	atFinished  = 113
	atOwner     = 129
	headEnd     = 161
	atAlgorithm = 161
	atSum       = 169
	atCodec     = 233
	atOmitted   = 241
	atScope     = 242
	atDigest    = 274
	atLength    = 338
	atOperation = 341

	ownerWidth   = 2 * len(store.Owner{})
	numberWidth  = 16
	attemptWidth = 8
	lengthWidth  = 3
	prefixWidth  = 8 // of meta, of body, and of the checksum

	// maxNumber is a bound that the scripts can see at the first digit, below
	// 2^53, up to which Lua's numbers are exact. As a time it is in 2255.
	maxNumber  = 8_999_999_999_999_999
	maxAttempt = 99_999_999

	// maxAnswer bounds an encoded answer, well below the 512 MiB of a Redis
	// string. The engine's own limits are far smaller.
	maxAnswer = 256 << 20
)

// stateLetters is indexed by store.State; an absent record has no letter.
const stateLetters = " RCUL"

// encode returns the whole record.
func encode(id store.ID, r *store.Record) []byte {
	b := make([]byte, 0, headEnd+restSize(r)+answerSize(r.Answer))
	b = appendHead(b, r)
	b = appendRest(b, id, r)
	if r.State == store.Completed {
		b = appendAnswer(b, r.Answer)
	}
	return b
}

// appendHead appends what the scripts write: format to owner.
func appendHead(b []byte, r *store.Record) []byte {
	b = append(b, format...)
	b = append(b, stateLetters[r.State])
	for _, flag := range [...]bool{r.Marked, r.Waiters, r.Void, r.TookOver} {
		b = append(b, digitOf(flag))
	}
	b = appendNumber(b, int64(r.Token), numberWidth)
	b = appendNumber(b, int64(r.Attempt), attemptWidth)
	b = appendNumber(b, int64(r.LeaseEnd), numberWidth)
	b = appendNumber(b, r.Lease.Microseconds(), numberWidth)
	for _, at := range [...]store.Instant{r.NotBefore, r.Created, r.Started, r.Finished} {
		b = appendNumber(b, int64(at), numberWidth)
	}
	return hex.AppendEncode(b, r.Owner[:])
}

func restSize(r *store.Record) int { return atOperation - headEnd + len(r.Operation) }

// appendRest appends what lies between the head and the answer.
func appendRest(b []byte, id store.ID, r *store.Record) []byte {
	b = appendWord(b, r.Fingerprint.Algorithm)
	b = hex.AppendEncode(b, r.Fingerprint.Sum[:])
	b = appendCodec(b, r.Answer)
	b = hex.AppendEncode(b, r.Scope[:])
	b = hex.AppendEncode(b, id[:])
	b = appendNumber(b, int64(len(r.Operation)), lengthWidth)
	return append(b, r.Operation...)
}

func appendCodec(b []byte, a store.Answer) []byte {
	return append(appendWord(b, a.Codec), '0'+byte(a.Omitted))
}

func answerSize(a store.Answer) int { return 3*prefixWidth + len(a.Meta) + len(a.Body) }

func appendAnswer(b []byte, a store.Answer) []byte {
	start := len(b)
	for _, part := range [...][]byte{a.Meta, a.Body} {
		b = appendHex32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return appendHex32(b, checksum(b[start:]))
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func appendHex32(b []byte, n uint32) []byte {
	var bytes [4]byte
	binary.BigEndian.PutUint32(bytes[:], n)
	return hex.AppendEncode(b, bytes[:])
}

func appendNumber(b []byte, n int64, width int) []byte {
	var room [20]byte
	digits := strconv.AppendInt(room[:0], n, 10)
	for range width - len(digits) {
		b = append(b, '0')
	}
	return append(b, digits...)
}

func appendWord(b []byte, word string) []byte {
	b = append(b, word...)
	for range store.MaxWord - len(word) {
		b = append(b, ' ')
	}
	return b
}

func digitOf(flag bool) byte {
	if flag {
		return '1'
	}
	return '0'
}

// micros returns a duration as the scripts take it.
func micros(d time.Duration) int64 { return d.Microseconds() }

// millis returns a time to live as Redis takes it, rounded up: a record is
// never forgotten before its time.
func millis(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}
