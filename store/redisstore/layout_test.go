package redisstore_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

func goldenID() (id store.ID) {
	for i := range id {
		id[i] = byte(i)
	}
	return id
}

func goldenRecord() store.Record {
	return store.Record{
		State:       store.Completed,
		Owner:       store.Owner{0: 0xab, 15: 0xcd},
		Token:       1795355342143775,
		Attempt:     2,
		LeaseEnd:    1795355372143775,
		Lease:       30 * time.Second,
		NotBefore:   0,
		Marked:      true,
		Created:     1795355342143000,
		Started:     1795355342143775,
		Finished:    1795355343000000,
		Fingerprint: store.Fingerprint{Algorithm: "sha256-1", Sum: [32]byte{0: 0x11, 31: 0xff}},
		Scope:       store.ScopeDigest{0: 0x22, 15: 0xee},
		Operation:   "POST /v1/payments",
		Answer:      store.Answer{Codec: "http1", Meta: []byte("201"), Body: []byte("{\"id\":1}\x00")},
	}
}

// golden is the format as it is published. If this test fails, records in
// production will not be readable: raise the version instead of editing it.
var golden = strings.Join([]string{
	"RPR1", "C", "1000",
	"1795355342143775", "00000002", "1795355372143775", "0000000030000000", "0000000000000000",
	"1795355342143000", "1795355342143775", "1795355343000000",
	"ab0000000000000000000000000000cd",
	"sha256-1", "11000000000000000000000000000000000000000000000000000000000000ff",
	"http1   ", "0", "220000000000000000000000000000ee",
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	"017", "POST /v1/payments",
	"00000003", "201", "00000009", "{\"id\":1}\x00", "2be421f0",
}, "")

func TestLayoutIsAsPublished(t *testing.T) {
	t.Parallel()
	rec := goldenRecord()
	require.Equal(t, golden, string(redisstore.Encode(goldenID(), &rec)))

	decoded, err := redisstore.Decode(goldenID(), []byte(golden))
	require.NoError(t, err)
	require.Equal(t, rec, decoded)
}

func TestEveryStateSurvivesEncoding(t *testing.T) {
	t.Parallel()
	for _, state := range []store.State{store.Running, store.Completed, store.Unknown, store.Released} {
		rec := goldenRecord()
		rec.State = state
		rec.Waiters, rec.Void, rec.TookOver = true, true, true
		rec.NotBefore = 7
		rec.Operation = strings.Repeat("x", store.MaxOperationName)
		if state != store.Completed {
			rec.Answer = store.Answer{}
		}
		decoded, err := redisstore.Decode(goldenID(), redisstore.Encode(goldenID(), &rec))
		require.NoError(t, err, state)
		require.Equal(t, rec, decoded, state)
	}
}

// The caller owns the answer's slices: writing beyond one must not reach the
// other.
func TestAnswerPartsDoNotRunIntoEachOther(t *testing.T) {
	t.Parallel()
	rec, err := redisstore.Decode(goldenID(), []byte(golden))
	require.NoError(t, err)
	_ = append(rec.Answer.Meta, "overwritten"...)
	require.Equal(t, goldenRecord().Answer.Body, rec.Answer.Body)
}

type mutilation struct {
	name  string
	field string
	bytes func(b []byte) []byte
}

func at(offset int, text string) func([]byte) []byte {
	return func(b []byte) []byte {
		copy(b[offset:], text)
		return b
	}
}

func cut(length int) func([]byte) []byte {
	return func(b []byte) []byte { return b[:length] }
}

// headMutilations are what scripts see, too: they read so far.
func headMutilations() []mutilation {
	return []mutilation{
		{"empty", "format", cut(0)},
		{"half a magic", "format", cut(3)},
		{"another magic", "format", at(0, "JSON")},
		{"no version", "format", at(3, "x")},
		{"an older version", "format", at(3, "0")},
		{"F43 a newer version", "newer format", at(3, "2")},
		{"cut in the head", "length", cut(160)},
		{"cut before the operation's length", "length", cut(340)},
		{"cut in the operation", "length", cut(345)},
		{"unknown state", "state", at(4, "X")},
		{"absent state", "state", at(4, " ")},
		{"bad flag", "flags", at(8, "2")},
		{"letter in the token", "number", at(12, "e")},
		{"sign in the token", "number", at(9, "-")},
		{"token not exact in Lua", "number", at(9, "9007199254740993")},
		{"space in the attempt", "number", at(25, " ")},
		{"letter in the last time", "number", at(128, "z")},
		{"owner not hex", "owner", at(160, "g")},
		{"blank algorithm", "algorithm", at(161, "        ")},
		{"control in the algorithm", "algorithm", at(162, "\x01")},
		{"gap in the algorithm", "algorithm", at(162, " ")},
		{"fingerprint not hex", "fingerprint", at(169, "zz")},
		{"scope not hex", "scope", at(242, "zz")},
		{"F44 digest of another key", "key digest", at(274, "ff")},
		{"digest not hex", "key digest", at(274, "zz")},
		{"operation's length not a number", "operation length", at(338, "0x1")},
		{"no operation", "operation length", at(338, "000")},
		{"operation too long", "operation length", at(338, "256")},
	}
}

// answerMutilations are only seen by whoever reads the answer, too.
func answerMutilations() []mutilation {
	return []mutilation{
		{"owner in capitals", "owner", at(129, "AB")},
		{"blank codec", "codec", at(233, "        ")},
		{"omission out of range", "omission", at(241, "4")},
		{"no answer", "answer", cut(358)},
		{"F42 meta longer than the record", "answer", at(358, "7fffffff")},
		{"meta's length in capitals", "answer", at(358, "0000000A")},
		{"meta's length not hex", "answer", at(358, "+0000003")},
		{"F42 body longer than the record", "answer", at(369, "ffffffff")},
		{"F42 flipped bit in the body", "checksum", at(380, "!")},
		{"flipped bit in the checksum", "checksum", at(386, "0")},
		{"F42 truncated", "checksum", cut(len(golden) - 1)},
		{"more than a record", "checksum", func(b []byte) []byte { return append(b, '0') }},
	}
}

func TestDecodeRefusesWhatIsNoRecordF41F42F43(t *testing.T) {
	t.Parallel()
	for _, m := range append(headMutilations(), answerMutilations()...) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			rec, err := redisstore.Decode(goldenID(), m.bytes([]byte(golden)))
			require.EqualError(t, err, m.field)
			assert.Equal(t, store.Record{}, rec)
		})
	}
}

func TestDecodeRefusesTracesOfAnAnswerOnARunningRecord(t *testing.T) {
	t.Parallel()
	rec := goldenRecord()
	rec.State, rec.Answer = store.Running, store.Answer{}
	running := string(redisstore.Encode(goldenID(), &rec))
	tests := []mutilation{
		{"bytes after the operation", "length", func(b []byte) []byte { return append(b, 'x') }},
		{"codec", "codec", at(233, "http1")},
		{"omission", "omission", at(241, "1")},
	}
	for _, m := range tests {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			_, err := redisstore.Decode(goldenID(), m.bytes([]byte(running)))
			require.EqualError(t, err, m.field)
		})
	}
}

// F42: whatever is under a record's name, decoding ends with a record that
// encodes to the same bytes, or with an error.
func FuzzDecode(f *testing.F) {
	rec := goldenRecord()
	f.Add([]byte(golden))
	f.Add([]byte(golden)[:341])
	f.Add([]byte(""))
	f.Add(bytes.Replace([]byte(golden), []byte("RPR1"), []byte("RPR2"), 1))
	rec.State, rec.Answer = store.Running, store.Answer{}
	f.Add(redisstore.Encode(goldenID(), &rec))
	f.Fuzz(func(t *testing.T, raw []byte) {
		rec, err := redisstore.Decode(goldenID(), bytes.Clone(raw))
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.Equal(t, string(raw), string(redisstore.Encode(goldenID(), &rec)))
	})
}

// F44: no reply, however strange, is taken for a verdict that it is not.
func FuzzScriptReply(f *testing.F) {
	owner := store.Owner{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}
	const head = "1795355342143775 0123456789abcdef0123456789abcdef claim: "
	f.Add(head + "claimed: " + golden[:161])
	f.Add(head + "recorded: RPR2")
	f.Add(head + "done: ")
	f.Add(head[:49] + " complete: done: ")
	f.Add(head[:17] + strings.Repeat("0", 32) + " claim: done: ")
	f.Add(head + "unreadable: state")
	f.Add(head + "other algorithm: sha256")
	f.Add(head[:40])
	f.Fuzz(func(t *testing.T, text string) {
		reply, err := redisstore.ParseReply(text, "claim", owner)
		if err != nil {
			require.Equal(t, store.Reply{}, reply)
			return
		}
		require.NotZero(t, reply.Verdict)
		said := fmt.Sprintf("%016d %s claim: %v: ", reply.Now, owner, reply.Verdict)
		require.True(t, strings.HasPrefix(text, said), "%q is not told by %q", said, text)
	})
}

// F42: as FuzzDecode, from a record that was good before some bytes of it were
// overwritten: most of what is random is refused at its first bytes.
func FuzzDecodeOverwritten(f *testing.F) {
	f.Add(uint16(0), []byte("RPR9"))
	f.Add(uint16(380), []byte{0})
	f.Add(uint16(358), []byte("7fffffff"))
	f.Add(uint16(len(golden)), []byte("more"))
	f.Fuzz(func(t *testing.T, at uint16, over []byte) {
		from := min(int(at), len(golden))
		until := min(from+len(over), len(golden))
		raw := slices.Concat([]byte(golden[:from]), over, []byte(golden[until:]))
		rec, err := redisstore.Decode(goldenID(), bytes.Clone(raw))
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.Equal(t, string(raw), string(redisstore.Encode(goldenID(), &rec)))
	})
}
