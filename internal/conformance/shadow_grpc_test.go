package conformance_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

func TestShadow_GRPCRunsEveryCallAndCounts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		s := newGRPC(t, grpcSetup{store: st, guard: patient(), method: []idempotency.OperationOption{shadowPolicy()}})
		key := newKey()
		var first told
		for i, c := range []struct {
			key   string
			order *testpb.Order
			more  []string
		}{
			{key, &testpb.Order{Amount: 1}, nil},
			{key, &testpb.Order{Amount: 1}, nil},
			{key, &testpb.Order{Amount: 2}, nil},
			{"", &testpb.Order{Amount: 1}, nil},
			{`"unterminated`, &testpb.Order{Amount: 1}, nil},
			{key, &testpb.Order{Amount: 1}, []string{"x-tenant", ""}},
		} {
			got := s.create(t.Context(), c.key, c.order, c.more...)
			requireCode(t, got, codes.OK)
			assert.Equal(t, int64(i+1), got.Receipt.GetRun())
			marks := append(got.Header.Get("idempotency-status"), got.Trailer.Get("idempotency-status")...)
			assert.Equal(t, []string{"unprotected"}, marks)
			assert.False(t, got.replayed())
			if i == 0 {
				first = got
			}
		}
		assert.Equal(t, idempotency.ShadowStats{Executed: 1, Replayed: 1, Refused: map[idempotency.Code]int64{
			idempotency.ErrKeyReused: 1, idempotency.ErrKeyMissing: 1, idempotency.ErrKeyInvalid: 1, idempotency.ErrScopeMissing: 1,
		}}, wouldBe(s.Guard, grpcOperation))
		require.NoError(t, s.Guard.Override(grpcOperation, idempotency.Policy{Key: idempotency.KeyRequired}))
		again := s.create(t.Context(), key, &testpb.Order{Amount: 1})
		requireSame(t, first, again)
		assert.True(t, again.replayed())
		assert.Equal(t, 6, s.Runs())
	})
}

func TestShadow_GRPCErrorsAndHeadersAreTheHandlersOwn(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{guard: patient(), method: []idempotency.OperationOption{shadowPolicy()},
		create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
			assert.NoError(t, idempotency.MarkEffect(ctx))
			assert.NoError(t, grpcgo.SendHeader(ctx, metadata.Pairs("x-own", "header")))
			assert.NoError(t, grpcgo.SetTrailer(ctx, metadata.Pairs("x-own", "trailer")))
			return nil, status.Error(codes.Unavailable, "busy")
		}})
	key := newKey()
	for range 2 {
		got := s.create(t.Context(), key, &testpb.Order{})
		requireCode(t, got, codes.Unavailable)
		assert.Equal(t, []string{"header"}, got.Header.Get("x-own"))
		assert.Equal(t, []string{"trailer"}, got.Trailer.Get("x-own"))
		assert.Equal(t, []string{"unprotected"}, got.Trailer.Get("idempotency-status"))
	}
	assert.Equal(t, idempotency.ShadowStats{
		Executed: 1, Refused: map[idempotency.Code]int64{idempotency.ErrOutcomeUnknown: 1},
	}, wouldBe(s.Guard, grpcOperation))
}

func TestShadow_GRPCStreamsPassAndAreRecorded(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		s := newGRPC(t, grpcSetup{store: st, guard: patient(), many: []idempotency.OperationOption{shadowPolicy()}})
		batch := &testpb.Batch{Orders: []*testpb.Order{{Amount: 1}, {Amount: 2}}}
		key := newKey()
		first, got := s.many(t.Context(), key, batch)
		requireCode(t, got, codes.OK)
		assert.Equal(t, []string{"unprotected"}, got.Trailer.Get("idempotency-status"))
		second, got := s.many(t.Context(), key, batch)
		requireCode(t, got, codes.OK)
		assert.Len(t, second, 2)
		assert.Equal(t, int64(2), second[0].GetRun())
		_, got = s.many(t.Context(), `"unterminated`, batch)
		requireCode(t, got, codes.OK)
		assert.Equal(t, []string{"unprotected"}, got.Trailer.Get("idempotency-status"))

		operation := "reprise.test.v1.Orders/CreateMany"
		assert.Equal(t, idempotency.ShadowStats{
			Executed: 1, Replayed: 1, Refused: map[idempotency.Code]int64{idempotency.ErrKeyInvalid: 1},
		}, wouldBe(s.Guard, operation))
		require.NoError(t, s.Guard.Override(operation, idempotency.Policy{Key: idempotency.KeyRequired}))
		replayed, got := s.many(t.Context(), key, batch)
		requireCode(t, got, codes.OK)
		require.Len(t, replayed, 2)
		for i := range first {
			assert.Equal(t, first[i].GetId(), replayed[i].GetId())
		}
		assert.Equal(t, 3, s.Runs())
	})
}

func TestShadow_GRPCLosesNothingByTheStore(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	s := newGRPC(t, grpcSetup{redis: srv.Client(t), method: []idempotency.OperationOption{shadowPolicy()}})
	srv.Pause()
	began := time.Now()
	requireCode(t, s.create(t.Context(), newKey(), &testpb.Order{}), codes.OK)
	assert.Less(t, time.Since(began), 2*time.Second, "100 ms, on a slow machine")
	assert.Equal(t, map[idempotency.Code]int64{idempotency.ErrStoreUnavailable: 1}, wouldBe(s.Guard, grpcOperation).Refused)
}

// A header that the handler sends goes out at once, also in a unary call.
func TestShadow_GRPCHeadersPass(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	s := newGRPC(t, grpcSetup{guard: patient(), method: []idempotency.OperationOption{shadowPolicy()},
		create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
			assert.NoError(t, grpcgo.SendHeader(ctx, metadata.Pairs("x-own", "header")))
			select {
			case <-goOn:
			case <-ctx.Done():
			}
			return &testpb.Receipt{Id: "r"}, nil
		}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", newKey())
	stream, err := s.Conn.NewStream(ctx, &grpcgo.StreamDesc{}, "/"+grpcOperation)
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(&testpb.Order{}))
	require.NoError(t, stream.CloseSend())
	header, err := stream.Header() // the handler is still at work
	require.NoError(t, err)
	assert.Equal(t, []string{"header"}, header.Get("x-own"))
	close(goOn)
	got := new(testpb.Receipt)
	require.NoError(t, stream.RecvMsg(got))
	assert.Equal(t, "r", got.GetId())
}

// A handler hears of a caller who has gone as it would without protection, though
// the policy says that it does not.
func TestShadow_GRPCHandlersHearOfCallersWhoHaveGone(t *testing.T) {
	t.Parallel()
	heard := make(chan error, 1)
	s := newGRPC(t, grpcSetup{guard: patient(), many: []idempotency.OperationOption{shadowPolicy()},
		batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
			for {
				if err := stream.Send(&testpb.Receipt{Data: make([]byte, 1<<10)}); err != nil {
					heard <- err
					return err
				}
			}
		}})
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", newKey()))
	defer cancel()
	stream, err := s.CreateMany(ctx, &testpb.Batch{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.NoError(t, err)
	cancel()
	select {
	case err := <-heard:
		assert.Error(t, err)
	case <-time.After(10 * time.Second):
		require.Fail(t, "the handler was not told")
	}
}
