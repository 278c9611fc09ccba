package conformance_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// grpcSetup says how a gRPC service under test is made. The zero setup has the
// defaults, on the shared Redis, in a namespace of its own.
type grpcSetup struct {
	redis     *redis.Client
	store     store.Store
	namespace string
	guard     []idempotency.Option
	options   []idemgrpc.Option // instead of the scope by x-tenant
	method    []idempotency.OperationOption
	many      []idempotency.OperationOption
	create    func(context.Context, *testpb.Order) (*testpb.Receipt, error)
	batch     func(*testpb.Batch, grpcgo.ServerStreamingServer[testpb.Receipt]) error
	server    []grpcgo.ServerOption
	outside   []grpcgo.UnaryServerInterceptor // around ours
	inside    []grpcgo.UnaryServerInterceptor
	client    []grpcgo.DialOption
}

// grpcService is a protected service on a socket of its own, and a client.
type grpcService struct {
	testpb.OrdersClient

	Addr   string
	Conn   *grpcgo.ClientConn
	Guard  *idempotency.Guard
	Server *grpcgo.Server
	with   grpcSetup
	runs   atomic.Int64
}

// orders keeps client and server apart, whose methods have the same names.
type orders struct {
	testpb.UnimplementedOrdersServer
	s *grpcService
}

func (o orders) Create(ctx context.Context, order *testpb.Order) (*testpb.Receipt, error) {
	n := o.s.runs.Add(1)
	if o.s.with.create != nil {
		return o.s.with.create(ctx, order)
	}
	return &testpb.Receipt{Id: newKey(), Run: n}, nil
}

func (o orders) Change(ctx context.Context, order *testpb.Order) (*testpb.Receipt, error) {
	return o.Create(ctx, order)
}

func (o orders) Read(ctx context.Context, order *testpb.Order) (*testpb.Receipt, error) {
	return o.Create(ctx, order)
}

func (o orders) CreateMany(batch *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
	n := o.s.runs.Add(1)
	if o.s.with.batch != nil {
		return o.s.with.batch(batch, stream)
	}
	for range batch.GetOrders() {
		if err := stream.Send(&testpb.Receipt{Id: newKey(), Run: n}); err != nil {
			return err
		}
	}
	return nil
}

func ordersService() protoreflect.ServiceDescriptor {
	return testpb.File_orders_proto.Services().ByName("Orders")
}

func newGRPC(t *testing.T, with grpcSetup) *grpcService {
	t.Helper()
	s := &grpcService{with: with}
	var err error
	st := setup{redis: with.redis, store: with.store, namespace: with.namespace}.openStore(t)
	s.Guard, err = idempotency.New(st, append([]idempotency.Option{
		idempotency.WithLogger(slog.New(slog.DiscardHandler)),
		idempotency.WithStoreTimeout(3 * time.Second), // for machines that do much else
	}, with.guard...)...)
	require.NoError(t, err)
	if with.options == nil {
		with.options = []idemgrpc.Option{idemgrpc.Scope(grpcTenant)}
	}
	protect, err := idemgrpc.New(s.Guard, with.options...)
	require.NoError(t, err)
	require.NoError(t, protect.Protect(ordersService(),
		idemgrpc.Method("Create", with.method...), idemgrpc.Method("CreateMany", with.many...)))
	chain := slices.Concat(with.outside, []grpcgo.UnaryServerInterceptor{protect.Unary()}, with.inside)
	s.Server = grpcgo.NewServer(append(with.server,
		grpcgo.ChainUnaryInterceptor(chain...), grpcgo.ChainStreamInterceptor(protect.Stream()))...)
	testpb.RegisterOrdersServer(s.Server, orders{s: s})
	healthpb.RegisterHealthServer(s.Server, health.NewServer())
	reflection.Register(s.Server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.Addr = listener.Addr().String()
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Server.Serve(listener) }()
	t.Cleanup(func() { s.Server.Stop(); <-served; s.shutDown() })
	s.Conn = dialGRPC(t, s.Addr, with.client...)
	s.OrdersClient = testpb.NewOrdersClient(s.Conn)
	return s
}

// dialGRPC connects a client, without TLS unless the options say otherwise.
func dialGRPC(t *testing.T, target string, options ...grpcgo.DialOption) *grpcgo.ClientConn {
	t.Helper()
	plain := []grpcgo.DialOption{grpcgo.WithTransportCredentials(insecure.NewCredentials())}
	conn, err := grpcgo.NewClient(target, append(plain, options...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (s *grpcService) shutDown() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = s.Guard.Shutdown(ctx) // tests that care about it call it themselves
}

// Runs returns how often a handler was started.
func (s *grpcService) Runs() int { return int(s.runs.Load()) }

func grpcTenant(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if tenant := md.Get("x-tenant"); len(tenant) > 0 {
		return tenant[0], nil
	}
	return "P1", nil
}

// told is what a client was told in one call.
type told struct {
	Receipt         *testpb.Receipt
	Status          *status.Status
	Header, Trailer metadata.MD
}

// create calls with a key ("" for none) and further metadata, in pairs.
func (s *grpcService) create(ctx context.Context, key string, order *testpb.Order, pairs ...string) told {
	if key != "" {
		pairs = append(pairs, "idempotency-key", key)
	}
	return createOn(metadata.AppendToOutgoingContext(ctx, pairs...), s.OrdersClient, order)
}

// createOn is create on any client, with what the context carries.
func createOn(ctx context.Context, client testpb.OrdersClient, order *testpb.Order, options ...grpcgo.CallOption) told {
	var got told
	var err error
	got.Receipt, err = client.Create(ctx, order, append(options, grpcgo.Header(&got.Header), grpcgo.Trailer(&got.Trailer))...)
	got.Status = status.Convert(err)
	return got
}

// replayed reports whether it says so, wherever it should stand.
func (g told) replayed() bool {
	if g.Status.Code() == codes.OK {
		return fmt.Sprint(g.Header.Get("idempotent-replayed")) == "[true]"
	}
	return fmt.Sprint(g.Trailer.Get("idempotent-replayed")) == "[true]"
}

func detail[T proto.Message](st *status.Status) (T, bool) {
	for _, d := range st.Details() {
		if found, ok := d.(T); ok {
			return found, true
		}
	}
	var none T
	return none, false
}

// requireRefusal checks a refusal of the library's in all its parts.
func requireRefusal(t *testing.T, got told, code codes.Code, reason string) {
	t.Helper()
	require.Equal(t, code.String(), got.Status.Code().String(), got.Status.Message())
	info, ok := detail[*errdetails.ErrorInfo](got.Status)
	require.True(t, ok, "no ErrorInfo in %v", got.Status)
	assert.Equal(t, reason, info.GetReason())
	assert.Equal(t, idemgrpc.DefaultDomain, info.GetDomain())
	retryable := info.GetMetadata()["retryable"] == "true"
	_, hasRetry := detail[*errdetails.RetryInfo](got.Status)
	assert.Equal(t, retryable, hasRetry, "RetryInfo")
	assert.Equal(t, retryable, len(got.Trailer.Get("grpc-retry-pushback-ms")) == 1, "pushback")
	assert.Len(t, got.Trailer.Get("idempotency-status"), 1)
	assert.Empty(t, got.Header, "trailers only")
	assert.False(t, got.replayed())
}

func requireCode(t *testing.T, got told, code codes.Code) {
	t.Helper()
	require.Equal(t, code.String(), got.Status.Code().String(), got.Status.Message())
}

func requireSame(t *testing.T, want, got told) {
	t.Helper()
	requireCode(t, got, want.Status.Code())
	assert.True(t, proto.Equal(want.Status.Proto(), got.Status.Proto()), "status %v and %v", want.Status, got.Status)
	if want.Receipt == nil {
		assert.Nil(t, got.Receipt)
		return
	}
	a, err := proto.MarshalOptions{Deterministic: true}.Marshal(want.Receipt)
	require.NoError(t, err)
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(got.Receipt)
	require.NoError(t, err)
	assert.Equal(t, a, b)
}

func newMemory(t *testing.T) *memstore.Store {
	t.Helper()
	st, err := memstore.New()
	require.NoError(t, err)
	return st
}
