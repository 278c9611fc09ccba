package idemgrpc

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/store"
)

func answers(t testing.TB) map[string]answer {
	t.Helper()
	st, err := proto.Marshal(status.New(codes.NotFound, "none").Proto())
	require.NoError(t, err)
	return map[string]answer{
		"a success": {code: codes.OK, typeName: "a.B", messages: [][]byte{{}}},
		"a stream":  {code: codes.OK, typeName: "a.B", messages: [][]byte{{1, 2}, {}, make([]byte, 300)}},
		"an error": {
			code: codes.NotFound, typeName: "a.B", status: st,
			header: []entry{{"location", "/1"}}, trailer: []entry{{"x-bin", "\x00\xff"}, {"x-bin", ""}},
		},
		"a broken-off stream": {code: codes.NotFound, typeName: "a.B", status: st, messages: [][]byte{{1}}},
		"without a body":      {code: codes.OK, typeName: "a.B", omitted: store.BodyStreamed},
	}
}

func TestAnswersDecodeAsTheyWereEncoded(t *testing.T) {
	t.Parallel()
	for name, a := range answers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			encoded := a.encode(1 << 20)
			assert.Equal(t, "grpc/1", encoded.Codec)
			got, err := decodeAnswer(encoded)
			require.NoError(t, err)
			assert.Equal(t, encoded, got.encode(1<<20))
			assert.Equal(t, a.code, got.code)
			assert.Equal(t, a.header, got.header)
			assert.Equal(t, a.trailer, got.trailer)
			assert.Len(t, got.messages, len(a.messages))
			if a.omitted == store.BodyKept {
				assert.Len(t, encoded.Body, a.bodySize())
			}
		})
	}
}

// The bytes are those of records in use.
func TestP8_OldRecordsStayReadable(t *testing.T) {
	t.Parallel()
	golden := map[string]struct{ meta, body string }{
		"a success":           {"0003612e420000", "0000"},
		"an error":            {"0503612e4201086c6f636174696f6e022f310205782d62696e0200ff05782d62696e00", "08080512046e6f6e65"},
		"a broken-off stream": {"0503612e420000", "08080512046e6f6e650101"},
	}
	for name, want := range golden {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			encoded := answers(t)[name].encode(1 << 20)
			assert.Equal(t, "grpc/1", encoded.Codec, "a changed encoding takes a new name")
			assert.Equal(t, want.meta, hex.EncodeToString(encoded.Meta))
			assert.Equal(t, want.body, hex.EncodeToString(encoded.Body))
		})
	}
}

func TestAnswersOverALimitLoseTheirBody(t *testing.T) {
	t.Parallel()
	a := answer{code: codes.OK, messages: [][]byte{make([]byte, 97)}, header: []entry{{"location", "/1"}}}
	require.Equal(t, 99, a.bodySize())
	assert.Equal(t, store.BodyKept, a.encode(99).Omitted)
	over := a.encode(98)
	assert.Equal(t, store.BodyTooLarge, over.Omitted)
	assert.Empty(t, over.Body)
	kept, err := decodeAnswer(over)
	require.NoError(t, err)
	assert.Equal(t, a.header, kept.header)

	a.trailer = []entry{{"x", strings.Repeat("v", maxMeta)}}
	over = a.encode(1000)
	assert.Equal(t, store.BodyTooLarge, over.Omitted)
	kept, err = decodeAnswer(over)
	require.NoError(t, err)
	assert.Empty(t, kept.header)
}

func TestWhatIsNoAnswerIsRefused(t *testing.T) {
	t.Parallel()
	good := answers(t)["an error"].encode(1000)
	change := func(change func(*store.Answer)) store.Answer {
		changed := good
		changed.Meta, changed.Body = append([]byte(nil), good.Meta...), append([]byte(nil), good.Body...)
		change(&changed)
		return changed
	}
	tests := []struct {
		name string
		in   store.Answer
		want error
	}{
		{"another transport's", change(func(a *store.Answer) { a.Codec = "http/1" }), errUnknownCodec},
		{"cut metadata", change(func(a *store.Answer) { a.Meta = a.Meta[:len(a.Meta)-1] }), errCorruptAnswer},
		{"longer metadata", change(func(a *store.Answer) { a.Meta = append(a.Meta, 0) }), errCorruptAnswer},
		{"cut body", change(func(a *store.Answer) { a.Body = a.Body[:len(a.Body)-1] }), errCorruptAnswer},
		{"another code", change(func(a *store.Answer) { a.Meta[0] = 3 }), errCorruptAnswer},
		{"no status", change(func(a *store.Answer) { a.Body = []byte{0} }), errCorruptAnswer},
		{"a body that is missing", change(func(a *store.Answer) { a.Omitted = store.BodySecret }), errCorruptAnswer},
		{"forbidden metadata", answer{header: []entry{{"grpc-status", "0"}}}.encode(100), errCorruptAnswer},
		{"nothing", store.Answer{Codec: answerCodec}, errCorruptAnswer},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := decodeAnswer(test.in)
			require.ErrorIs(t, err, test.want)
		})
	}
}
