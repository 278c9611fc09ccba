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
	"github.com/reprise-go/reprise/internal/testpb"
)

// A caller that goes away does not stop the handler. Its deadline does: the
// handler may heed it.
func TestG15_G16_ACallersDeadlineIsTheHandlers(t *testing.T) {
	t.Parallel()
	outside := make(chan time.Time, 1)
	watch := func(ctx context.Context, request any, _ *grpcgo.UnaryServerInfo, handler grpcgo.UnaryHandler) (any, error) {
		deadline, _ := ctx.Deadline()
		outside <- deadline
		return handler(ctx, request)
	}
	inside := make(chan time.Time, 1)
	s := newGRPC(t, grpcSetup{
		outside: []grpcgo.UnaryServerInterceptor{watch},
		create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
			deadline, _ := ctx.Deadline()
			inside <- deadline
			return &testpb.Receipt{}, nil
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	requireCode(t, s.create(ctx, newKey(), &testpb.Order{}), codes.OK)
	told := <-outside
	require.False(t, told.IsZero(), "grpc-go has told the server")
	assert.Equal(t, told, <-inside)
	requireCode(t, s.create(t.Context(), newKey(), &testpb.Order{}), codes.OK)
	assert.Zero(t, <-outside)
	assert.Zero(t, <-inside, "none is made up")
}

func TestG12_G15_WhatAHandlerMakesOfTheEndOfItsTime(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer func(context.Context) error
		class  idempotency.Class
	}{
		{"it finishes", func(context.Context) error { return nil }, idempotency.ClassRecord},
		{"it declines", func(context.Context) error { return status.Error(codes.NotFound, "none") }, idempotency.ClassRecord},
		{"it gives up", func(ctx context.Context) error { return status.FromContextError(ctx.Err()).Err() }, idempotency.ClassUnknown},
		{"it says that nothing happened", func(context.Context) error { return status.Error(codes.Unavailable, "busy") }, idempotency.ClassUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newGRPC(t, grpcSetup{create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
				<-ctx.Done()
				assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
				return &testpb.Receipt{Id: newKey()}, test.answer(ctx)
			}})
			key := newKey()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			requireCode(t, s.create(ctx, key, &testpb.Order{}), codes.DeadlineExceeded)
			later, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			got := s.create(later, key, &testpb.Order{})
			if test.class == idempotency.ClassUnknown {
				requireRefusal(t, got, codes.FailedPrecondition, "OUTCOME_UNKNOWN")
			} else {
				requireCode(t, got, status.Code(test.answer(t.Context())))
				assert.True(t, got.replayed())
			}
			assert.Equal(t, 1, s.Runs())
		})
	}
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
