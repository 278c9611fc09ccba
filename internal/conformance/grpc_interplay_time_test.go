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
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

// deadlineSeen is a deadline as the interceptors outside know it, and as the handler does.
type deadlineSeen struct{ outside, inside time.Time }

// watchingDeadlines tells the deadlines of each call.
func watchingDeadlines(policy idempotency.Policy) (grpcSetup, <-chan deadlineSeen) {
	seen := make(chan deadlineSeen, 1)
	outside := make(chan time.Time, 1)
	watch := func(ctx context.Context, request any, _ *grpcgo.UnaryServerInfo, handler grpcgo.UnaryHandler) (any, error) {
		deadline, _ := ctx.Deadline()
		outside <- deadline
		return handler(ctx, request)
	}
	return grpcSetup{
		method:  []idempotency.OperationOption{policy},
		outside: []grpcgo.UnaryServerInterceptor{watch},
		create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
			deadline, _ := ctx.Deadline()
			seen <- deadlineSeen{<-outside, deadline}
			return &testpb.Receipt{}, nil
		},
	}, seen
}

// A deadline is how gRPC clients go away, and who goes away does not stop the
// handler unless the policy says so.
func TestG15_G16_ACallersDeadlineIsNotTheHandlers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		caller idempotency.CallerRule
		same   bool
	}{
		{"detached", idempotency.CallerDetached, false},
		{"attached", idempotency.CallerAttached, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			with, seen := watchingDeadlines(idempotency.Policy{Caller: test.caller})
			s := newGRPC(t, with)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			requireCode(t, s.create(ctx, newKey(), &testpb.Order{}), codes.OK)
			told := <-seen
			require.False(t, told.outside.IsZero(), "grpc-go has told the server")
			if test.same {
				assert.Equal(t, told.outside, told.inside)
			} else {
				assert.Zero(t, told.inside)
			}
			requireCode(t, s.create(t.Context(), newKey(), &testpb.Order{}), codes.OK)
			assert.Zero(t, <-seen, "none is made up")
		})
	}
}

// A limit of the server's own is set inside.
func TestG16_ADeadlineThatIsSetInsideIsTheHandlers(t *testing.T) {
	t.Parallel()
	limit := func(ctx context.Context, request any, _ *grpcgo.UnaryServerInfo, handler grpcgo.UnaryHandler) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		return handler(ctx, request)
	}
	s := newGRPC(t, grpcSetup{
		inside: []grpcgo.UnaryServerInterceptor{limit},
		create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
			<-ctx.Done()
			return nil, status.FromContextError(ctx.Err()).Err()
		},
	})
	requireCode(t, s.create(t.Context(), newKey(), &testpb.Order{}), codes.DeadlineExceeded)
}

// After the deadline the handler goes on, and what it answers then is what a
// retry gets.
func TestG12_G15_WhatAHandlerAnswersAfterTheDeadline(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer error
		class  idempotency.Class
	}{
		{"done", nil, idempotency.ClassRecord},
		{"declined", status.Error(codes.NotFound, "none"), idempotency.ClassRecord},
		{"not known", status.Error(codes.DeadlineExceeded, "the bank did not answer"), idempotency.ClassUnknown},
		{"nothing happened", status.Error(codes.Unavailable, "busy"), idempotency.ClassRelease},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			left, cause := make(chan struct{}), make(chan error, 2)
			s := newGRPC(t, grpcSetup{create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
				<-left
				cause <- ctx.Err()
				return &testpb.Receipt{Id: newKey()}, test.answer
			}})
			key := newKey()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			requireCode(t, s.create(ctx, key, &testpb.Order{}), codes.DeadlineExceeded)
			require.Equal(t, 1, s.Runs(), "the machine was too slow to begin in time")
			close(left)
			require.NoError(t, next(t, "the handler's end", cause))

			later, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			got := s.create(later, key, &testpb.Order{})
			switch test.class {
			case idempotency.ClassUnknown:
				requireRefusal(t, got, codes.FailedPrecondition, "OUTCOME_UNKNOWN")
				assert.Equal(t, 1, s.Runs())
			case idempotency.ClassRelease:
				requireCode(t, got, codes.Unavailable)
				assert.Equal(t, 2, s.Runs())
			default:
				requireCode(t, got, status.Code(test.answer))
				assert.True(t, got.replayed())
				assert.Equal(t, 1, s.Runs())
			}
		})
	}
}

// What a stream sends after its caller's deadline is recorded like the rest.
func TestG15_G18_AStreamGoesOnAfterItsCallersDeadline(t *testing.T) {
	t.Parallel()
	left, sent := make(chan struct{}), make(chan error, 2)
	s := newGRPC(t, grpcSetup{batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
		sent <- stream.Send(&testpb.Receipt{Id: "before"})
		<-left
		if _, has := stream.Context().Deadline(); has || stream.Context().Err() != nil {
			return status.Error(codes.Internal, "the deadline is the handler's")
		}
		sent <- stream.Send(&testpb.Receipt{Id: "after"})
		return nil
	}})
	key := newKey()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, first := s.many(ctx, key, &testpb.Batch{})
	requireCode(t, first, codes.DeadlineExceeded)
	require.NoError(t, next(t, "the first message", sent))
	close(left)
	require.NoError(t, next(t, "the second message", sent))

	receipts, again := s.many(t.Context(), key, &testpb.Batch{})
	requireCode(t, again, codes.OK)
	require.Len(t, receipts, 2)
	assert.Equal(t, "after", receipts[1].GetId())
	assert.Equal(t, 1, s.Runs())
}

// A key in the metadata, and then in a message that holds nothing else.
func TestG2_AMessageThatHoldsTheKeyAloneIsNoOtherRequest(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{method: []idempotency.OperationOption{idemgrpc.KeyField("meta.id")}})
	key := newKey()
	first := s.create(t.Context(), key, &testpb.Order{Amount: 1})
	requireSame(t, first, s.create(t.Context(), "", &testpb.Order{Amount: 1, Meta: &testpb.Meta{Id: key}}))
	requireSame(t, first, s.create(t.Context(), key, &testpb.Order{Amount: 1, Meta: &testpb.Meta{}}))
	requireRefusal(t, s.create(t.Context(), "", &testpb.Order{Amount: 1, Meta: &testpb.Meta{Id: key, Merchant: "m"}}),
		codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
	assert.Equal(t, 1, s.Runs())
}

// The time of a call runs out before the server comes to it. That ends this call
// and nothing else.
func TestG16_ACallWithNoTimeLeftIsOfNoConcernToOthers(t *testing.T) {
	t.Parallel()
	create, started, goOn := grpcHolding(t)
	answered := make(chan error, 1)
	late := func(ctx context.Context, request any, _ *grpcgo.UnaryServerInfo, handler grpcgo.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		if len(md.Get("x-late")) == 0 {
			return handler(ctx, request)
		}
		<-ctx.Done()
		response, err := handler(ctx, request)
		answered <- err
		return response, err
	}
	s := newGRPC(t, grpcSetup{create: create, outside: []grpcgo.UnaryServerInterceptor{late}})
	key := newKey()
	first := s.calling(t.Context(), key)
	next(t, "the handler", started)
	second := s.calling(t.Context(), key)
	haveCallsWaiting(t, 1, s)

	other := newKey()
	for _, k := range []string{key, other} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		requireCode(t, s.create(ctx, k, &testpb.Order{}, "x-late", "yes"), codes.DeadlineExceeded)
		err := next(t, "the server's answer", answered)
		if k == other { // for the duplicate it is IN_PROGRESS, which nobody hears
			assert.Equal(t, codes.DeadlineExceeded, status.Code(err))
			assert.Equal(t, 1, s.Runs(), "not started")
		}
	}
	haveCallsWaiting(t, 1, s)
	close(goOn)
	got := next(t, "the first", first)
	requireCode(t, got, codes.OK)
	requireSame(t, got, next(t, "the one that waited", second))
	assert.Equal(t, 1, s.Runs())
	requireCode(t, s.create(t.Context(), other, &testpb.Order{}), codes.OK)
	assert.Equal(t, 2, s.Runs(), "nothing is left of the claim that was not used")
}
