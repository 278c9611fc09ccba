package conformance_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

// failingOnce answers UNAVAILABLE to the first call, with that pushback unless
// it is empty, and then succeeds. It tells the attempts that it saw.
func failingOnce(pushback string) (create func(context.Context, *testpb.Order) (*testpb.Receipt, error), saw chan idempotency.Info) {
	var runs atomic.Int64
	saw = make(chan idempotency.Info, 16)
	return func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
		info, _ := idempotency.FromContext(ctx)
		saw <- info
		if runs.Add(1) > 1 {
			return &testpb.Receipt{Id: newKey()}, nil
		}
		if pushback != "" {
			_ = grpcgo.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", pushback))
		}
		return nil, status.Error(codes.Unavailable, "once")
	}, saw
}

func TestF87_G9_AllAttemptsOfACallAreOneOperation(t *testing.T) {
	t.Parallel()
	create, saw := failingOnce("")
	var seen attemptLog
	s := newGRPC(t, grpcSetup{client: retryingClient(t), outside: seen.outside(), create: create})
	got := s.create(t.Context(), "", &testpb.Order{}) // the client draws the key
	requireCode(t, got, codes.OK)
	assert.Equal(t, []string{"executed"}, got.Header.Get("idempotency-status"))
	assert.Equal(t, 2, s.Runs())

	first, second := <-saw, <-saw
	assert.Equal(t, first.OperationID, second.OperationID)
	assert.Equal(t, 1, first.Attempt)
	assert.Equal(t, 2, second.Attempt)
	assert.Greater(t, second.Token, first.Token)
	attempts := seen.all()
	require.Len(t, attempts, 2)
	assert.NotEmpty(t, attempts[0].key)
	assert.Equal(t, attempts[0].key, attempts[1].key)
	assert.Equal(t, []string{"", "1"}, []string{attempts[0].previous, attempts[1].previous})

	requireCode(t, s.create(t.Context(), "", &testpb.Order{}), codes.OK)
	assert.Equal(t, 3, s.Runs(), "another call is another operation")
	assert.NotEqual(t, attempts[0].key, seen.all()[2].key)
}

// G9: a duplicate that says that it is one is counted as any is.
func TestG9_ARetriedCallIsCountedAsADuplicate(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{})
	key := newKey()
	requireCode(t, s.create(t.Context(), key, &testpb.Order{}), codes.OK)
	again := s.create(t.Context(), key, &testpb.Order{}, "grpc-previous-rpc-attempts", "2")
	assert.True(t, again.replayed())
	requireRefusal(t, s.create(t.Context(), key, &testpb.Order{Amount: 1}, "grpc-previous-rpc-attempts", "3"),
		codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
	fresh := s.create(t.Context(), newKey(), &testpb.Order{}, "grpc-previous-rpc-attempts", "2")
	assert.Equal(t, []string{"executed"}, fresh.Header.Get("idempotency-status"), "its predecessors may not have come here")
	stats := s.statsOf(t)
	assert.EqualValues(t, 2, stats.Executed)
	assert.EqualValues(t, 1, stats.Replayed)
	assert.Equal(t, map[idempotency.Code]int64{idempotency.ErrKeyReused: 1}, stats.Refused)
}

func TestG11_AHandlersOwnPushbackReachesTheClient(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, pushback string
		least          time.Duration
		runs           int
		code           codes.Code
	}{
		{"so much later", "600", 600 * time.Millisecond, 2, codes.OK}, // the policy itself would wait 120 ms at most
		{"never", "-1", 0, 1, codes.Unavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			create, _ := failingOnce(test.pushback)
			var seen attemptLog
			s := newGRPC(t, grpcSetup{client: retryingClient(t), outside: seen.outside(), create: create})
			requireCode(t, s.create(t.Context(), "", &testpb.Order{}), test.code)
			assert.Equal(t, test.runs, s.Runs())
			attempts := seen.all()
			require.Len(t, attempts, test.runs)
			assert.GreaterOrEqual(t, attempts[len(attempts)-1].at.Sub(attempts[0].at), test.least)
		})
	}
}

// The refusal says when to ask again, and the client's policy obeys: by itself
// it would have used up its attempts long before.
func TestG7_AClientsPolicyAsksAgainUntilItIsDone(t *testing.T) {
	t.Parallel()
	create, started, goOn := grpcHolding(t)
	var seen attemptLog
	s := newGRPC(t, grpcSetup{
		client: retryingClient(t), outside: seen.outside(), create: create,
		method: []idempotency.OperationOption{idempotency.Policy{Wait: idempotency.NoWait}},
	})
	key := newKey()
	first := s.calling(t.Context(), key)
	next(t, "the handler", started)
	second := s.calling(idemgrpc.WithKey(t.Context(), key), "")
	eventually(t, "it has asked twice, in vain", func() bool {
		return s.statsOf(t).Refused[idempotency.ErrInProgress] == 2
	})
	close(goOn)

	done := next(t, "the first call", first)
	requireCode(t, done, codes.OK)
	got := next(t, "the second call", second)
	requireSame(t, done, got)
	assert.True(t, got.replayed())
	assert.Equal(t, 1, s.Runs())
	attempts := seen.all()[1:]
	require.GreaterOrEqual(t, len(attempts), 3)
	for i, attempt := range attempts[1:] {
		assert.GreaterOrEqual(t, attempt.at.Sub(attempts[i].at), time.Second, "the pushback is a second at least")
		assert.Equal(t, key, attempt.key)
		assert.Equal(t, strconv.Itoa(i+1), attempt.previous)
	}
}

func TestG12_AClientsPolicyDoesNotAskAgainAboutAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	var seen attemptLog
	s := newGRPC(t, grpcSetup{
		client: retryingClient(t), outside: seen.outside(),
		create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
			if err := idempotency.MarkEffect(ctx); err != nil {
				return nil, err
			}
			return nil, status.Error(codes.Unavailable, "a proxy behind timed out")
		},
	})
	// The handler's code would be retried, but the effect was marked: the retry
	// is told so, and there is no third attempt.
	got := s.create(t.Context(), "", &testpb.Order{})
	requireRefusal(t, got, codes.FailedPrecondition, "OUTCOME_UNKNOWN")
	assert.Empty(t, got.Trailer.Get("grpc-retry-pushback-ms"))
	assert.Len(t, seen.all(), 2)
	assert.Equal(t, 1, s.Runs())
	requireRefusal(t, s.create(t.Context(), seen.all()[0].key, &testpb.Order{}), codes.FailedPrecondition, "OUTCOME_UNKNOWN")
	assert.Len(t, seen.all(), 3)
	assert.Equal(t, 1, s.Runs())
}
