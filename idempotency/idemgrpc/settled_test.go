package idemgrpc

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/internal/testpb"
)

func TestAnswersThatNoHandlerGave(t *testing.T) {
	t.Parallel()
	m := &method{output: messageType(receiptDescriptor())}
	receipt := &testpb.Receipt{Id: "found"}
	encoded, err := NewAnswer(Settled{Messages: []proto.Message{receipt}, Header: metadata.MD{"Location": {"/1"}}})
	require.NoError(t, err)
	a, messages, err := m.decode(encoded)
	require.NoError(t, err)
	assert.Equal(t, codes.OK, a.code)
	assert.Equal(t, []entry{{"location", "/1"}}, a.header)
	require.Len(t, messages, 1)
	assert.True(t, proto.Equal(receipt, messages[0]))

	encoded, err = NewAnswer(Settled{Status: status.New(codes.NotFound, "none")})
	require.NoError(t, err)
	a, messages, err = m.decode(encoded)
	require.NoError(t, err)
	assert.Empty(t, messages)
	assert.Equal(t, codes.NotFound, status.Code(a.statusError()))
}

func TestAnswersThatCannotBeGivenAreErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   Settled
		want string
	}{
		{"two types", Settled{Messages: []proto.Message{&testpb.Receipt{}, &testpb.Order{}}}, "message 1 is a reprise.test.v1.Order"},
		{"no UTF-8", Settled{Messages: []proto.Message{&testpb.Receipt{Id: "\xff"}}}, "message 0"},
		{"status without UTF-8", Settled{Status: status.New(codes.NotFound, "\xff")}, "the status"},
		{"a credential", Settled{Header: metadata.Pairs("set-cookie", "s")}, "one client's session"},
		{"a mark", Settled{Trailer: metadata.Pairs("idempotency-status", "s")}, "the interceptor itself"},
		{"a nil message", Settled{Messages: []proto.Message{nil}}, "message 0 is nil"},
		{"a nil receipt", Settled{Messages: []proto.Message{&testpb.Receipt{}, (*testpb.Receipt)(nil)}}, "message 1 is nil"},
		{"no code", Settled{Status: status.New(1<<31, "x")}, "no client can read the code 2147483648"},
		{"no ASCII", Settled{Header: metadata.Pairs("location", "/Zürich")}, `metadata "location" has a value`},
		{"two lines", Settled{Trailer: metadata.Pairs("x-note", "good", "x-note", "a\nb")}, `metadata "x-note" has a value`},
		{"too much", Settled{Trailer: metadata.Pairs("x", strings.Repeat("x", maxMeta))}, "more than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := NewAnswer(test.in)
			require.ErrorContains(t, err, test.want)
		})
	}
}
