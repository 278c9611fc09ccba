package conformance_test

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

func everyKind(t *testing.T) *testpb.Order {
	t.Helper()
	extra, err := anypb.New(&testpb.Item{Name: "in an Any"})
	require.NoError(t, err)
	note := ""
	return &testpb.Order{
		Amount: -5, Currency: "EUR", Counts: map[string]int32{"a": 1, "b": 2, "c": 3, "d": 4},
		ItemsByShelf: map[int32]*testpb.Item{-1: {Name: "x"}, 7: {}, 8: {Count: 1}},
		Extra:        extra, Weight: math.NaN(), Height: float32(math.NaN()), Note: &note,
		Items: []*testpb.Item{{Name: "n", Inner: &testpb.Item{Count: 2}}}, Deltas: []int32{-1, 0, 1},
		Payment: &testpb.Order_Token{Token: []byte{0, 1}}, Size: testpb.Size_SIZE_SMALL, Gift: true,
		Serial: 1 << 63, Shelf: -1, Tags: []string{"t", ""}, Flags: map[bool]string{true: "y", false: "n"},
		Samples: []float64{math.Inf(1), math.NaN(), math.Copysign(0, -1)},
	}
}

func TestG13_F86_MetadataOfTheHandlerIsReplayed(t *testing.T) {
	t.Parallel()
	raw := string([]byte{0, 1, 0xff})
	s := newGRPC(t, grpcSetup{
		options: []idemgrpc.Option{idemgrpc.GlobalScope(), idemgrpc.RecordMetadata("location", "x-sum-bin")},
		create: func(ctx context.Context, order *testpb.Order) (*testpb.Receipt, error) {
			assert.NoError(t, grpcgo.SetHeader(ctx, metadata.Pairs("location", "/1", "x-private", "p", "idempotency-status", "fake")))
			assert.NoError(t, grpcgo.SetTrailer(ctx, metadata.Pairs("x-sum-bin", raw, "x-sum-bin", "2")))
			method, ok := grpcgo.Method(ctx)
			assert.True(t, ok)
			assert.Equal(t, "/reprise.test.v1.Orders/Create", method)
			if order.GetAmount() == 0 {
				return nil, status.Error(codes.NotFound, "none")
			}
			return &testpb.Receipt{}, nil
		},
	})
	for amount, code := range map[int64]codes.Code{1: codes.OK, 0: codes.NotFound} {
		key := newKey()
		first := s.create(t.Context(), key, &testpb.Order{Amount: amount})
		second := s.create(t.Context(), key, &testpb.Order{Amount: amount})
		requireCode(t, first, code)
		requireSame(t, first, second)
		assert.True(t, second.replayed())
		assert.Equal(t, []string{"p"}, first.Header.Get("x-private"))
		assert.Empty(t, second.Header.Get("x-private"))
		assert.NotContains(t, first.Header.Get("idempotency-status"), "fake")
		for _, got := range []told{first, second} {
			assert.Equal(t, []string{"/1"}, got.Header.Get("location"))
			assert.Equal(t, []string{raw, "2"}, got.Trailer.Get("x-sum-bin"))
		}
	}
}

func TestG14_AHeaderBeforeTheFailureIsNotRetriedByGRPC(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{
		client: []grpcgo.DialOption{grpcgo.WithDefaultServiceConfig(hedging)},
		create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
			assert.NoError(t, grpcgo.SendHeader(ctx, nil))
			assert.Error(t, grpcgo.SendHeader(ctx, nil), "once only")
			return nil, status.Error(codes.Unavailable, "down")
		},
	})
	requireCode(t, s.create(t.Context(), newKey(), &testpb.Order{}), codes.Unavailable)
	assert.Equal(t, 1, s.Runs())
}

func TestG17_MethodsWithoutSideEffectsAreLeftAlone(t *testing.T) {
	t.Parallel()
	st := &countingStore{Store: newMemory(t)}
	s := newGRPC(t, grpcSetup{store: st})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", "k")
	for range 2 {
		var trailer metadata.MD
		_, err := s.Read(ctx, &testpb.Order{}, grpcgo.Trailer(&trailer))
		require.NoError(t, err)
		assert.Equal(t, []string{"ignored"}, trailer.Get("idempotency-status"))
	}
	assert.Equal(t, 2, s.Runs())
	assert.Zero(t, st.calls.Load())
}

func (s *grpcService) many(ctx context.Context, key string, batch *testpb.Batch) ([]*testpb.Receipt, told) {
	var got told
	var receipts []*testpb.Receipt
	stream, err := s.CreateMany(metadata.AppendToOutgoingContext(ctx, "idempotency-key", key), batch)
	for err == nil {
		var receipt *testpb.Receipt
		if receipt, err = stream.Recv(); err == nil {
			receipts = append(receipts, receipt)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	got.Status, got.Trailer = status.Convert(err), stream.Trailer()
	got.Header, _ = stream.Header()
	return receipts, got
}

func TestG18_F86_StreamsAreReplayedInOrderWithTheirStatus(t *testing.T) {
	t.Parallel()
	three := &testpb.Batch{Orders: []*testpb.Order{{Amount: 1}, {Amount: 2}, {Amount: 3}}}
	for name, end := range map[string]error{"OK": nil, "declined": status.Error(codes.FailedPrecondition, "declined")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newGRPC(t, grpcSetup{batch: func(batch *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
				for range batch.GetOrders() {
					if err := stream.Send(&testpb.Receipt{Id: newKey()}); err != nil {
						return err
					}
				}
				return end
			}})
			key := newKey()
			first, how := s.many(t.Context(), key, three)
			require.Len(t, first, 3)
			assert.Equal(t, []string{"executed"}, how.Trailer.Get("idempotency-status"))
			second, again := s.many(t.Context(), key, three)
			requireSame(t, how, again)
			assert.Equal(t, []string{"true"}, again.Header.Get("idempotent-replayed"))
			require.Len(t, second, 3)
			for i := range first {
				assert.Equal(t, first[i].GetId(), second[i].GetId())
			}
			assert.Equal(t, 1, s.Runs())
			_, mismatch := s.many(t.Context(), key, &testpb.Batch{})
			requireRefusal(t, mismatch, codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
		})
	}
	t.Run("over the cap", func(t *testing.T) {
		t.Parallel()
		s := newGRPC(t, grpcSetup{many: []idempotency.OperationOption{idempotency.Policy{MaxResponseBody: 10}}})
		key := newKey()
		first, how := s.many(t.Context(), key, three)
		require.Len(t, first, 3)
		requireCode(t, how, codes.OK)
		_, again := s.many(t.Context(), key, three)
		requireRefusal(t, again, codes.FailedPrecondition, "RESULT_UNAVAILABLE")
		assert.Equal(t, 1, s.Runs())
	})
	t.Run("client streams are refused at registration", func(t *testing.T) {
		t.Parallel()
		s := newGRPC(t, grpcSetup{})
		protect, err := idemgrpc.New(s.Guard, idemgrpc.GlobalScope())
		require.NoError(t, err)
		uploads := testpb.File_orders_proto.Services().ByName("Uploads")
		err = protect.Protect(uploads)
		require.ErrorContains(t, err, "reprise.test.v1.Uploads/Collect")
		require.ErrorContains(t, err, "reprise.test.v1.Uploads/Talk")
		require.NoError(t, protect.Protect(uploads, idemgrpc.Method("Collect", idemgrpc.Off()),
			idemgrpc.Method("Talk", idempotency.Policy{Stream: idempotency.StreamPass})))
	})
}

func TestG18_AStreamWhoseCallerHasGoneIsRecorded(t *testing.T) {
	t.Parallel()
	sent, outside := make(chan struct{}), make(chan context.Context, 2)
	watch := func(srv any, ss grpcgo.ServerStream, _ *grpcgo.StreamServerInfo, handler grpcgo.StreamHandler) error {
		outside <- ss.Context()
		return handler(srv, ss)
	}
	s := newGRPC(t, grpcSetup{server: []grpcgo.ServerOption{grpcgo.ChainStreamInterceptor(watch)}, batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
		if err := stream.Send(&testpb.Receipt{Id: "1"}); err != nil {
			return err
		}
		close(sent)
		<-(<-outside).Done() // the server knows that the caller has gone
		assert.NoError(t, stream.Context().Err(), "the handler is detached")
		return stream.Send(&testpb.Receipt{Id: "2"})
	}})
	key := newKey()
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := s.CreateMany(metadata.AppendToOutgoingContext(ctx, "idempotency-key", key), &testpb.Batch{})
	require.NoError(t, err)
	<-sent
	cancel()
	for err == nil {
		_, err = stream.Recv()
	}
	second, how := s.many(t.Context(), key, &testpb.Batch{})
	requireCode(t, how, codes.OK)
	require.Len(t, second, 2)
	assert.Equal(t, "2", second[1].GetId())
	assert.Equal(t, 1, s.Runs())
}

func TestG22_AReplayMeetsTheSendLimit(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{
		server: []grpcgo.ServerOption{grpcgo.MaxSendMsgSize(1000)},
		create: func(context.Context, *testpb.Order) (*testpb.Receipt, error) {
			return &testpb.Receipt{Id: strings.Repeat("x", 2000)}, nil
		},
	})
	key := newKey()
	first := s.create(t.Context(), key, &testpb.Order{})
	requireCode(t, first, codes.ResourceExhausted)
	second := s.create(t.Context(), key, &testpb.Order{})
	requireCode(t, second, codes.ResourceExhausted)
	assert.Equal(t, first.Status.Message(), second.Status.Message())
	assert.Equal(t, 1, s.Runs())
}

type downStore struct{ store.Store }

func (downStore) Apply(context.Context, store.ID, store.Event) (store.Reply, error) {
	return store.Reply{}, store.ErrUnavailable
}

func TestG23_StoreDown(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{store: downStore{newMemory(t)}})
	requireRefusal(t, s.create(t.Context(), newKey(), &testpb.Order{}), codes.Unavailable, "STORE_UNAVAILABLE")
	assert.Zero(t, s.Runs())
	_, how := s.many(t.Context(), newKey(), &testpb.Batch{})
	requireRefusal(t, how, codes.Unavailable, "STORE_UNAVAILABLE")
	assert.Zero(t, s.Runs())
}

func TestG25_TwoPrincipals(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{})
	key := newKey()
	first := s.create(t.Context(), key, &testpb.Order{}, "x-tenant", "P1")
	second := s.create(t.Context(), key, &testpb.Order{Amount: 2}, "x-tenant", "P2")
	requireCode(t, first, codes.OK)
	requireCode(t, second, codes.OK)
	assert.False(t, second.replayed())
	assert.NotEqual(t, first.Receipt.GetId(), second.Receipt.GetId())
	assert.Equal(t, 2, s.Runs())
	requireRefusal(t, s.create(t.Context(), key, &testpb.Order{}, "x-tenant", ""), codes.Internal, "SCOPE_MISSING")
}

func TestG27_HealthAndReflectionAreNeverIntercepted(t *testing.T) {
	t.Parallel()
	st := &countingStore{Store: newMemory(t)}
	s := newGRPC(t, grpcSetup{store: st})
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", "k"), 10*time.Second)
	defer cancel()
	for range 2 {
		var header, trailer metadata.MD
		_, err := healthpb.NewHealthClient(s.Conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpcgo.Header(&header), grpcgo.Trailer(&trailer))
		require.NoError(t, err)
		assert.Empty(t, header.Get("idempotency-status"))
		assert.Empty(t, trailer.Get("idempotency-status"))
	}
	stream, err := reflectionpb.NewServerReflectionClient(s.Conn).ServerReflectionInfo(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{ListServices: "*"},
	}))
	listed, err := stream.Recv()
	require.NoError(t, err)
	assert.NotEmpty(t, listed.GetListServicesResponse().GetService())
	require.NoError(t, stream.CloseSend())
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	assert.Zero(t, st.calls.Load())
}
