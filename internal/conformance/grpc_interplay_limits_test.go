package conformance_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
)

func largeReceipt(context.Context, *testpb.Order) (*testpb.Receipt, error) {
	return &testpb.Receipt{Id: newKey(), Data: []byte(strings.Repeat("x", 50_000))}, nil
}

func TestG22_ALimitIsThatOfWhoeverReplaysAndChangesNothing(t *testing.T) {
	t.Parallel()
	namespace := namespaceOf(t)
	roomy := newGRPC(t, grpcSetup{create: largeReceipt, namespace: namespace})
	tight := newGRPC(t, grpcSetup{create: largeReceipt, namespace: namespace, server: []grpcgo.ServerOption{grpcgo.MaxSendMsgSize(1000)}})
	fresh := tight.create(t.Context(), newKey(), &testpb.Order{})
	requireCode(t, fresh, codes.ResourceExhausted)

	key := newKey()
	first := roomy.create(t.Context(), key, &testpb.Order{})
	requireCode(t, first, codes.OK)
	there := tight.create(t.Context(), key, &testpb.Order{})
	requireCode(t, there, codes.ResourceExhausted)
	assert.Equal(t, fresh.Status.Message(), there.Status.Message(), "as for a fresh answer")
	requireSame(t, first, roomy.create(t.Context(), key, &testpb.Order{}))
	assert.Equal(t, 1, roomy.Runs())
	assert.Equal(t, 1, tight.Runs(), "of the fresh one")
}

func TestG22_AClientThatCannotTakeTheAnswerMayAskAgainWithMoreRoom(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{create: largeReceipt, client: []grpcgo.DialOption{withKeys(t)}})
	ctx := idemgrpc.WithKey(t.Context(), newKey())
	for range 2 { // the first execution and a replay
		requireCode(t, createOn(ctx, s.OrdersClient, &testpb.Order{}, grpcgo.MaxCallRecvMsgSize(1000)), codes.ResourceExhausted)
	}
	got := createOn(ctx, s.OrdersClient, &testpb.Order{})
	requireCode(t, got, codes.OK)
	assert.True(t, got.replayed())
	assert.Len(t, got.Receipt.GetData(), 50_000)
	assert.Equal(t, 1, s.Runs())
}

func TestG22_ARequestOverTheServersLimitClaimsNothing(t *testing.T) {
	t.Parallel()
	st := &countingStore{Store: newMemory(t)}
	s := newGRPC(t, grpcSetup{store: st, server: []grpcgo.ServerOption{grpcgo.MaxRecvMsgSize(1000)}})
	key := newKey()
	requireCode(t, s.create(t.Context(), key, &testpb.Order{Currency: strings.Repeat("x", 2000)}), codes.ResourceExhausted)
	assert.Zero(t, st.calls.Load())
	requireCode(t, s.create(t.Context(), key, &testpb.Order{}), codes.OK)
	assert.Equal(t, 1, s.Runs())
}

// recovering turns panics into errors of that code.
func recoveringWith(code codes.Code) grpcgo.UnaryServerInterceptor {
	return func(ctx context.Context, request any, _ *grpcgo.UnaryServerInfo, handler grpcgo.UnaryHandler) (_ any, err error) {
		defer func() {
			if recover() != nil {
				err = status.Error(code, "recovered")
			}
		}()
		return handler(ctx, request)
	}
}

// Outside, a recovery decides what the caller sees and nothing else. Inside, the
// engine sees its error only, whose code then tells the outcome: with a code
// that says that nothing happened, the handler runs again after its panic.
func TestG24_ARecoveryOutsideAndInside(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name            string
		outside, inside []grpcgo.UnaryServerInterceptor
		code            codes.Code
		runsAgain       bool
	}{
		{"outside, INTERNAL", []grpcgo.UnaryServerInterceptor{recoveringWith(codes.Internal)}, nil, codes.Internal, false},
		{"outside, UNAVAILABLE", []grpcgo.UnaryServerInterceptor{recoveringWith(codes.Unavailable)}, nil, codes.Unavailable, false},
		{"inside, INTERNAL", nil, []grpcgo.UnaryServerInterceptor{recoveringWith(codes.Internal)}, codes.Internal, false},
		{"inside, UNAVAILABLE", nil, []grpcgo.UnaryServerInterceptor{recoveringWith(codes.Unavailable)}, codes.Unavailable, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newGRPC(t, grpcSetup{
				outside: test.outside, inside: test.inside,
				create: func(context.Context, *testpb.Order) (*testpb.Receipt, error) { panic("no") },
			})
			key := newKey()
			requireCode(t, s.create(t.Context(), key, &testpb.Order{}), test.code)
			again := s.create(t.Context(), key, &testpb.Order{})
			if test.runsAgain {
				requireCode(t, again, test.code)
				assert.Equal(t, 2, s.Runs())
				return
			}
			requireRefusal(t, again, codes.FailedPrecondition, "OUTCOME_UNKNOWN")
			assert.Equal(t, 1, s.Runs())
		})
	}
}

// The header that goes out before an error keeps grpc-go from retrying; the
// outcome is the code's all the same.
func TestG14_AfterAHeaderTheOutcomeIsTheCodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code     codes.Code
		runs     int
		replayed bool
		reason   string // of the refusal that the second call gets
	}{
		{codes.Unavailable, 2, false, ""},
		{codes.NotFound, 1, true, ""},
		{codes.Internal, 1, false, "OUTCOME_UNKNOWN"},
	}
	for _, test := range tests {
		t.Run(test.code.String(), func(t *testing.T) {
			t.Parallel()
			s := newGRPC(t, grpcSetup{
				client: []grpcgo.DialOption{grpcgo.WithDefaultServiceConfig(hedging)},
				create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
					assert.NoError(t, grpcgo.SendHeader(ctx, nil))
					return nil, status.Error(test.code, "no")
				},
			})
			key := newKey()
			first := s.create(t.Context(), key, &testpb.Order{})
			requireCode(t, first, test.code)
			assert.Contains(t, first.Header, "content-type", "a header of its own")
			assert.Equal(t, 1, s.Runs())
			second := s.create(t.Context(), key, &testpb.Order{})
			assert.Equal(t, test.runs, s.Runs())
			if test.reason != "" {
				requireRefusal(t, second, codes.FailedPrecondition, test.reason)
				return
			}
			requireSame(t, first, second)
			assert.Equal(t, test.replayed, second.replayed())
		})
	}
}

func TestG23_ARedisThatIsDown(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	s := newGRPC(t, grpcSetup{redis: srv.Client(t)})
	key := newKey()
	requireCode(t, s.create(t.Context(), key, &testpb.Order{}), codes.OK)
	srv.Kill()
	for _, k := range []string{key, newKey()} { // one that is done, and one that is not
		got := s.create(t.Context(), k, &testpb.Order{})
		requireRefusal(t, got, codes.Unavailable, "STORE_UNAVAILABLE")
		retry, ok := detail[*errdetails.RetryInfo](got.Status)
		require.True(t, ok)
		assert.GreaterOrEqual(t, retry.GetRetryDelay().AsDuration(), time.Second)
		assert.Len(t, got.Trailer.Get("grpc-retry-pushback-ms"), 1)
	}
	assert.Equal(t, 1, s.Runs())
}
