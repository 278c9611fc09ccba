package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

// slowStore does something before it takes an attempt's end.
type slowStore struct {
	store.Store
	meanwhile func()
}

func (s slowStore) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	switch event.(type) {
	case store.Complete, store.Fail, store.Release:
		s.meanwhile()
	}
	return s.Store.Apply(ctx, id, event)
}

// leftBehind is a goroutine that its handler leaves behind.
type leftBehind struct {
	goOn, ended chan struct{}
	once        sync.Once
	result      error
}

func newLeftBehind() *leftBehind {
	return &leftBehind{goOn: make(chan struct{}), ended: make(chan struct{})}
}

// start is called by the handler.
func (l *leftBehind) start(do func() error) {
	go func() {
		defer close(l.ended)
		defer func() {
			if p := recover(); p != nil {
				l.result = fmt.Errorf("it panicked: %v", p)
			}
		}()
		<-l.goOn
		l.result = do()
	}()
}

// run has it act once, and waits for its end.
func (l *leftBehind) run() {
	l.once.Do(func() { close(l.goOn) })
	<-l.ended
}

// store returns one during whose taking of the answer it acts, if it is to.
func (l *leftBehind) store(t *testing.T, early bool) store.Store {
	t.Helper()
	return slowStore{newMemory(t), func() {
		if early {
			l.run()
		}
	}}
}

// allFail makes an error of what should have been one and was none.
func allFail(errs map[string]error) error {
	var wrong []error
	for what, err := range errs {
		if err == nil {
			wrong = append(wrong, errors.New(what+" went through"))
		}
	}
	return errors.Join(wrong...)
}

// tooLate is what a goroutine tries after its handler's end.
func tooLate(ctx context.Context) map[string]error {
	md := metadata.Pairs("location", "/changed", "x-own", "changed")
	return map[string]error{
		"SetHeader":  grpcgo.SetHeader(ctx, md),
		"SetTrailer": grpcgo.SetTrailer(ctx, md),
		"SendHeader": grpcgo.SendHeader(ctx, md),
	}
}

// When a goroutine that the handler has left behind acts: while its answer is
// being recorded, and when the call is over.
func leftBehindWhen() map[string]bool {
	return map[string]bool{"while it is recorded": true, "after the call": false}
}

// recovered turns panics into errors, and lets the others pass.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = status.Error(codes.DataLoss, "recovered")
	}
}

func TestZ10_AGoroutineThatOutlivesAUnaryHandlerChangesNothing(t *testing.T) {
	t.Parallel()
	recovering := func(ctx context.Context, request any, _ *grpcgo.UnaryServerInfo, handler grpcgo.UnaryHandler) (_ any, err error) {
		defer recovered(&err)
		return handler(ctx, request)
	}
	for when, early := range leftBehindWhen() {
		for _, panics := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, panics %v", when, panics), func(t *testing.T) {
				t.Parallel()
				left := newLeftBehind()
				s := newGRPC(t, grpcSetup{
					store:   left.store(t, early),
					options: []idemgrpc.Option{idemgrpc.GlobalScope(), idemgrpc.RecordMetadata("location")},
					outside: []grpcgo.UnaryServerInterceptor{recovering},
					create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
						left.start(func() error { return allFail(tooLate(ctx)) })
						if panics {
							panic("no")
						}
						return &testpb.Receipt{}, grpcgo.SetHeader(ctx, metadata.Pairs("location", "/1"))
					},
				})
				key := newKey()
				first := s.create(t.Context(), key, &testpb.Order{})
				left.run()
				second := s.create(t.Context(), key, &testpb.Order{})
				requireLeftAlone(t, left, panics, first, second)
				assert.Equal(t, 1, s.Runs())
			})
		}
	}
}

// requireLeftAlone checks that what was left behind got errors, and that nobody
// got anything of it.
func requireLeftAlone(t *testing.T, left *leftBehind, panics bool, first, second told) {
	t.Helper()
	require.NoError(t, left.result)
	for _, got := range []told{first, second} {
		for _, md := range []metadata.MD{got.Header, got.Trailer} {
			assert.NotContains(t, md, "x-own")
			assert.NotContains(t, md.Get("location"), "/changed")
		}
	}
	if panics {
		requireCode(t, first, codes.DataLoss)
		requireRefusal(t, second, codes.FailedPrecondition, "OUTCOME_UNKNOWN")
		return
	}
	requireSame(t, first, second)
	assert.True(t, second.replayed())
	assert.Equal(t, []string{"/1"}, first.Header.Get("location"))
	assert.Equal(t, []string{"/1"}, second.Header.Get("location"))
}

func TestZ10_AGoroutineThatOutlivesAStreamsHandlerChangesNothing(t *testing.T) {
	t.Parallel()
	recovering := func(srv any, ss grpcgo.ServerStream, _ *grpcgo.StreamServerInfo, handler grpcgo.StreamHandler) (err error) {
		defer recovered(&err)
		return handler(srv, ss)
	}
	for when, early := range leftBehindWhen() {
		for _, panics := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, panics %v", when, panics), func(t *testing.T) {
				t.Parallel()
				left := newLeftBehind()
				s := newGRPC(t, grpcSetup{
					store:   left.store(t, early),
					options: []idemgrpc.Option{idemgrpc.GlobalScope(), idemgrpc.RecordMetadata("location")},
					server:  []grpcgo.ServerOption{grpcgo.ChainStreamInterceptor(recovering)},
					batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
						left.start(func() error { return allFail(tooLateOn(stream)) })
						assert.NoError(t, stream.SetHeader(metadata.Pairs("location", "/1")))
						assert.NoError(t, stream.Send(&testpb.Receipt{Id: "1"}))
						if panics {
							panic("no")
						}
						return nil
					},
				})
				key := newKey()
				receipts, first := s.many(t.Context(), key, &testpb.Batch{})
				left.run()
				again, second := s.many(t.Context(), key, &testpb.Batch{})
				requireLeftAlone(t, left, panics, first, second)
				require.Len(t, receipts, 1, "what it sent too late is not in the answer")
				assert.Equal(t, "1", receipts[0].GetId())
				assert.Len(t, again, map[bool]int{true: 0, false: 1}[panics])
				assert.Equal(t, 1, s.Runs())
			})
		}
	}
}

// tooLateOn is tooLate with all that a stream can do.
func tooLateOn(stream grpcgo.ServerStreamingServer[testpb.Receipt]) map[string]error {
	md := metadata.Pairs("location", "/changed", "x-own", "changed")
	errs := tooLate(stream.Context())
	errs["the stream's SetHeader"] = stream.SetHeader(md)
	errs["the stream's SendHeader"] = stream.SendHeader(md)
	errs["Send"] = stream.Send(&testpb.Receipt{Id: "too late"})
	stream.SetTrailer(md) // has no error
	return errs
}

// tellingError does something when it is first asked for its status, which is
// when the handler has just returned.
type tellingError struct {
	once *sync.Once
	then func()
}

func (tellingError) Error() string { return "none" }

func (e tellingError) GRPCStatus() *status.Status {
	e.once.Do(e.then)
	return status.New(codes.NotFound, "none")
}

// Between its handler's return and the reading of its answer there is no gap for
// what was left behind.
func TestZ10_AHandlersAccessEndsBeforeItsAnswerIsRead(t *testing.T) {
	t.Parallel()
	results := make(chan error, 1)
	s := newGRPC(t, grpcSetup{
		options: []idemgrpc.Option{idemgrpc.GlobalScope(), idemgrpc.RecordMetadata("location")},
		create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
			return nil, tellingError{new(sync.Once), func() { results <- allFail(tooLate(ctx)) }}
		},
		batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
			return tellingError{new(sync.Once), func() { results <- allFail(tooLateOn(stream)) }}
		},
	})
	key := newKey()
	first := s.create(t.Context(), key, &testpb.Order{})
	require.NoError(t, next(t, "the unary handler's error", results))
	second := s.create(t.Context(), key, &testpb.Order{})
	_, firstStream := s.many(t.Context(), key, &testpb.Batch{})
	require.NoError(t, next(t, "the stream handler's error", results))
	receipts, secondStream := s.many(t.Context(), key, &testpb.Batch{})
	assert.Empty(t, receipts)
	for _, got := range []told{first, second, firstStream, secondStream} {
		requireCode(t, got, codes.NotFound)
		assert.Empty(t, got.Header)
		assert.NotContains(t, got.Trailer, "location")
		assert.NotContains(t, got.Trailer, "x-own")
	}
	assert.True(t, secondStream.replayed())
	assert.Equal(t, 2, s.Runs())
}
