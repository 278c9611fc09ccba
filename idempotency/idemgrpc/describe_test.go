package idemgrpc_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

func TestRecordedAnswersAreDescribed(t *testing.T) {
	t.Parallel()
	declined, err := status.New(codes.FailedPrecondition, "the card was declined").WithDetails(&errdetails.ErrorInfo{Reason: "CARD_DECLINED"})
	require.NoError(t, err)
	receipts := slices.Repeat([]proto.Message{&testpb.Receipt{Id: "r"}}, 21)
	tests := []struct {
		name    string
		settled idemgrpc.Settled
		content bool
		want    [][2]string
	}{
		{
			"a success", idemgrpc.Settled{
				Messages: receipts[:1], Header: metadata.Pairs("location", "/1", "sum-bin", "\x00\xff"),
			}, true,
			[][2]string{
				{"gRPC status", "OK"}, {"Message type", "reprise.test.v1.Receipt"}, {"Messages", "1 of 3 bytes"},
				{"Header location", "/1"}, {"Header sum-bin", "AP8="},
			},
		},
		{
			"an error, with content", idemgrpc.Settled{Status: declined, Trailer: metadata.Pairs("x-cost", "2")}, true,
			[][2]string{
				{"gRPC status", "FAILED_PRECONDITION"}, {"Status message", "the card was declined"},
				{"Status detail", "google.rpc.ErrorInfo"}, {"Messages", "none"}, {"Trailer x-cost", "2"},
			},
		},
		{
			"an error, without content", idemgrpc.Settled{Status: declined}, false,
			[][2]string{{"gRPC status", "FAILED_PRECONDITION"}, {"Messages", "none"}},
		},
		{
			"a long stream", idemgrpc.Settled{Messages: receipts}, false,
			[][2]string{
				{"gRPC status", "OK"}, {"Message type", "reprise.test.v1.Receipt"},
				{"Messages", "21 of 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, … bytes"},
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			recorded, err := idemgrpc.NewAnswer(test.settled)
			require.NoError(t, err)
			lines, err := idemgrpc.AnswerLines(recorded, test.content)
			require.NoError(t, err)
			assert.Equal(t, test.want, lines)
			d, err := idemgrpc.DescribeAnswer(recorded)
			require.NoError(t, err)
			assert.Equal(t, test.settled.Status.Code(), d.Status.Code())
			assert.True(t, proto.Equal(test.settled.Status.Proto(), d.Status.Proto()) || d.Status.Code() == codes.OK)
			assert.Len(t, d.MessageSizes, len(test.settled.Messages))
		})
	}
}

func TestAnAnswerWithoutItsBodyIsDescribedByItsCode(t *testing.T) {
	t.Parallel()
	recorded, err := idemgrpc.NewAnswer(idemgrpc.Settled{Status: status.New(codes.NotFound, "none")})
	require.NoError(t, err)
	recorded.Body, recorded.Omitted = nil, store.BodySecret
	d, err := idemgrpc.DescribeAnswer(recorded)
	require.NoError(t, err)
	assert.Equal(t, codes.NotFound, d.Status.Code())
	assert.Empty(t, d.Status.Message())
	assert.Equal(t, store.BodySecret, d.Omitted)
	lines, err := idemgrpc.AnswerLines(recorded, true)
	require.NoError(t, err)
	assert.Equal(t, [][2]string{{"gRPC status", "NOT_FOUND"}}, lines)
}

func TestWhatIsNoAnswerIsNotDescribed(t *testing.T) {
	t.Parallel()
	for codec, code := range map[string]idempotency.Code{
		"http/1": idempotency.ErrResultUnavailable,
		"grpc/1": idempotency.ErrRecordUnreadable,
	} {
		_, err := idemgrpc.AnswerLines(store.Answer{Codec: codec, Meta: []byte{0xff}}, true)
		require.ErrorIs(t, err, code)
	}
}
