package idemgrpc

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/internal/testpb"
)

// A header is sent once it has been, and not because it was tried.
func TestAHeaderThatCouldNotBeSentIsNotSent(t *testing.T) {
	t.Parallel()
	fails := errors.New("too large")
	var flowed []metadata.MD
	c := &capture{flow: func(md metadata.MD) error {
		if len(md["x-large"]) > 0 {
			return fails
		}
		flowed = append(flowed, md)
		return nil
	}}
	require.NoError(t, c.SetHeader(metadata.MD{"X-A": {"1"}, "x-a": {"2"}}))
	require.ErrorIs(t, c.SendHeader(metadata.Pairs("x-large", "1")), fails)
	assert.False(t, c.flowed)
	require.NoError(t, c.SetHeader(metadata.Pairs("x-b", "1")))
	require.NoError(t, c.SendHeader(metadata.Pairs("idempotency-status", "replayed")))
	assert.Equal(t, []metadata.MD{{"x-a": {"1", "2"}, "x-b": {"1"}}}, flowed)
	require.Error(t, c.SetHeader(metadata.Pairs("x-b", "2")))
	require.Error(t, c.SendHeader(nil))
	assert.Equal(t, []string{"1"}, c.header["x-b"])
}

// Records hold what an older version let a handler set. Their replay is the rest.
func TestAnEntryThatCannotBeSentIsLeftOutOfTheReplay(t *testing.T) {
	t.Parallel()
	in := protectedOrders(t)
	encoded, err := proto.Marshal(&testpb.Receipt{Id: "1"})
	require.NoError(t, err)
	recorded := answer{
		code: codes.OK, typeName: string(receiptDescriptor().FullName()), messages: [][]byte{encoded},
		header:  []entry{{"location", "/1"}, {"x-note", "Zürich"}, {"x-note", "Berlin"}, {"x-sum-bin", "\x00\xff"}},
		trailer: []entry{{"x-note", "a\nb"}, {"x-good", "1"}},
	}.encode(1 << 20)
	for _, method := range []string{createMethod, createManyMethod} {
		got := replayOnWire(t, in.method(method), recorded)
		require.NoError(t, got.err)
		assert.Len(t, got.messages, 1)
		assert.Equal(t, []string{"/1"}, got.header["location"])
		assert.Equal(t, []string{"Berlin"}, got.header["x-note"])
		assert.Equal(t, []string{"\x00\xff"}, got.header["x-sum-bin"])
		assert.Equal(t, metadata.MD{"x-good": {"1"}}, got.trailer)
	}
}

// Z10: a message that is being sent when the handler ends is in the answer, which is
// not recorded before.
func TestZ10_TheAnswerWaitsForAMessageThatIsBeingSent(t *testing.T) {
	t.Parallel()
	in := protectedOrders(t)
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("idempotency-key", "k"))
	began, over, sent := make(chan struct{}), make(chan struct{}), make(chan struct{})
	ss := &wireStream{wire: &wire{method: createManyMethod}, ctx: ctx, request: &testpb.Batch{}, onSend: func(proto.Message) {
		close(began)
		select {
		case <-over:
			assert.Fail(t, "the call is over before its message was sent")
		case <-time.After(50 * time.Millisecond): // of what must not happen there is no other sign
		}
	}}
	err := in.Stream()(nil, ss, &grpc.StreamServerInfo{FullMethod: createManyMethod, IsServerStream: true},
		func(_ any, stream grpc.ServerStream) error {
			go func() {
				defer close(sent)
				assert.NoError(t, stream.SendMsg(&testpb.Receipt{Id: "1"}))
			}()
			<-began
			return nil
		})
	close(over)
	<-sent
	require.NoError(t, err)
	replay := callStream(t, in, "k", func(any, grpc.ServerStream) error { return errors.New("it ran again") })
	require.NoError(t, replay.err)
	assert.Len(t, replay.messages, 1)
}
