package idemgrpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

// wire is the transport below a call, without a socket. It takes what grpc-go
// would put on one.
type wire struct {
	method          string
	header, trailer metadata.MD
}

var _ grpc.ServerTransportStream = (*wire)(nil)

func (w *wire) Method() string { return w.method }

func (w *wire) SetHeader(md metadata.MD) error {
	w.header = metadata.Join(w.header, md)
	return nil
}

func (w *wire) SendHeader(md metadata.MD) error { return w.SetHeader(md) }

func (w *wire) SetTrailer(md metadata.MD) error {
	w.trailer = metadata.Join(w.trailer, md)
	return nil
}

// wireStream is a stream on it, with one request.
type wireStream struct {
	*wire

	ctx     context.Context
	request proto.Message
	onSend  func(proto.Message)
}

var _ grpc.ServerStream = (*wireStream)(nil)

func (s *wireStream) Context() context.Context  { return s.ctx }
func (s *wireStream) SetTrailer(md metadata.MD) { _ = s.wire.SetTrailer(md) }

func (s *wireStream) SendMsg(message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return errors.New("no message")
	}
	s.onSend(m)
	return nil
}

func (s *wireStream) RecvMsg(into any) error {
	m, ok := into.(proto.Message)
	if !ok || s.request == nil {
		return io.EOF
	}
	proto.Merge(m, s.request)
	s.request = nil
	return nil
}

const (
	createMethod     = "/reprise.test.v1.Orders/Create"
	createManyMethod = "/reprise.test.v1.Orders/CreateMany"
)

// protectedOrders is an interceptor around the test service.
func protectedOrders(t testing.TB, methods ...ServiceMethod) *Interceptor {
	t.Helper()
	in, err := New(newGuard(t, idempotency.WithLogger(slog.New(slog.DiscardHandler))), GlobalScope(), RecordMetadata("location", "x-sum-bin"))
	require.NoError(t, err)
	require.NoError(t, in.Protect(ordersService(), methods...))
	return in
}

// sent is what came onto the wire of one call.
type sent struct {
	*wire

	messages []proto.Message
	err      error
}

func replayOnWire(t *testing.T, m *method, recorded store.Answer) sent {
	t.Helper()
	result := idempotency.Result{
		Outcome: idempotency.Replayed, Recorded: true, RecordedAt: time.Unix(1, 0),
		Answer: idempotency.Answer{Class: idempotency.ClassRecord, Answer: recorded},
	}
	got := sent{wire: &wire{method: "/" + m.name}}
	ctx := grpc.NewContextWithServerTransportStream(t.Context(), got.wire)
	if m.name == createManyMethod[1:] {
		got.err = m.replayStream(&wireStream{wire: got.wire, ctx: ctx, onSend: func(message proto.Message) {
			got.messages = append(got.messages, message)
		}}, result)
		return got
	}
	response, err := m.replayUnary(ctx, result)
	if response != nil {
		message, ok := response.(proto.Message)
		require.True(t, ok, "%T", response)
		got.messages = []proto.Message{message}
	}
	got.err = err
	return got
}

// Stored answers are whatever a store gives back. A replay of one is the recorded
// answer, whole, or a refusal that says why there is none.
func FuzzStoredAnswer(f *testing.F) {
	for _, name := range []string{"a.B", "reprise.test.v1.Receipt"} {
		for _, a := range answers(f) {
			a.typeName = name
			encoded := a.encode(1 << 20)
			f.Add(encoded.Meta, encoded.Body, uint8(encoded.Omitted))
		}
	}
	in := protectedOrders(f)
	unary, stream := in.method(createMethod), in.method(createManyMethod)
	f.Fuzz(func(t *testing.T, meta, body []byte, omitted uint8) {
		recorded := store.Answer{Codec: answerCodec, Meta: meta, Body: body, Omitted: store.Omission(omitted)}
		a, err := decodeAnswer(recorded)
		if err != nil {
			require.ErrorIs(t, err, errCorruptAnswer)
			requireUnreplayable(t, replayOnWire(t, unary, recorded), idempotency.ErrRecordUnreadable)
			requireUnreplayable(t, replayOnWire(t, stream, recorded), idempotency.ErrRecordUnreadable)
			return
		}
		again := a.encode(1 << 40)
		assert.Equal(t, recorded.Meta, again.Meta)
		assert.Equal(t, string(recorded.Body), string(again.Body))
		if a.omitted != store.BodyKept { // the engine refuses before that; whatever comes of it, it does not panic
			_, _ = replayOnWire(t, unary, recorded), replayOnWire(t, stream, recorded)
			return
		}
		requireReplay(t, unary, a, (a.code == codes.OK) == (len(a.messages) == 1) && len(a.messages) < 2)
		requireReplay(t, stream, a, true)
	})
}

// requireReplay checks the replay of an answer that can be decoded. fits says
// whether the method can have that number of messages.
func requireReplay(t *testing.T, m *method, a answer, fits bool) {
	t.Helper()
	got := replayOnWire(t, m, a.encode(1<<40))
	_, messages, err := m.decode(a.encode(1 << 40))
	switch {
	case errors.Is(err, errOtherType):
		requireUnreplayable(t, got, idempotency.ErrResultUnavailable)
		return
	case err != nil || !fits:
		requireUnreplayable(t, got, idempotency.ErrRecordUnreadable)
		return
	}
	require.Equal(t, a.code, status.Code(got.err))
	if a.code != codes.OK {
		assert.True(t, proto.Equal(status.Convert(a.statusError()).Proto(), status.Convert(got.err).Proto()))
	}
	require.Len(t, got.messages, len(messages))
	for i := range messages {
		assert.True(t, equalAsSent(t, messages[i], got.messages[i]), "message %d", i)
	}
	inHeader := a.code == codes.OK || m.name == createManyMethod[1:] && len(messages) > 0
	requireEntries(t, a.header, got.header, inHeader)
	requireEntries(t, a.trailer, got.trailer, a.code != codes.OK)
}

// equalAsSent knows a NaN for itself, which proto.Equal does as well, and unknown
// fields in their order.
func equalAsSent(t *testing.T, a, b proto.Message) bool {
	t.Helper()
	x, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(a)
	require.NoError(t, err)
	y, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(b)
	require.NoError(t, err)
	return string(x) == string(y)
}

// requireEntries checks that there is what was recorded, the marks if they are to
// be there, and nothing else.
func requireEntries(t *testing.T, recorded []entry, got metadata.MD, marked bool) {
	t.Helper()
	want := toMetadata(recorded)
	if marked {
		want = metadata.Join(want, metadata.Pairs(
			"idempotent-replayed", "true", "idempotency-status", "replayed", "idempotency-recorded-at", "1970-01-01T00:00:01Z"))
	}
	assert.Len(t, got, len(want), "%v", got)
	for name, values := range want {
		assert.Equal(t, values, got[name], name)
	}
}

// requireUnreplayable checks a refusal: no header, no message.
func requireUnreplayable(t *testing.T, got sent, code idempotency.Code) {
	t.Helper()
	assert.Empty(t, got.messages)
	assert.Empty(t, got.header)
	require.Equal(t, codes.FailedPrecondition, status.Code(got.err))
	require.NotEmpty(t, status.Convert(got.err).Details())
	info, ok := status.Convert(got.err).Details()[0].(*errdetails.ErrorInfo)
	require.True(t, ok)
	assert.Equal(t, strings.ToUpper(string(code)), info.GetReason())
	assert.Len(t, got.trailer.Get("idempotency-status"), 1)
	assert.Empty(t, got.trailer.Get("idempotent-replayed"))
}

// callStream calls CreateMany with a key, on a stream that counts.
func callStream(t *testing.T, in *Interceptor, key string, handler grpc.StreamHandler) sent {
	t.Helper()
	got := sent{wire: &wire{method: createManyMethod}}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("idempotency-key", key))
	ss := &wireStream{
		wire: got.wire, ctx: grpc.NewContextWithServerTransportStream(ctx, got.wire), request: &testpb.Batch{},
		onSend: func(message proto.Message) { got.messages = append(got.messages, message) },
	}
	got.err = in.Stream()(nil, ss, &grpc.StreamServerInfo{FullMethod: createManyMethod, IsServerStream: true}, handler)
	return got
}

// held is how much of its messages the interceptor keeps for the record.
func held(t *testing.T, ss grpc.ServerStream) int {
	t.Helper()
	recording, ok := ss.(*recordedStream)
	require.True(t, ok, "%T", ss)
	size := 0
	for _, message := range recording.call.answer.messages {
		size += cap(message)
	}
	return size
}

// A stream that is longer than what may be recorded must not be collected in
// memory before that is found out, nor be held after.
func TestAStreamHoldsNoMoreThanMayBeRecorded(t *testing.T) {
	t.Parallel()
	const limit, messages = 64 << 10, 5000
	tests := []struct {
		name   string
		policy idempotency.Policy
		most   int
	}{
		{"recorded", idempotency.Policy{MaxResponseBody: limit}, limit},
		{"passed", idempotency.Policy{MaxResponseBody: limit, Stream: idempotency.StreamPass}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := protectedOrders(t, Method("CreateMany", test.policy))
			message := &testpb.Receipt{Data: make([]byte, 1000)}
			most, last := 0, 0
			first := callStream(t, in, "k", func(_ any, ss grpc.ServerStream) error {
				for range messages {
					if err := ss.SendMsg(message); err != nil {
						return err
					}
					last = held(t, ss)
					most = max(most, last)
				}
				return nil
			})
			require.NoError(t, first.err)
			assert.Len(t, first.messages, messages, "all are sent")
			assert.LessOrEqual(t, most, test.most)
			assert.Zero(t, last, "of what will not be recorded")
			if test.most > 0 {
				assert.Greater(t, most, limit/2, "up to the limit it might have been recorded")
			}
			again := callStream(t, in, "k", func(any, grpc.ServerStream) error {
				assert.Fail(t, "it ran again")
				return nil
			})
			requireUnreplayable(t, again, idempotency.ErrResultUnavailable)
		})
	}
}
