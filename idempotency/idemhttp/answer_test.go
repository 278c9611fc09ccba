package idemhttp

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

func sampleAnswer() answer {
	return answer{
		status:  201,
		header:  []field{{"Content-Type", "application/json"}, {"Location", "/payments/1"}, {"Link", "<a>"}, {"Link", "<b>"}},
		trailer: []field{{"X-Sum", "é\x00"}},
		body:    []byte("{}\n\x00\xff"),
	}
}

func TestAnswerSurvivesTheRecord(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		answer
	}{
		{"R2 everything", sampleAnswer()},
		{"R6 nothing but a status", answer{status: 204}},
		{"R7 empty 200", answer{status: 200, body: []byte{}}},
		{"Z1 no body: too large", answer{status: 200, omitted: store.BodyTooLarge, header: []field{{"Location", "/x"}}}},
		{"Z5 no body: streamed", answer{status: 200, omitted: store.BodyStreamed}},
		{"empty header value", answer{status: 999, header: []field{{"Etag", ""}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			recorded := tt.encode()
			got, err := decodeAnswer(recorded)
			require.NoError(t, err)
			assert.Equal(t, tt.answer, got)
			assert.NoError(t, store.Validate(store.Settle{
				Owner: store.NewOwner(), Retention: 1e9, Answer: &recorded,
			}), "a store accepts it")
		})
	}
}

func TestP8_OldRecordsStayReadable(t *testing.T) {
	t.Parallel()
	const golden = "c9010" + "40c436f6e74656e742d54797065106170706c69636174696f6e2f6a736f6e" +
		"084c6f636174696f6e0b2f7061796d656e74732f31044c696e6b033c613e044c696e6b033c623e" +
		"0105582d53756d03c3a900"
	recorded := sampleAnswer().encode()
	assert.Equal(t, golden, hex.EncodeToString(recorded.Meta),
		"records outlive deployments: a changed encoding needs a new codec name")
	assert.Equal(t, "http/1", recorded.Codec)
}

func TestUnknownCodecIsToldApart(t *testing.T) {
	t.Parallel()
	recorded := sampleAnswer().encode()
	recorded.Codec = "http/2"
	_, err := decodeAnswer(recorded)
	require.ErrorIs(t, err, errUnknownCodec)
	require.NotErrorIs(t, err, errCorruptAnswer)
}

func TestS12_CorruptAnswersAreRefused(t *testing.T) {
	t.Parallel()
	encoded := func(a answer) store.Answer {
		return store.Answer{Codec: answerCodec, Meta: a.encodeMeta(), Body: a.body, Omitted: a.omitted}
	}
	raw := func(meta ...byte) store.Answer { return store.Answer{Codec: answerCodec, Meta: meta} }
	whole := sampleAnswer().encode()
	tests := []struct {
		name string
		store.Answer
	}{
		{"no metadata", raw()},
		{"bytes after the end", raw(append(whole.Meta, 0)...)},
		{"status 0", encoded(answer{status: 0})},
		{"status 103", encoded(answer{status: 103})},
		{"status 1000", encoded(answer{status: 1000})},
		{"number not in its shortest form", raw(0xc8, 0x81, 0x00, 0, 0)},
		{"more fields than bytes", raw(0xc8, 0x01, 0xff, 0x07)},
		{"field longer than the rest", raw(0xc8, 0x01, 1, 4, 'E', 't', 'a', 'g', 200)},
		{"huge number", raw(0xc8, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)},
		{"header name with a line break", encoded(answer{status: 200, header: []field{{"A\r\nB", "x"}}})},
		{"header name not canonical", encoded(answer{status: 200, header: []field{{"etag", "x"}}})},
		{"forbidden trailer", encoded(answer{status: 200, trailer: []field{{"Content-Length", "9"}}})},
		{"body said to be missing", encoded(answer{status: 200, body: []byte("x"), omitted: store.BodySecret})},
		{"body on 204", encoded(answer{status: 204, body: []byte("x")})},
		{"unknown omission", encoded(answer{status: 200, omitted: 9})},
		{"too much metadata", encoded(answer{status: 200, header: []field{{"Link", strings.Repeat("x", maxMeta)}}})},
	}
	for cut := range len(whole.Meta) {
		tests = append(tests, struct {
			name string
			store.Answer
		}{fmt.Sprintf("cut after %d bytes", cut), raw(whole.Meta[:cut]...)})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := decodeAnswer(tt.Answer)
			require.ErrorIs(t, err, errCorruptAnswer)
		})
	}
}

func TestAnswerOverTheBoundsIsNeverHalfReplayed(t *testing.T) {
	t.Parallel()
	many := make([]field, maxFields+1)
	for i := range many {
		many[i] = field{"Link", "<a>"}
	}
	long := field{"Link", strings.Repeat("x", maxMeta)}
	location := field{"Location", "/payments/1"}
	tests := []struct {
		name string
		answer
		want []field
	}{
		{"too many fields", answer{status: 201, header: append(slices.Clone(many), location)}, []field{location}},
		{"a long field", answer{status: 201, header: []field{long, location}}, []field{location}},
		{"a long Location", answer{status: 201, header: []field{{"Location", long.value}}}, nil},
		{"a long trailer", answer{status: 201, trailer: []field{{"X-Sum", long.value}}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.body = []byte("body")
			got, err := decodeAnswer(tt.encode())
			require.NoError(t, err)
			assert.Equal(t, answer{status: 201, header: tt.want, omitted: store.BodyTooLarge}, got)
		})
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	whole := sampleAnswer().encode()
	f.Add(whole.Meta, whole.Body, uint8(0))
	f.Add(answer{status: 204}.encode().Meta, []byte{}, uint8(0))
	f.Add([]byte{0xc8, 0x01, 0, 0}, []byte("x"), uint8(3))
	f.Fuzz(func(t *testing.T, meta, body []byte, omitted uint8) {
		recorded := store.Answer{Codec: answerCodec, Meta: meta, Body: body, Omitted: store.Omission(omitted)}
		a, err := decodeAnswer(recorded)
		if err != nil {
			require.ErrorIs(t, err, errCorruptAnswer)
			return
		}
		require.Equal(t, recorded, a.encode(), "what is accepted is exactly what encode writes")
	})
}
