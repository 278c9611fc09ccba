package idemgrpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// ordersBy is the test service, made of functions.
type ordersBy struct {
	testpb.UnimplementedOrdersServer

	create func(context.Context) error
	many   func(grpc.ServerStreamingServer[testpb.Receipt]) error
}

func (o ordersBy) Create(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
	return &testpb.Receipt{Id: "1"}, o.create(ctx)
}

func (o ordersBy) CreateMany(_ *testpb.Batch, stream grpc.ServerStreamingServer[testpb.Receipt]) error {
	return o.many(stream)
}

// onServer serves the test service behind an interceptor, or bare, and connects to it.
// Who serves what is unknown may be among the options.
func onServer(t *testing.T, st store.Store, orders testpb.OrdersServer, opts ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	if st != nil {
		guard, err := idempotency.New(st)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.WithoutCancel(t.Context()))) })
		in, err := idemgrpc.New(guard, idemgrpc.GlobalScope(), idemgrpc.RecordMetadata("x-note", "x-good", "x-raw-bin"))
		require.NoError(t, err)
		require.NoError(t, in.Protect(testpb.File_orders_proto.Services().ByName("Orders")))
		opts = append(opts, grpc.UnaryInterceptor(in.Unary()), grpc.StreamInterceptor(in.Stream()))
	}
	server, listener := grpc.NewServer(opts...), bufconn.Listen(1<<20)
	if orders != nil {
		testpb.RegisterOrdersServer(server, orders)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///orders", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, conn.Close())
		server.Stop()
		assert.NoError(t, <-served)
	})
	return conn
}

func inMemory(t *testing.T) store.Store {
	t.Helper()
	st, err := memstore.New()
	require.NoError(t, err)
	return st
}

func withTestKey(t *testing.T) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", "k")
}

// streamed is what a client got of a stream.
type streamed struct {
	ids             []string
	header, trailer metadata.MD
	err             error // nil at its regular end
}

func drained(t *testing.T, conn *grpc.ClientConn) streamed {
	t.Helper()
	stream, err := testpb.NewOrdersClient(conn).CreateMany(withTestKey(t), &testpb.Batch{})
	require.NoError(t, err)
	var got streamed
	for {
		receipt, err := stream.Recv()
		if err != nil {
			got.header, _ = stream.Header()
			got.trailer = stream.Trailer()
			if !errors.Is(err, io.EOF) {
				got.err = err
			}
			return got
		}
		got.ids = append(got.ids, receipt.GetId())
	}
}

// What gRPC cannot send is the same error as without protection, and takes nothing
// else with it, neither now nor in the replay.
func TestAStreamsHandlerIsToldOfMetadataThatCannotBeSent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		md   metadata.MD
	}{
		{"no ASCII", metadata.Pairs("x-note", "Zürich")},
		{"two lines", metadata.Pairs("x-note", "a\nb")},
		{"no name", metadata.MD{"": {"a"}}},
		{"a malformed name", metadata.MD{"x note": {"a"}}},
		{"a good one beside", metadata.Pairs("x-good", "lost, as in grpc-go", "x-note", "\x7f")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var told [][2]string // SetHeader, SendHeader
			handler := func(stream grpc.ServerStreamingServer[testpb.Receipt]) error {
				assert.NoError(t, stream.SetHeader(metadata.Pairs("x-good", "1", "x-raw-bin", "\x00\xff")))
				told = append(told, [2]string{status.Convert(stream.SetHeader(test.md)).String(), status.Convert(stream.SendHeader(test.md)).String()})
				assert.NoError(t, stream.SetHeader(metadata.Pairs("x-good", "2")), "the header has not been sent")
				return stream.Send(&testpb.Receipt{Id: "1"})
			}
			bare := drained(t, onServer(t, nil, ordersBy{many: handler}))
			require.NoError(t, bare.err)
			protected := onServer(t, inMemory(t), ordersBy{many: handler})
			first, second := drained(t, protected), drained(t, protected)
			require.Len(t, told, 2, "the second one is a replay")
			assert.Equal(t, told[0], told[1], "as grpc-go tells it")
			assert.Contains(t, told[1][0], "code = Internal")
			for _, got := range []streamed{first, second} {
				require.NoError(t, got.err)
				assert.Equal(t, []string{"1"}, got.ids)
				for name, values := range bare.header {
					assert.Equal(t, values, got.header[name], name)
				}
				assert.NotContains(t, got.header, "x-note")
			}
			assert.Equal(t, []string{"replayed"}, second.header["idempotency-status"])
		})
	}
}

// A trailer has nobody to tell: what is good of it is sent and recorded.
func TestAStreamsTrailerLosesOnlyWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	conn := onServer(t, inMemory(t), ordersBy{many: func(stream grpc.ServerStreamingServer[testpb.Receipt]) error {
		stream.SetTrailer(metadata.MD{"x-note": {"a\nb"}, "X-Good": {"1"}})
		return stream.Send(&testpb.Receipt{Id: "1"})
	}})
	for range 2 {
		got := drained(t, conn)
		require.NoError(t, got.err)
		assert.Equal(t, []string{"1"}, got.trailer["x-good"])
		assert.NotContains(t, got.trailer, "x-note")
	}
}

func TestAUnaryHandlerIsToldOfMetadataThatCannotBeSent(t *testing.T) {
	t.Parallel()
	bad := metadata.Pairs("x-note", "a\nb")
	conn := onServer(t, inMemory(t), ordersBy{create: func(ctx context.Context) error {
		for _, err := range []error{grpc.SetHeader(ctx, bad), grpc.SendHeader(ctx, bad), grpc.SetTrailer(ctx, bad)} {
			assert.Equal(t, `rpc error: code = Internal desc = header key "x-note" contains value with non-printable ASCII characters`, err.Error())
		}
		assert.NoError(t, grpc.SetHeader(ctx, metadata.MD{"X-Note": {"in any case"}, "x-raw-bin": {"\x00\xff"}}))
		return grpc.SetTrailer(ctx, metadata.Pairs("x-good", "1"))
	}})
	for _, how := range []string{"executed", "replayed"} {
		var header, trailer metadata.MD
		receipt, err := testpb.NewOrdersClient(conn).Create(withTestKey(t), &testpb.Order{}, grpc.Header(&header), grpc.Trailer(&trailer))
		require.NoError(t, err)
		assert.Equal(t, "1", receipt.GetId())
		assert.Equal(t, []string{"in any case"}, header["x-note"])
		assert.Equal(t, []string{"\x00\xff"}, header["x-raw-bin"])
		assert.Equal(t, []string{"1"}, trailer["x-good"])
		assert.Equal(t, []string{how}, header["idempotency-status"])
	}
}

// beforeComplete does something before an answer is recorded.
type beforeComplete struct {
	store.Store
	do func()
}

func (s beforeComplete) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	if _, ok := event.(store.Complete); ok {
		s.do()
	}
	return s.Store.Apply(ctx, id, event)
}

// Z10: what a goroutine sends after the handler's end is in nobody's answer, also
// while that is still being recorded and the call is open.
func TestZ10_AMessageAfterTheHandlersEndReachesNobody(t *testing.T) {
	t.Parallel()
	goOn, sent := make(chan struct{}), make(chan error, 1)
	st := beforeComplete{inMemory(t), sync.OnceFunc(func() {
		close(goOn)
		assert.Equal(t, codes.Internal, status.Code(<-sent))
	})}
	conn := onServer(t, st, ordersBy{many: func(stream grpc.ServerStreamingServer[testpb.Receipt]) error {
		go func() {
			<-goOn
			sent <- stream.Send(&testpb.Receipt{Id: "too late"})
		}()
		return stream.Send(&testpb.Receipt{Id: "1"})
	}})
	for range 2 {
		got := drained(t, conn)
		require.NoError(t, got.err)
		assert.Equal(t, []string{"1"}, got.ids)
	}
}

// Z10: a goroutine that goes on sending while its handler returns is cut off
// somewhere; all callers get what came before that.
func TestZ10_WhatIsBeingSentAtTheHandlersEndIsInAllAnswersOrNone(t *testing.T) {
	t.Parallel()
	var ended sync.WaitGroup
	conn := onServer(t, inMemory(t), ordersBy{many: func(stream grpc.ServerStreamingServer[testpb.Receipt]) error {
		began := make(chan struct{})
		ended.Go(func() {
			first := sync.OnceFunc(func() { close(began) })
			for stream.Send(&testpb.Receipt{Id: "more"}) == nil {
				first()
			}
		})
		<-began
		return nil
	}})
	first := drained(t, conn)
	ended.Wait()
	require.NoError(t, first.err)
	assert.NotEmpty(t, first.ids)
	assert.Equal(t, first.ids, drained(t, conn).ids)
}

// A message that is encoded already is sent, and cannot be kept: the operation is
// done, and duplicates are told so.
func TestAPreparedMessageIsSentAndItsAnswerNotKept(t *testing.T) {
	t.Parallel()
	runs := 0
	conn := onServer(t, inMemory(t), ordersBy{many: func(stream grpc.ServerStreamingServer[testpb.Receipt]) error {
		runs++
		prepared := new(grpc.PreparedMsg)
		return errors.Join(
			stream.Send(&testpb.Receipt{Id: "1"}),
			prepared.Encode(stream, &testpb.Receipt{Id: "2"}),
			stream.SendMsg(prepared),
			stream.Send(&testpb.Receipt{Id: "3"}),
		)
	}})
	first := drained(t, conn)
	require.NoError(t, first.err)
	assert.Equal(t, []string{"1", "2", "3"}, first.ids)
	second := drained(t, conn)
	require.ErrorIs(t, idemgrpc.CheckError(second.err), idempotency.ErrResultUnavailable)
	assert.Empty(t, second.ids)
	assert.Equal(t, 1, runs)
}

// A handler for unknown services takes every call for a stream of requests. A
// protected one has one request: that is what its key is bound to.
func TestAProtectedMethodOfAnUnknownServiceHasOneRequest(t *testing.T) {
	t.Parallel()
	runs := 0
	conn := onServer(t, inMemory(t), nil, grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		runs++
		order, next := new(testpb.Order), new(testpb.Order)
		assert.NoError(t, ss.RecvMsg(order))
		assert.ErrorIs(t, ss.RecvMsg(next), io.EOF)
		return ss.SendMsg(&testpb.Receipt{Id: order.GetCurrency()})
	}))
	call := func(currencies ...string) (string, error) {
		ctx, cancel := context.WithCancel(withTestKey(t))
		defer cancel()
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/reprise.test.v1.Orders/Create")
		require.NoError(t, err)
		for _, currency := range currencies {
			require.NoError(t, stream.SendMsg(&testpb.Order{Currency: currency}))
		}
		require.NoError(t, stream.CloseSend())
		receipt := new(testpb.Receipt)
		err = stream.RecvMsg(receipt)
		return receipt.GetId(), err
	}
	for _, sent := range [][]string{nil, {"EUR", "small"}, {"EUR", "huge"}} {
		_, err := call(sent...)
		require.Equal(t, codes.Internal, status.Code(err), "%v", err)
		require.ErrorContains(t, err, "has one request message")
	}
	assert.Zero(t, runs)
	for range 2 {
		id, err := call("EUR")
		require.NoError(t, err)
		assert.Equal(t, "EUR", id)
	}
	assert.Equal(t, 1, runs)
}
