package idemgrpc_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/internal/optionpb"
)

// openedStream is a stream that was opened, and never ends by itself.
type openedStream struct {
	grpc.ClientStream
	received error
}

func (s openedStream) SendMsg(any) error { return nil }
func (s openedStream) RecvMsg(any) error { return s.received }

// openListed opens a stream whose request is to carry a key, and returns it with the
// context it was opened in.
func openListed(t *testing.T, received error) (grpc.ClientStream, context.Context) {
	t.Helper()
	keys, err := idemgrpc.NewClient()
	require.NoError(t, err)
	var inside context.Context
	open := func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
		inside = ctx
		return openedStream{received: received}, nil
	}
	stream, err := keys.Stream()(t.Context(), &grpc.StreamDesc{ServerStreams: true}, nil, optionpb.Good_Listed_FullMethodName, open)
	require.NoError(t, err)
	return stream, inside
}

// A stream that the interceptor could not send on must not stay open: grpc-go ends
// those that it cannot, so nobody else does.
func TestAStreamEndsWithTheFirstError(t *testing.T) {
	t.Parallel()
	end := status.Error(codes.Aborted, "over")
	tests := []struct {
		name string
		act  func(grpc.ClientStream) error
		want codes.Code
		open bool
	}{
		{"a request without the field", func(s grpc.ClientStream) error { return s.SendMsg(&durationpb.Duration{}) }, codes.InvalidArgument, false},
		{"no message", func(s grpc.ClientStream) error { return s.SendMsg(new(grpc.PreparedMsg)) }, codes.InvalidArgument, false},
		{"received", func(s grpc.ClientStream) error { return s.RecvMsg(new(optionpb.Answer)) }, codes.Aborted, false},
		{"a request", func(s grpc.ClientStream) error { return s.SendMsg(&optionpb.Request{}) }, codes.OK, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stream, inside := openListed(t, end)
			require.NoError(t, inside.Err())
			assert.Equal(t, test.want, status.Code(test.act(stream)))
			if test.open {
				require.NoError(t, inside.Err())
				return
			}
			require.ErrorIs(t, inside.Err(), context.Canceled)
		})
	}
}

func TestAStreamThatCannotBeOpenedLeavesNoContextBehind(t *testing.T) {
	t.Parallel()
	keys, err := idemgrpc.NewClient()
	require.NoError(t, err)
	var inside context.Context
	_, err = keys.Stream()(t.Context(), &grpc.StreamDesc{ServerStreams: true}, nil, optionpb.Good_Listed_FullMethodName,
		func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
			inside = ctx
			return nil, status.Error(codes.Unavailable, "nobody there")
		})
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.ErrorIs(t, inside.Err(), context.Canceled)
}

// On a connection, the server's handler, which waits for the request, hears of it.
func TestAServerIsNotLeftWaitingForARequestThatCannotBeSent(t *testing.T) {
	t.Parallel()
	conn := dialWitness(t, &keyWitness{})
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, optionpb.Good_Listed_FullMethodName)
	require.NoError(t, err)
	require.Equal(t, codes.InvalidArgument, status.Code(stream.SendMsg(&durationpb.Duration{})))
	ended := make(chan error, 1)
	go func() { ended <- stream.RecvMsg(new(optionpb.Answer)) }()
	select {
	case err := <-ended:
		assert.Equal(t, codes.Canceled, status.Code(err))
	case <-time.After(10 * time.Second):
		require.Fail(t, "the stream is still open")
	}
}
