package conformance_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/policypb"
	"github.com/reprise-go/reprise/internal/testpb"
)

func TestG25_AScopeFieldOfTheProtoKeepsMerchantsApart(t *testing.T) {
	t.Parallel()
	declared := map[string]*policypb.Policy{
		"Create":     {ScopeField: "meta.merchant"},
		"CreateMany": {ScopeField: "request_id"},
	}
	beside := idemgrpc.Method("Create", idemgrpc.Exclude("amount")) // the code says something else, and adds up
	s := serveDeclared(t, grpcSetup{}, declared, beside)
	order := func(merchant string) *testpb.Order { return &testpb.Order{Meta: &testpb.Meta{Merchant: merchant}} }
	key := newKey()
	first := s.create(t.Context(), key, order("m1"))
	requireCode(t, first, codes.OK)
	requireSame(t, first, s.create(t.Context(), key, order("m1")))
	for run, got := range []told{
		s.create(t.Context(), key, order("m2")),
		s.create(t.Context(), key, order("m1"), "x-tenant", "P2"),
	} {
		requireCode(t, got, codes.OK)
		assert.False(t, got.replayed())
		assert.EqualValues(t, run+2, got.Receipt.GetRun())
	}
	requireRefusal(t, s.create(t.Context(), key, &testpb.Order{}), codes.Internal, "SCOPE_MISSING")
	assert.Equal(t, 3, s.Runs())

	for i, merchant := range []string{"m1", "m2", "m1"} {
		_, how := s.many(t.Context(), key, &testpb.Batch{RequestId: merchant})
		requireCode(t, how, codes.OK)
		assert.Equal(t, i == 2, how.replayed(), merchant)
	}
	assert.Equal(t, 5, s.Runs())
}

// withCosts sets what methods name, and what nobody names.
func withCosts(ctx context.Context, order *testpb.Order) (*testpb.Receipt, error) {
	if err := grpcgo.SetHeader(ctx, metadata.Pairs("x-cost", "1", "x-private", "p")); err != nil {
		return nil, err
	}
	if err := grpcgo.SetTrailer(ctx, metadata.Pairs("x-proof-bin", "\x00\xff", "x-private", "p")); err != nil {
		return nil, err
	}
	if order.GetAmount() < 0 {
		return nil, status.Error(codes.OutOfRange, "negative")
	}
	return &testpb.Receipt{Id: newKey()}, nil
}

func TestG13_MetadataThatAMethodNamesIsReplayed(t *testing.T) {
	t.Parallel()
	names := []string{"X-Cost", "x-proof-bin"}
	declared := map[string]*policypb.Policy{"Create": {RecordMetadata: names}}
	half := map[string]*policypb.Policy{"Create": {RecordMetadata: names[:1]}}
	with := grpcSetup{create: withCosts}
	services := map[string]*grpcService{
		"in the .proto": serveDeclared(t, with, declared),
		"in the code":   serveDeclared(t, with, nil, idemgrpc.Method("Create", idempotency.Policy{Headers: names})),
		"in both":       serveDeclared(t, with, half, idemgrpc.Method("Create", idempotency.Policy{Headers: names[1:]})),
	}
	for where, s := range services {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			for _, amount := range []int64{1, -1} {
				key := newKey()
				first := s.create(t.Context(), key, &testpb.Order{Amount: amount})
				second := s.create(t.Context(), key, &testpb.Order{Amount: amount})
				requireSame(t, first, second)
				require.True(t, second.replayed())
				assert.Equal(t, []string{"1"}, second.Header.Get("x-cost"))
				assert.Equal(t, []string{"\x00\xff"}, second.Trailer.Get("x-proof-bin"))
				assert.Equal(t, []string{"p"}, first.Header.Get("x-private"))
				assert.Empty(t, second.Header.Get("x-private"))
				assert.Empty(t, second.Trailer.Get("x-private"))
			}
			assert.Equal(t, 2, s.Runs())
		})
	}
}

// A guard's list is for all transports: what only HTTP has a use for is left out,
// and does not spoil the record.
func TestG13_HeadersOfHTTPInTheGuardsPolicyAreNoMetadata(t *testing.T) {
	t.Parallel()
	listed := idempotency.Policy{Headers: []string{"Content-Type", "Date", "Content-Length", "X-Own"}}
	set := metadata.Pairs("content-type", "text/html", "date", "yesterday", "content-length", "7", "x-own", "kept")
	s := newGRPC(t, grpcSetup{
		guard: []idempotency.Option{idempotency.WithPolicy(listed)},
		create: func(ctx context.Context, order *testpb.Order) (*testpb.Receipt, error) {
			assert.NoError(t, grpcgo.SetHeader(ctx, set))
			assert.NoError(t, grpcgo.SetTrailer(ctx, set))
			if order.GetAmount() < 0 {
				return nil, status.Error(codes.OutOfRange, "negative")
			}
			return &testpb.Receipt{}, nil
		},
	})
	for _, amount := range []int64{1, -1} {
		key := newKey()
		first := s.create(t.Context(), key, &testpb.Order{Amount: amount})
		second := s.create(t.Context(), key, &testpb.Order{Amount: amount})
		requireSame(t, first, second)
		assert.True(t, second.replayed())
		assert.Equal(t, []string{"kept"}, second.Header.Get("x-own"))
		assert.Equal(t, []string{"kept"}, second.Trailer.Get("x-own"))
		assert.NotContains(t, second.Header, "date")
		assert.NotContains(t, second.Trailer, "date")
		assert.Equal(t, []string{"application/grpc"}, second.Header.Get("content-type"))
	}
	assert.Equal(t, 2, s.Runs())
}

func TestL5_ReconcileSaidOfAMethod(t *testing.T) {
	t.Parallel()
	found, err := idemgrpc.NewAnswer(idemgrpc.Settled{
		Messages: []proto.Message{&testpb.Receipt{Id: "found at the provider"}},
		Header:   metadata.Pairs("location", "/found"),
	})
	require.NoError(t, err)
	var orphan atomic.Value
	find := idempotency.Reconcile(func(_ context.Context, o idempotency.Orphaned) (idempotency.Finding, error) {
		orphan.Store(o)
		return idempotency.Happened(found), nil
	})
	lost := status.Error(codes.Internal, "the provider's answer did not come")
	s := newGRPC(t, grpcSetup{
		method: []idempotency.OperationOption{find},
		many:   []idempotency.OperationOption{find},
		create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
			assert.NoError(t, idempotency.MarkEffect(ctx))
			return nil, lost
		},
		batch: func(*testpb.Batch, grpcgo.ServerStreamingServer[testpb.Receipt]) error { return lost },
	})
	key := newKey()
	requireCode(t, s.create(t.Context(), key, &testpb.Order{}), codes.Internal)
	for range 2 { // the finding, and its record
		got := s.create(t.Context(), key, &testpb.Order{})
		requireCode(t, got, codes.OK)
		assert.True(t, got.replayed())
		assert.Equal(t, "found at the provider", got.Receipt.GetId())
		assert.Equal(t, []string{"/found"}, got.Header.Get("location"))
	}
	of, _ := orphan.Load().(idempotency.Orphaned)
	assert.Equal(t, createName, of.Operation)
	assert.Equal(t, "P1", of.Scope)
	assert.Equal(t, key, of.Key)
	assert.True(t, of.Marked)
	assert.Equal(t, 1, s.Runs())

	_, how := s.many(t.Context(), key, &testpb.Batch{})
	requireCode(t, how, codes.Internal)
	receipts, how := s.many(t.Context(), key, &testpb.Batch{})
	requireCode(t, how, codes.OK)
	require.Len(t, receipts, 1)
	assert.Equal(t, "found at the provider", receipts[0].GetId())
	assert.True(t, how.replayed())
	assert.Equal(t, 2, s.Runs())
}

func TestG23_AnOpenPolicyRunsUnprotectedAndSaysSo(t *testing.T) {
	t.Parallel()
	open := []idempotency.OperationOption{idempotency.Policy{StoreDown: idempotency.StoreDownOpen}}
	s := newGRPC(t, grpcSetup{store: downStore{newMemory(t)}, method: open, many: open,
		create: func(_ context.Context, order *testpb.Order) (*testpb.Receipt, error) {
			if order.GetAmount() < 0 {
				return nil, status.Error(codes.NotFound, "none")
			}
			return &testpb.Receipt{Id: newKey()}, nil
		}})
	key := newKey()
	for range 2 {
		got := s.create(t.Context(), key, &testpb.Order{})
		requireCode(t, got, codes.OK)
		assert.Equal(t, []string{"unprotected"}, got.Header.Get("idempotency-status"))
		assert.Empty(t, got.Trailer.Get("idempotency-status"))
		assert.False(t, got.replayed())
		got = s.create(t.Context(), key, &testpb.Order{Amount: -1})
		requireCode(t, got, codes.NotFound)
		assert.Empty(t, got.Header)
		assert.Equal(t, []string{"unprotected"}, got.Trailer.Get("idempotency-status"))
		receipts, how := s.many(t.Context(), key, &testpb.Batch{Orders: []*testpb.Order{{}, {}}})
		requireCode(t, how, codes.OK)
		assert.Len(t, receipts, 2)
		assert.Equal(t, []string{"unprotected"}, how.Trailer.Get("idempotency-status"))
	}
	assert.Equal(t, 6, s.Runs())
}

// What a service behind says about a request, in the domain that all of them were
// given, is not an answer to it; what others say in the same words is.
func TestG10_APassedOnRefusalIsKnownByTheConfiguredDomain(t *testing.T) {
	t.Parallel()
	const own = "payments.example.com"
	refusal := func(code idempotency.Code, domain string) error {
		return idemgrpc.StatusOf(&idempotency.Error{Code: code}, domain, "").Err()
	}
	tests := []struct {
		name  string
		err   error
		class idempotency.Class
	}{
		{"it knows no outcome", refusal(idempotency.ErrOutcomeUnknown, own), idempotency.ClassUnknown},
		{"it kept no answer", refusal(idempotency.ErrResultUnavailable, own), idempotency.ClassUnknown},
		{"it started nothing, and a retry would be told the same", refusal(idempotency.ErrKeyReused, own), idempotency.ClassRecord},
		{"the default domain is known, too", refusal(idempotency.ErrKeyReused, idemgrpc.DefaultDomain), idempotency.ClassRecord},
		{"somebody else's", refusal(idempotency.ErrOutcomeUnknown, "other.example.com"), idempotency.ClassRecord},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newGRPC(t, grpcSetup{
				options: []idemgrpc.Option{idemgrpc.GlobalScope(), idemgrpc.ErrorDomain(own)},
				create:  failing(test.err),
			})
			if test.class != idempotency.ClassUnknown {
				requireClass(t, s, test.class)
				return
			}
			key := newKey()
			first := s.create(t.Context(), key, &testpb.Order{})
			assert.True(t, proto.Equal(status.Convert(test.err).Proto(), first.Status.Proto()), "as the handler said it")
			second := s.create(t.Context(), key, &testpb.Order{})
			requireCode(t, second, codes.FailedPrecondition)
			info, _ := detail[*errdetails.ErrorInfo](second.Status)
			assert.Equal(t, "OUTCOME_UNKNOWN", info.GetReason())
			assert.Equal(t, own, info.GetDomain())
			assert.Equal(t, []string{"unknown"}, second.Trailer.Get("idempotency-status"))
			assert.False(t, second.replayed())
			assert.Equal(t, 1, s.Runs())
		})
	}
}
