package conformance_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

// declined is an error with details.
func declined(t *testing.T) error {
	t.Helper()
	st, err := status.New(codes.FailedPrecondition, "declined").WithDetails(&errdetails.ErrorInfo{Reason: "CARD_DECLINED", Domain: "example.com"})
	require.NoError(t, err)
	return st.Err()
}

// A header before an error would keep gRPC clients from what they do with errors.
func TestG18_AStreamThatFailedBeforeAMessageIsReplayedTrailersOnly(t *testing.T) {
	t.Parallel()
	end := declined(t)
	s := newGRPC(t, grpcSetup{
		options: []idemgrpc.Option{idemgrpc.GlobalScope(), idemgrpc.RecordMetadata("x-sum-bin")},
		batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
			stream.SetTrailer(metadata.Pairs("x-sum-bin", "\x00\xff"))
			return end
		},
	})
	key := newKey()
	_, first := s.many(t.Context(), key, &testpb.Batch{})
	assert.Empty(t, first.Header)
	assert.Equal(t, []string{"executed"}, first.Trailer.Get("idempotency-status"))
	receipts, second := s.many(t.Context(), key, &testpb.Batch{})
	requireSame(t, first, second)
	assert.Empty(t, receipts)
	assert.Empty(t, second.Header, "trailers only")
	assert.Equal(t, []string{"true"}, second.Trailer.Get("idempotent-replayed"))
	assert.Equal(t, []string{"replayed"}, second.Trailer.Get("idempotency-status"))
	assert.Len(t, second.Trailer.Get("idempotency-recorded-at"), 1)
	assert.Equal(t, []string{"\x00\xff"}, second.Trailer.Get("x-sum-bin"))
	assert.Equal(t, 1, s.Runs())
}

func TestG13_G18_MetadataOfAStreamIsReplayed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		messages int
		end      error
	}{
		{"messages", 2, nil},
		{"no messages", 0, nil},
		{"messages, then an error", 2, declined(t)},
		{"an error after a header", 0, declined(t)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newGRPC(t, grpcSetup{
				options: []idemgrpc.Option{idemgrpc.GlobalScope(), idemgrpc.RecordMetadata("location", "x-sum-bin")},
				batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
					assert.NoError(t, stream.SetHeader(metadata.Pairs("location", "/1", "x-private", "p")))
					assert.NoError(t, grpcgo.SetHeader(stream.Context(), metadata.Pairs("x-sum-bin", "\xff\x00", "x-sum-bin", "2")))
					for range test.messages {
						assert.NoError(t, stream.Send(&testpb.Receipt{Id: newKey()}))
					}
					stream.SetTrailer(metadata.Pairs("x-sum-bin", "\x00\xff"))
					assert.NoError(t, grpcgo.SetTrailer(stream.Context(), metadata.Pairs("location", "/2", "x-private", "p")))
					return test.end
				},
			})
			key := newKey()
			receipts, first := s.many(t.Context(), key, &testpb.Batch{})
			again, second := s.many(t.Context(), key, &testpb.Batch{})
			requireSame(t, first, second)
			require.Len(t, receipts, test.messages)
			require.Len(t, again, test.messages)
			for _, got := range []told{first, second} {
				assert.Equal(t, []string{"/1"}, got.Header.Get("location"))
				assert.Equal(t, []string{"\xff\x00", "2"}, got.Header.Get("x-sum-bin"))
				assert.Equal(t, []string{"/2"}, got.Trailer.Get("location"))
				assert.Equal(t, []string{"\x00\xff"}, got.Trailer.Get("x-sum-bin"))
			}
			assert.Equal(t, []string{"p"}, first.Header.Get("x-private"))
			assert.Empty(t, second.Header.Get("x-private"))
			assert.Empty(t, second.Trailer.Get("x-private"))
			assert.True(t, second.replayed())
			inHeader := test.messages > 0 || test.end == nil
			assert.Equal(t, inHeader, len(second.Header.Get("idempotency-status")) == 1)
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestG4_TheRequestOfAStreamThatIsNotProtectedReachesItsHandler(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, key, mark string
		policy          idempotency.Policy
	}{
		{"optional, no key", "", "ignored", idempotency.Policy{Key: idempotency.KeyOptional}},
		{"shadow, no key", "", "unprotected", shadowPolicy()},
		{"shadow, a wrong key", `"unterminated`, "unprotected", shadowPolicy()},
		{"off", "key", "ignored", idempotency.Policy{Key: idempotency.KeyOff}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			st := &countingStore{Store: newMemory(t)}
			s := newGRPC(t, grpcSetup{
				store: st,
				many:  []idempotency.OperationOption{test.policy},
				batch: func(batch *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
					for _, order := range batch.GetOrders() {
						if err := stream.Send(&testpb.Receipt{Run: order.GetAmount()}); err != nil {
							return err
						}
					}
					return nil
				},
			})
			for range 2 {
				stream, err := s.CreateMany(keyed(t.Context(), test.key), &testpb.Batch{Orders: []*testpb.Order{{Amount: 7}, {Amount: 8}}})
				require.NoError(t, err)
				for _, amount := range []int64{7, 8} {
					receipt, err := stream.Recv()
					require.NoError(t, err)
					assert.Equal(t, amount, receipt.GetRun())
				}
				_, err = stream.Recv()
				require.ErrorIs(t, err, io.EOF)
				assert.Equal(t, []string{test.mark}, stream.Trailer().Get("idempotency-status"))
			}
			assert.Equal(t, 2, s.Runs())
			assert.Zero(t, st.calls.Load())
		})
	}
}

func TestG18_F86_ClientStreamsRunUnprotected(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]idempotency.OperationOption{
		"off": idemgrpc.Off(), "pass": idempotency.Policy{Stream: idempotency.StreamPass},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st, runs := &countingStore{Store: newMemory(t)}, new(atomic.Int64)
			protect := guarded(t, st)
			require.NoError(t, protect.Protect(testpb.File_orders_proto.Services().ByName("Uploads"),
				idemgrpc.Method("Collect", said), idemgrpc.Method("Talk", said)))
			client := testpb.NewUploadsClient(serveGRPC(t, protect, func(server *grpcgo.Server) {
				testpb.RegisterUploadsServer(server, uploads{runs: runs})
			}))
			for _, test := range []struct {
				key   string
				marks []string
			}{{"k", []string{"ignored"}}, {"k", []string{"ignored"}}, {"", nil}} {
				checkCollect(t, client, test.key, test.marks)
				checkTalk(t, client, test.key, test.marks)
			}
			assert.EqualValues(t, 6, runs.Load())
			assert.Zero(t, st.calls.Load())
		})
	}
}

func checkCollect(t *testing.T, client testpb.UploadsClient, key string, marks []string) {
	t.Helper()
	stream, err := client.Collect(keyed(t.Context(), key))
	require.NoError(t, err)
	for _, amount := range []int64{1, 2, 3} {
		require.NoError(t, stream.Send(&testpb.Order{Amount: amount}))
	}
	receipt, err := stream.CloseAndRecv()
	require.NoError(t, err)
	assert.EqualValues(t, 6, receipt.GetRun())
	assert.Equal(t, marks, stream.Trailer().Get("idempotency-status"))
}

func checkTalk(t *testing.T, client testpb.UploadsClient, key string, marks []string) {
	t.Helper()
	stream, err := client.Talk(keyed(t.Context(), key))
	require.NoError(t, err)
	for _, amount := range []int64{1, 2, 3} { // each answer before the next question
		require.NoError(t, stream.Send(&testpb.Order{Amount: amount}))
		receipt, err := stream.Recv()
		require.NoError(t, err)
		assert.Equal(t, amount, receipt.GetRun())
	}
	require.NoError(t, stream.CloseSend())
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	assert.Equal(t, marks, stream.Trailer().Get("idempotency-status"))
}

// endings are what an attached handler makes of a caller who has gone.
func endings() []struct {
	name string
	end  error
	code codes.Code // of the next call
} {
	return []struct {
		name string
		end  error
		code codes.Code
	}{
		{"it gives up", status.FromContextError(context.Canceled).Err(), codes.FailedPrecondition}, // unknown
		{"it declines", status.Error(codes.NotFound, "none"), codes.NotFound},
		{"it finishes", nil, codes.OK},
	}
}

// requireEnded checks what the next call is told.
func requireEnded(t *testing.T, got told, code codes.Code) {
	t.Helper()
	if code == codes.FailedPrecondition {
		requireRefusal(t, got, code, "OUTCOME_UNKNOWN")
		return
	}
	requireCode(t, got, code)
	assert.True(t, got.replayed())
}

func TestG15_UnderAttachedACallerWhoCancelsCancelsTheHandler(t *testing.T) {
	t.Parallel()
	for _, test := range endings() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			started := make(chan struct{}, 1)
			s := newGRPC(t, grpcSetup{
				method: []idempotency.OperationOption{idempotency.Policy{Caller: idempotency.CallerAttached}},
				create: func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
					started <- struct{}{}
					<-ctx.Done()
					assert.ErrorIs(t, ctx.Err(), context.Canceled)
					return &testpb.Receipt{}, test.end
				},
			})
			key := newKey()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			first := s.calling(ctx, key)
			next(t, "the handler", started)
			cancel()
			requireCode(t, next(t, "the caller", first), codes.Canceled)
			requireEnded(t, s.create(t.Context(), key, &testpb.Order{}), test.code)
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestG15_G18_UnderAttachedACallerWhoCancelsCancelsTheStream(t *testing.T) {
	t.Parallel()
	for _, test := range endings() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newGRPC(t, grpcSetup{
				many: []idempotency.OperationOption{idempotency.Policy{Caller: idempotency.CallerAttached}},
				batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
					assert.NoError(t, stream.Send(&testpb.Receipt{Id: "1"}))
					<-stream.Context().Done()
					assert.ErrorIs(t, stream.Context().Err(), context.Canceled)
					assert.Error(t, stream.Send(&testpb.Receipt{Id: "2"}), "it hears of it")
					return test.end
				},
			})
			key := newKey()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stream, err := s.CreateMany(keyed(ctx, key), &testpb.Batch{})
			require.NoError(t, err)
			_, err = stream.Recv()
			require.NoError(t, err)
			cancel()
			for err == nil {
				_, err = stream.Recv()
			}
			require.Equal(t, codes.Canceled, status.Code(err))
			receipts, how := s.many(t.Context(), key, &testpb.Batch{})
			requireEnded(t, how, test.code)
			if how.replayed() {
				require.NotEmpty(t, receipts)
				assert.Equal(t, "1", receipts[0].GetId())
			}
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestG24_PanicAndGoexitInAStreamAreUnknown(t *testing.T) {
	t.Parallel()
	recovery := func(srv any, ss grpcgo.ServerStream, _ *grpcgo.StreamServerInfo, handler grpcgo.StreamHandler) error {
		err := errors.New("it did not return")
		done := make(chan struct{})
		go func() { // a goroutine of its own, so that Goexit has an end, too
			defer close(done)
			defer func() { _ = recover() }()
			err = handler(srv, ss)
		}()
		<-done
		return err
	}
	for name, end := range map[string]func(){"panic": func() { panic("no") }, "Goexit": runtime.Goexit} {
		for _, messages := range []int{0, 2} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newGRPC(t, grpcSetup{
					server: []grpcgo.ServerOption{grpcgo.ChainStreamInterceptor(recovery)},
					batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
						for range messages {
							assert.NoError(t, stream.Send(&testpb.Receipt{}))
						}
						end()
						return nil
					},
				})
				key := newKey()
				_, first := s.many(t.Context(), key, &testpb.Batch{})
				requireCode(t, first, codes.Unknown)
				receipts, second := s.many(t.Context(), key, &testpb.Batch{})
				requireRefusal(t, second, codes.FailedPrecondition, "OUTCOME_UNKNOWN")
				assert.Empty(t, receipts)
				assert.Equal(t, 1, s.Runs())
			})
		}
	}
}
