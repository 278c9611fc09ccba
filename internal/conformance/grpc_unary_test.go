package conformance_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

func TestG1_TheSameMessageTwice(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{})
	key := newKey()
	first := s.create(t.Context(), key, &testpb.Order{Amount: 5})
	requireCode(t, first, codes.OK)
	assert.Equal(t, []string{"executed"}, first.Header.Get("idempotency-status"))
	assert.False(t, first.replayed())
	second := s.create(t.Context(), `"`+key+`"`, &testpb.Order{Amount: 5})
	requireSame(t, first, second)
	assert.True(t, second.replayed())
	assert.Equal(t, []string{"replayed"}, second.Header.Get("idempotency-status"))
	assert.Len(t, second.Header.Get("idempotency-recorded-at"), 1)
	assert.Equal(t, 1, s.Runs())
}

const uuid = "5f0c6f5e-9d8b-4b6e-9c70-5b2d9c4f1a7e"

func TestG2_G3_G4_G5_F86_WhereTheKeyIs(t *testing.T) {
	t.Parallel()
	upper := strings.ToUpper(uuid)
	other := "6" + uuid[1:]
	tests := []struct {
		name     string
		metadata []string
		field    string
		want     string // reason; "" if it is the key of all
		place    string // the violation's field
	}{
		{"G2 in the field", nil, uuid, "", ""},
		{"G2 in the field, upper case", nil, upper, "", ""},
		{"G2 in the metadata, upper case", []string{upper}, "", "", ""},
		{"both, the same", []string{uuid}, upper, "", ""},
		{"G3 both, different", []string{uuid}, other, "IDEMPOTENCY_KEY_INVALID", "request_id"},
		{"G4 missing", nil, "", "IDEMPOTENCY_KEY_MISSING", "request_id"},
		{"G5 repeated", []string{uuid, uuid}, "", "IDEMPOTENCY_KEY_INVALID", "idempotency-key"},
		{"empty", []string{""}, "", "IDEMPOTENCY_KEY_INVALID", "idempotency-key"},
		{"no UUID in the field", nil, "key", "IDEMPOTENCY_KEY_INVALID", "request_id"},
		{"no UUID in the metadata", []string{"key"}, uuid, "IDEMPOTENCY_KEY_INVALID", "idempotency-key"},
	}
	s := newGRPC(t, grpcSetup{method: []idempotency.OperationOption{
		idempotency.Policy{KeyFormat: idempotency.KeyUUIDv4}, idemgrpc.KeyField("request_id"),
	}})
	first := s.create(t.Context(), uuid, &testpb.Order{Amount: 1})
	requireCode(t, first, codes.OK)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var pairs []string
			for _, value := range test.metadata {
				pairs = append(pairs, "idempotency-key", value)
			}
			got := s.create(t.Context(), "", &testpb.Order{Amount: 1, RequestId: test.field}, pairs...)
			if test.want == "" {
				requireSame(t, first, got)
				assert.True(t, got.replayed())
				return
			}
			requireRefusal(t, got, codes.InvalidArgument, test.want)
			bad, ok := detail[*errdetails.BadRequest](got.Status)
			require.True(t, ok)
			require.Len(t, bad.GetFieldViolations(), 1)
			assert.Equal(t, test.place, bad.GetFieldViolations()[0].GetField())
			assert.NotContains(t, got.Status.Proto().String(), uuid[1:])
		})
	}
	assert.Equal(t, 1, s.Runs())
}

func TestG6_AnotherMessageUnderTheKey(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{})
	key := newKey()
	requireCode(t, s.create(t.Context(), key, &testpb.Order{Amount: 1}), codes.OK)
	got := s.create(t.Context(), key, &testpb.Order{Amount: 2})
	requireRefusal(t, got, codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
	_, hasRetry := detail[*errdetails.RetryInfo](got.Status)
	assert.False(t, hasRetry)
	info, _ := detail[*errdetails.ErrorInfo](got.Status)
	assert.Equal(t, "true", info.GetMetadata()["safe_new_key"])
	assert.Equal(t, 1, s.Runs())
}

// grpcHolding makes a handler that tells when it has started and answers once it may.
func grpcHolding(t *testing.T) (create func(context.Context, *testpb.Order) (*testpb.Receipt, error), started chan context.Context, goOn chan struct{}) {
	t.Helper()
	started, goOn = make(chan context.Context, 16), make(chan struct{})
	return func(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
		started <- ctx
		select {
		case <-goOn:
		case <-t.Context().Done():
		}
		return &testpb.Receipt{Id: newKey()}, nil
	}, started, goOn
}

func TestG7_WhileItRuns(t *testing.T) {
	t.Parallel()
	create, started, goOn := grpcHolding(t)
	s := newGRPC(t, grpcSetup{create: create, method: []idempotency.OperationOption{idempotency.Policy{Wait: idempotency.NoWait}}})
	key := newKey()
	first := make(chan told, 1)
	go func() { first <- s.create(t.Context(), key, &testpb.Order{}) }()
	<-started
	got := s.create(t.Context(), key, &testpb.Order{})
	requireRefusal(t, got, codes.Aborted, "IN_PROGRESS")
	retry, ok := detail[*errdetails.RetryInfo](got.Status)
	require.True(t, ok)
	assert.GreaterOrEqual(t, retry.GetRetryDelay().AsDuration(), time.Second)
	assert.Equal(t, []string{"1000"}, got.Trailer.Get("grpc-retry-pushback-ms"))
	close(goOn)
	requireSame(t, <-first, s.create(t.Context(), key, &testpb.Order{}))
	assert.Equal(t, 1, s.Runs())
}

func TestG16_ADeadlineShorterThanTheWait(t *testing.T) {
	t.Parallel()
	create, started, goOn := grpcHolding(t)
	s := newGRPC(t, grpcSetup{create: create})
	key := newKey()
	first := make(chan told, 1)
	go func() { first <- s.create(t.Context(), key, &testpb.Order{}) }()
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	got := s.create(ctx, key, &testpb.Order{})
	requireRefusal(t, got, codes.Aborted, "IN_PROGRESS")
	close(goOn)
	requireCode(t, <-first, codes.OK)
	assert.Equal(t, 1, s.Runs())
}

const hedging = `{"methodConfig": [{"name": [{"service": "reprise.test.v1.Orders"}],
	"retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.05s", "maxBackoff": "0.1s", "backoffMultiplier": 1,
	"retryableStatusCodes": ["UNAVAILABLE", "ABORTED"]}}]}`

func TestG8_ConcurrentHedgesAllGetTheOneSuccess(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{create: func(context.Context, *testpb.Order) (*testpb.Receipt, error) {
		time.Sleep(300 * time.Millisecond)
		return &testpb.Receipt{Id: newKey()}, nil
	}})
	key := newKey()
	got := make([]told, 3)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i] = s.create(t.Context(), key, &testpb.Order{}) })
	}
	all.Wait()
	for _, g := range got {
		requireCode(t, g, codes.OK)
		requireSame(t, got[0], g)
		assert.Empty(t, g.Trailer.Get("grpc-retry-pushback-ms"))
	}
	assert.Equal(t, 1, s.Runs())
}

func TestG9_ATransparentRetryIsAnyDuplicate(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	failed := false
	s := newGRPC(t, grpcSetup{
		client: []grpcgo.DialOption{grpcgo.WithDefaultServiceConfig(hedging)},
		create: func(context.Context, *testpb.Order) (*testpb.Receipt, error) {
			mu.Lock()
			defer mu.Unlock()
			if !failed {
				failed = true
				return nil, status.Error(codes.Unavailable, "once")
			}
			return &testpb.Receipt{Id: newKey()}, nil
		},
	})
	key := newKey()
	first := s.create(t.Context(), key, &testpb.Order{}) // grpc-go retries by itself
	requireCode(t, first, codes.OK)
	assert.Equal(t, 2, s.Runs())
	second := s.create(t.Context(), key, &testpb.Order{}, "grpc-previous-rpc-attempts", "2")
	requireSame(t, first, second)
	assert.True(t, second.replayed())
	assert.Equal(t, 2, s.Runs())
}

// failing answers with the error that the test says.
func failing(err error) func(context.Context, *testpb.Order) (*testpb.Receipt, error) {
	return func(context.Context, *testpb.Order) (*testpb.Receipt, error) { return nil, err }
}

func TestG10_G11_G12_WhichCodesAreRecorded(t *testing.T) {
	t.Parallel()
	rich := func(code codes.Code) error {
		st, err := status.New(code, "no — such thing").WithDetails(
			&errdetails.ErrorInfo{Reason: "CARD_DECLINED", Domain: "example.com"},
			&errdetails.LocalizedMessage{Locale: "de", Message: "Nein"})
		require.NoError(t, err)
		return st.Err()
	}
	tests := []struct {
		row   string
		codes []codes.Code
		class idempotency.Class
	}{
		{"G10", []codes.Code{codes.NotFound, codes.FailedPrecondition, codes.AlreadyExists, codes.InvalidArgument, codes.OutOfRange}, idempotency.ClassRecord},
		{"G11", []codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented}, idempotency.ClassRelease},
		{"G12", []codes.Code{codes.Unknown, codes.Internal, codes.DataLoss, codes.Canceled, codes.DeadlineExceeded}, idempotency.ClassUnknown},
	}
	for _, test := range tests {
		for _, code := range test.codes {
			t.Run(test.row+" "+code.String(), func(t *testing.T) {
				t.Parallel()
				s := newGRPC(t, grpcSetup{create: failing(rich(code))})
				requireClass(t, s, test.class)
			})
		}
	}
	t.Run("G12 a plain Go error", func(t *testing.T) {
		t.Parallel()
		s := newGRPC(t, grpcSetup{create: failing(errors.New("broken pipe"))})
		requireClass(t, s, idempotency.ClassUnknown)
	})
	t.Run("the refusal of a service behind is no answer", func(t *testing.T) {
		t.Parallel()
		refused := &idempotency.Error{Code: idempotency.ErrOutcomeUnknown}
		s := newGRPC(t, grpcSetup{create: failing(idemgrpc.StatusOf(refused, idemgrpc.DefaultDomain, "").Err())})
		requireClass(t, s, idempotency.ClassUnknown)
	})
}

func requireClass(t *testing.T, s *grpcService, class idempotency.Class) {
	t.Helper()
	key := newKey()
	first := s.create(t.Context(), key, &testpb.Order{})
	assert.Empty(t, first.Header, "an error comes as trailers only")
	second := s.create(t.Context(), key, &testpb.Order{})
	switch class {
	case idempotency.ClassRecord:
		requireSame(t, first, second)
		assert.True(t, second.replayed())
		assert.Equal(t, []string{"executed"}, first.Trailer.Get("idempotency-status"))
		assert.Empty(t, second.Header)
		assert.Equal(t, 1, s.Runs())
	case idempotency.ClassRelease:
		requireSame(t, first, second)
		assert.False(t, second.replayed())
		assert.Equal(t, []string{"unrecorded"}, second.Trailer.Get("idempotency-status"))
		assert.Equal(t, 2, s.Runs())
	default:
		requireRefusal(t, second, codes.FailedPrecondition, "OUTCOME_UNKNOWN")
		assert.Equal(t, 1, s.Runs())
	}
}

func TestG24_PanicAndGoexitAreUnknown(t *testing.T) {
	t.Parallel()
	recovery := func(ctx context.Context, request any, _ *grpcgo.UnaryServerInfo, handler grpcgo.UnaryHandler) (_ any, err error) {
		done := make(chan struct{})
		var response any
		go func() { // a goroutine of its own, so that Goexit has an end, too
			defer close(done)
			err = status.Error(codes.DataLoss, "it did not return")
			defer func() { _ = recover() }()
			response, err = handler(ctx, request)
		}()
		<-done
		return response, err
	}
	for name, end := range map[string]func(){"panic": func() { panic("no") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newGRPC(t, grpcSetup{
				outside: []grpcgo.UnaryServerInterceptor{recovery},
				create: func(context.Context, *testpb.Order) (*testpb.Receipt, error) {
					end()
					return nil, nil
				},
			})
			key := newKey()
			requireCode(t, s.create(t.Context(), key, &testpb.Order{}), codes.DataLoss)
			requireRefusal(t, s.create(t.Context(), key, &testpb.Order{}), codes.FailedPrecondition, "OUTCOME_UNKNOWN")
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestG15_F86_ACallerWhoCancels(t *testing.T) {
	t.Parallel()
	create, started, goOn := grpcHolding(t)
	outside := make(chan context.Context, 2)
	watch := func(ctx context.Context, request any, _ *grpcgo.UnaryServerInfo, handler grpcgo.UnaryHandler) (any, error) {
		outside <- ctx
		return handler(ctx, request)
	}
	s := newGRPC(t, grpcSetup{create: create, outside: []grpcgo.UnaryServerInterceptor{watch}})
	key := newKey()
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan told, 1)
	go func() { first <- s.create(ctx, key, &testpb.Order{}) }()
	handler := <-started
	cancel()
	requireCode(t, <-first, codes.Canceled)
	<-(<-outside).Done() // the server knows
	assert.NoError(t, handler.Err(), "the handler is detached")
	close(goOn)
	got := s.create(t.Context(), key, &testpb.Order{})
	requireCode(t, got, codes.OK)
	assert.True(t, got.replayed())
	assert.Equal(t, 1, s.Runs())
}

func TestG20_EqualMessagesOfEveryKind(t *testing.T) {
	t.Parallel()
	s := newGRPC(t, grpcSetup{})
	key := newKey()
	order := everyKind(t)
	first := s.create(t.Context(), key, order)
	requireCode(t, first, codes.OK)
	for range 20 { // maps come in another order each time
		again := s.create(t.Context(), key, proto.CloneOf(order))
		requireSame(t, first, again)
	}
	changed := proto.CloneOf(order)
	changed.Counts["b"]++
	requireRefusal(t, s.create(t.Context(), key, changed), codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
	assert.Equal(t, 1, s.Runs())
}
