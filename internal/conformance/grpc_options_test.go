package conformance_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

func TestG14_UnderPassAHeaderGoesOutAtOnce(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{
		method: []idempotency.OperationOption{idempotency.Policy{Stream: idempotency.StreamPass}},
		create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
			return nil, errors.Join(grpcgo.SendHeader(ctx, nil), status.Error(codes.NotFound, "none"))
		},
	})
	key := newKey()
	first := s.create(t.Context(), key, &testpb.Order{})
	assert.Contains(t, first.Header, "content-type", "a header of its own, not trailers only")
	assert.Equal(t, []string{"executed"}, first.Trailer.Get("idempotency-status"))
	second := s.create(t.Context(), key, &testpb.Order{})
	requireSame(t, first, second)
	assert.True(t, second.replayed())
}

func TestG22_AStreamsReplayMeetsTheSendLimit(t *testing.T) {
	t.Parallel()
	sent := make(chan error, 2)
	s := newGRPC(t, grpcSetup{
		server: []grpcgo.ServerOption{grpcgo.MaxSendMsgSize(1000)},
		batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
			sent <- stream.Send(&testpb.Receipt{Id: strings.Repeat("x", 2000)})
			sent <- stream.Send(&testpb.Receipt{Id: "small"})
			return nil // it is done, whoever got it
		},
	})
	key := newKey()
	_, first := s.many(t.Context(), key, &testpb.Batch{})
	requireCode(t, first, codes.ResourceExhausted)
	assert.Equal(t, codes.ResourceExhausted, status.Code(next(t, "the first message", sent)))
	require.Error(t, next(t, "the second message", sent), "the call is over")
	_, second := s.many(t.Context(), key, &testpb.Batch{})
	requireCode(t, second, codes.ResourceExhausted)
	assert.Equal(t, first.Status.Message(), second.Status.Message())
	assert.Equal(t, 1, s.Runs())
}

// A handler that returns the error of a send does not say what was done. By its
// code, RESOURCE_EXHAUSTED, nothing would have happened.
func TestG22_AnErrorOfSendingSaysNothingOfWhatWasDone(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{
		server: []grpcgo.ServerOption{grpcgo.MaxSendMsgSize(1000)},
		batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
			return stream.Send(&testpb.Receipt{Id: strings.Repeat("x", 2000)})
		},
	})
	key := newKey()
	_, first := s.many(t.Context(), key, &testpb.Batch{})
	requireCode(t, first, codes.ResourceExhausted)
	_, second := s.many(t.Context(), key, &testpb.Batch{})
	requireRefusal(t, second, codes.FailedPrecondition, "OUTCOME_UNKNOWN")
	assert.Equal(t, 1, s.Runs())
}

func TestG18_UnderPassAStreamIsNotKept(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{many: []idempotency.OperationOption{idempotency.Policy{Stream: idempotency.StreamPass}}})
	key := newKey()
	batch := &testpb.Batch{Orders: []*testpb.Order{{}}}
	first, how := s.many(t.Context(), key, batch)
	require.Len(t, first, 1)
	assert.Equal(t, []string{"executed"}, how.Trailer.Get("idempotency-status"))
	_, again := s.many(t.Context(), key, batch)
	requireRefusal(t, again, codes.FailedPrecondition, "RESULT_UNAVAILABLE")
	assert.Equal(t, 1, s.Runs())
}

// A lease that is lost in the midst of a stream ends it: what was sent is not
// taken back, and another's answer is not mixed in.
func TestG18_ADeposedStreamEndsWithItsClaim(t *testing.T) {
	t.Parallel()
	sent, goOn := make(chan struct{}, 2), make(chan struct{})
	var runs atomic.Int64
	namespace := namespaceOf(t)
	with := grpcSetup{
		namespace: namespace,
		many:      []idempotency.OperationOption{idempotency.Policy{Orphan: idempotency.OrphanRerun, Lease: 300 * time.Millisecond, MaxHold: 300 * time.Millisecond}},
		batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
			first := runs.Add(1) == 1
			if err := stream.Send(&testpb.Receipt{Run: runs.Load()}); err != nil {
				return err
			}
			sent <- struct{}{}
			if first {
				<-goOn // deaf to the end of its context
			}
			return nil
		},
	}
	s := newGRPC(t, with)
	key := newKey()
	type streamed struct {
		receipts []*testpb.Receipt
		how      told
	}
	slow := make(chan streamed, 1)
	go func() {
		receipts, how := s.many(t.Context(), key, &testpb.Batch{})
		slow <- streamed{receipts, how}
	}()
	select {
	case <-sent:
	case early := <-slow:
		require.Fail(t, "the first call did not begin", early.how)
	}
	receipts, how := s.many(t.Context(), key, &testpb.Batch{}) // waits, then takes over
	requireCode(t, how, codes.OK)
	require.Len(t, receipts, 1)
	close(goOn)
	deposed := <-slow
	requireCode(t, deposed.how, codes.Aborted)
	assert.Equal(t, []string{"unknown"}, deposed.how.Trailer.Get("idempotency-status"))
	require.Len(t, deposed.receipts, 1)
	assert.EqualValues(t, 2, runs.Load())
}

func TestARevokedGrantKeepsTheGRPCAnswer(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	s := newGRPC(t, grpcSetup{options: []idemgrpc.Option{
		idemgrpc.Scope(grpcTenant),
		idemgrpc.ErrorDomain("payments.example.com"),
		idemgrpc.ReplayGuard(func(ctx context.Context, fullMethod string, recorded idempotency.Recorded) error {
			assert.Equal(t, "/reprise.test.v1.Orders/Create", fullMethod)
			assert.Equal(t, "reprise.test.v1.Orders/Create", recorded.Operation)
			assert.NoError(t, ctx.Err())
			if revoked.Load() {
				return errors.New("secret reason")
			}
			return nil
		}),
	}})
	key := newKey()
	first := s.create(t.Context(), key, &testpb.Order{})
	requireSame(t, first, s.create(t.Context(), key, &testpb.Order{}))
	revoked.Store(true)
	denied := s.create(t.Context(), key, &testpb.Order{})
	requireCode(t, denied, codes.PermissionDenied)
	assert.NotContains(t, denied.Status.Proto().String(), "secret")
	assert.Contains(t, denied.Status.Proto().String(), "payments.example.com")
	revoked.Store(false)
	requireSame(t, first, s.create(t.Context(), key, &testpb.Order{}))
	assert.Equal(t, 1, s.Runs())
}

func TestKeysByFunctionAndScopesByField(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{method: []idempotency.OperationOption{
		idempotency.Policy{Key: idempotency.KeyOptional},
		idemgrpc.ScopeField("meta.merchant"),
		idemgrpc.Exclude("items.trace"),
		idemgrpc.KeyFrom(func(_ context.Context, request proto.Message) (string, error) {
			order, _ := request.(*testpb.Order)
			if order.GetCurrency() == "bad" {
				return "", errors.New("secret reason")
			}
			return order.GetMeta().GetId(), nil
		}),
	}})
	order := func(merchant, id, trace string) *testpb.Order {
		return &testpb.Order{Meta: &testpb.Meta{Id: id, Merchant: merchant}, Items: []*testpb.Item{{Trace: trace}}}
	}
	first := s.create(t.Context(), "", order("m1", "k", "t1"))
	requireCode(t, first, codes.OK)
	requireSame(t, first, s.create(t.Context(), "ignored", order("m1", "k", "t2")))
	assert.Equal(t, 1, s.Runs())
	requireCode(t, s.create(t.Context(), "", order("m2", "k", "t")), codes.OK)
	assert.Equal(t, 2, s.Runs(), "another merchant")
	requireRefusal(t, s.create(t.Context(), "", order("", "k", "t")), codes.Internal, "SCOPE_MISSING")
	bad := order("m1", "k", "t")
	bad.Currency = "bad"
	refused := s.create(t.Context(), "", bad)
	requireRefusal(t, refused, codes.InvalidArgument, "IDEMPOTENCY_KEY_INVALID")
	assert.NotContains(t, refused.Status.Proto().String(), "secret")
	for range 2 {
		unkeyed := s.create(t.Context(), "", order("m1", "", ""))
		requireCode(t, unkeyed, codes.OK)
		assert.Equal(t, []string{"ignored"}, unkeyed.Trailer.Get("idempotency-status"))
	}
	assert.Equal(t, 4, s.Runs())
}

func TestDrainingIsUnavailable(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{})
	require.NoError(t, s.Guard.Shutdown(t.Context()))
	requireRefusal(t, s.create(t.Context(), newKey(), &testpb.Order{}), codes.Unavailable, "DRAINING")
}

func TestAnInterceptorTwiceInTheChainIsSaid(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{})
	twice, err := idemgrpc.New(s.Guard, idemgrpc.Scope(grpcTenant))
	require.NoError(t, err)
	require.NoError(t, twice.Protect(ordersService(), idemgrpc.Method("Create", s.with.method...)))
	unary := twice.Unary()
	info := &grpcgo.UnaryServerInfo{FullMethod: "/reprise.test.v1.Orders/Create"}
	_, err = unary(ctxWithKey(t), &testpb.Order{}, info, func(ctx context.Context, request any) (any, error) {
		return unary(ctx, request, info, func(context.Context, any) (any, error) {
			s.runs.Add(1)
			return &testpb.Receipt{}, nil
		})
	})
	require.Equal(t, codes.Internal, status.Code(err))
	require.ErrorContains(t, err, "twice")
	assert.Zero(t, s.Runs())
}

func ctxWithKey(t *testing.T) context.Context {
	t.Helper()
	return metadata.NewIncomingContext(t.Context(), metadata.Pairs("idempotency-key", newKey()))
}

// G2, G3: request_id wants a random UUID, the metadata takes any key.
func TestG2_G3_TheKeyFieldHasAFormatOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{method: []idempotency.OperationOption{
		idemgrpc.KeyField("request_id"), idemgrpc.KeyFieldFormat(idempotency.KeyUUIDv4),
	}})
	order := func(requestID string) *testpb.Order { return &testpb.Order{Amount: 1, RequestId: requestID} }
	first := s.create(t.Context(), "", order(strings.ToUpper(uuid)))
	requireCode(t, first, codes.OK)
	requireSame(t, first, s.create(t.Context(), "", order(uuid)))
	requireSame(t, first, s.create(t.Context(), strings.ToUpper(uuid), order("")))
	requireSame(t, first, s.create(t.Context(), strings.ToUpper(uuid), order(uuid)))
	assert.Equal(t, 1, s.Runs())
	requireRefusal(t, s.create(t.Context(), "Order-17", order(uuid)), codes.InvalidArgument, "IDEMPOTENCY_KEY_INVALID")
	requireRefusal(t, s.create(t.Context(), "", order("Order-17")), codes.InvalidArgument, "IDEMPOTENCY_KEY_INVALID")
	requireCode(t, s.create(t.Context(), "Order-17", order("")), codes.OK)
	assert.Equal(t, 2, s.Runs())
}

func TestG9_RetriesThatGRPCSpeaksOfAreCounted(t *testing.T) {
	t.Parallel()
	var retries []int
	s := newGRPC(t, grpcSetup{guard: []idempotency.Option{idempotency.WithTrace(idempotency.Trace{
		Finished: func(_ context.Context, f idempotency.Finished) { retries = append(retries, f.Retry) },
	})}})
	key := newKey()
	first := s.create(t.Context(), key, &testpb.Order{})
	for _, attempts := range []string{"2", "many", "-1"} {
		requireSame(t, first, s.create(t.Context(), key, &testpb.Order{}, "grpc-previous-rpc-attempts", attempts))
	}
	requireRefusal(t, s.create(t.Context(), key, &testpb.Order{Amount: 1}, "grpc-previous-rpc-attempts", "1"),
		codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
	assert.Equal(t, 1, s.Runs())
	require.NoError(t, s.Guard.Shutdown(t.Context())) // after which no hook runs
	assert.Equal(t, []int{0, 2, 0, 0, 1}, retries)
	for _, stats := range s.Guard.Stats() {
		if stats.Operation == "reprise.test.v1.Orders/Create" {
			assert.EqualValues(t, 2, stats.Retried)
		}
	}
}

func TestO10_O12_WhatAHandlerSaysAboutItsAnswer(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{
		options: []idemgrpc.Option{idemgrpc.GlobalScope(), idemgrpc.RecordMetadata("location")},
		method:  []idempotency.OperationOption{idempotency.Policy{MinRetention: time.Second}},
		create: func(ctx context.Context, order *testpb.Order) (*testpb.Receipt, error) {
			switch order.GetCurrency() {
			case "secret":
				idempotency.OmitBody(ctx)
			case "passing":
				idempotency.DoNotRecord(ctx)
			case "short":
				if err := idempotency.RetainFor(ctx, time.Second); err != nil {
					return nil, err
				}
			}
			return &testpb.Receipt{Id: newKey()}, grpcgo.SetHeader(ctx, metadata.Pairs("location", "/1"))
		},
	})
	says := func(currency, key string) told {
		return s.create(t.Context(), key, &testpb.Order{Currency: currency})
	}
	secret, passing, short := newKey(), newKey(), newKey()
	requireCode(t, says("secret", secret), codes.OK)
	kept := says("secret", secret)
	requireRefusal(t, kept, codes.FailedPrecondition, "RESULT_UNAVAILABLE")
	assert.Equal(t, []string{"/1"}, kept.Trailer.Get("location"), "what is kept beside a body")
	assert.Equal(t, 1, s.Runs())

	first := says("passing", passing)
	assert.Equal(t, []string{"unrecorded"}, first.Header.Get("idempotency-status"))
	requireCode(t, says("passing", passing), codes.OK)
	assert.Equal(t, 3, s.Runs(), "released")

	first = says("short", short)
	requireSame(t, first, says("short", short))
	require.Eventually(t, func() bool { return !says("short", short).replayed() }, 5*time.Second, 100*time.Millisecond)
	assert.Equal(t, 5, s.Runs())
}

func TestG10_TheRecordRuleDecidesWhatIsKept(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule  idempotency.RecordRule
		code  codes.Code
		class idempotency.Class
	}{
		{idempotency.RecordSuccess, codes.NotFound, idempotency.ClassRelease},
		{idempotency.RecordSuccess, codes.Unavailable, idempotency.ClassRelease},
		{idempotency.RecordSuccess, codes.Internal, idempotency.ClassUnknown},
		{idempotency.RecordAll, codes.Unavailable, idempotency.ClassRecord},
		{idempotency.RecordAll, codes.Internal, idempotency.ClassRecord},
		{idempotency.RecordAll, 77, idempotency.ClassRecord},
		{idempotency.RecordAll, 1 << 31, idempotency.ClassUnknown},
	}
	for _, test := range tests {
		t.Run(string(test.rule)+" "+test.code.String(), func(t *testing.T) {
			t.Parallel()
			requireClass(t, newGRPC(t, grpcSetup{
				method: []idempotency.OperationOption{idempotency.Policy{Record: test.rule}},
				create: failing(status.Error(test.code, "no")),
			}), test.class)
		})
	}
}

// okError is an error whose status says that there is none.
type okError struct{}

func (okError) Error() string              { return "all is well" }
func (okError) GRPCStatus() *status.Status { return status.New(codes.OK, "") }

func TestG12_AnErrorThatSaysOKIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{create: failing(okError{})})
	key := newKey()
	first := s.create(t.Context(), key, &testpb.Order{})
	assert.NotEqual(t, codes.OK, first.Status.Code(), "there is no message")
	requireRefusal(t, s.create(t.Context(), key, &testpb.Order{}), codes.FailedPrecondition, "OUTCOME_UNKNOWN")
	assert.Equal(t, 1, s.Runs())
}
