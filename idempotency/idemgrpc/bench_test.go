package idemgrpc_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
	"github.com/reprise-go/reprise/store/redisstore"
)

// What the interceptor adds to a call of grpc-go over loopback, whose handler
// does nothing: with the method off, and with a store in memory and in Redis;
// and the same by HTTP on the same Redis, where the store is asked the same. Read
// each transport's figures against its own bare ones, of the same run: absolute
// ones say more about the machine.
func BenchmarkUnary(b *testing.B) {
	each(b, func(b *testing.B, call func(context.Context, string) error, key func() string) {
		b.ReportAllocs()
		for b.Loop() {
			require.NoError(b, call(b.Context(), key()))
		}
	})
}

// BenchmarkUnaryParallel is BenchmarkUnary with 64 callers to a core. Replays of
// one key at once ask the store once for all of them, since duplicates wait.
func BenchmarkUnaryParallel(b *testing.B) {
	each(b, func(b *testing.B, call func(context.Context, string) error, key func() string) {
		b.ReportAllocs()
		b.SetParallelism(64)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := call(b.Context(), key()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// each runs a benchmark for every way of calling. The keys are all different, or
// one whose answer is recorded.
func each(b *testing.B, run func(b *testing.B, call func(context.Context, string) error, key func() string)) {
	inRedis := benchRedis(b)
	for _, way := range []struct {
		name string
		call func(context.Context, string) error
		keys bool // first execution and replay are two
	}{
		{"grpc/bare", benchCalls(b, nil), false},
		{"grpc/off", benchCalls(b, benchMemory(b), idemgrpc.Off()), false},
		{"grpc/memory", benchCalls(b, benchMemory(b)), true},
		{"grpc/redis", benchCalls(b, inRedis), true},
		{"http/bare", benchRequests(b, nil), false},
		{"http/redis", benchRequests(b, inRedis), true},
	} {
		var n atomic.Int64
		fresh := func() string { return way.name + "-" + strconv.FormatInt(n.Add(1), 10) }
		if !way.keys {
			b.Run(way.name, func(b *testing.B) { run(b, way.call, fresh) })
			continue
		}
		b.Run(way.name+"/first", func(b *testing.B) { run(b, way.call, fresh) })
		b.Run(way.name+"/replay", func(b *testing.B) {
			same := func() string { return way.name }
			require.NoError(b, way.call(b.Context(), same()))
			run(b, way.call, same)
		})
	}
}

const benchAnswer = 1 << 10

func benchMemory(b *testing.B) *idempotency.Guard {
	b.Helper()
	st, err := memstore.New(memstore.MaxRecords(1<<30), memstore.MaxBytes(1<<40))
	require.NoError(b, err)
	return benchGuard(b, st)
}

func benchRedis(b *testing.B) *idempotency.Guard {
	b.Helper()
	st, err := redisstore.New(redistest.Start(b).Client(b))
	require.NoError(b, err)
	b.Cleanup(func() { _ = st.Close() })
	return benchGuard(b, st)
}

func benchGuard(b *testing.B, st store.Store) *idempotency.Guard {
	b.Helper()
	guard, err := idempotency.New(st, idempotency.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, guard.Shutdown(context.WithoutCancel(b.Context()))) })
	return guard
}

// benchOrders is a handler that does nothing.
type benchOrders struct {
	testpb.UnimplementedOrdersServer
	id string
}

func (o benchOrders) Create(context.Context, *testpb.Order) (*testpb.Receipt, error) {
	return &testpb.Receipt{Id: o.id}, nil
}

// benchCalls serves over loopback, without the interceptor if there is no guard,
// and returns what calls with a key.
func benchCalls(b *testing.B, guard *idempotency.Guard, options ...idempotency.OperationOption) func(context.Context, string) error {
	b.Helper()
	var serverOptions []grpc.ServerOption
	if guard != nil {
		protect, err := idemgrpc.New(guard, idemgrpc.GlobalScope())
		require.NoError(b, err)
		require.NoError(b, protect.Protect(testpb.File_orders_proto.Services().ByName("Orders"), idemgrpc.Method("Create", options...)))
		serverOptions = append(serverOptions, grpc.ChainUnaryInterceptor(protect.Unary()))
	}
	server := grpc.NewServer(serverOptions...)
	testpb.RegisterOrdersServer(server, benchOrders{id: strings.Repeat("x", benchAnswer)})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close(); server.Stop(); <-served })
	client, order := testpb.NewOrdersClient(conn), &testpb.Order{Amount: 1999, Currency: "EUR"}
	return func(ctx context.Context, key string) error {
		_, err := client.Create(metadata.AppendToOutgoingContext(ctx, "idempotency-key", key), order)
		return err
	}
}

// benchRequests is benchCalls by HTTP.
func benchRequests(b *testing.B, guard *idempotency.Guard) func(context.Context, string) error {
	b.Helper()
	mux, answer := http.NewServeMux(), strings.Repeat("x", benchAnswer)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, answer)
	})
	if guard == nil {
		mux.Handle("POST /orders", handler)
	} else {
		mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
		require.NoError(b, err)
		require.NoError(b, mw.Handle(mux, "POST /orders", handler, idempotency.Policy{Wait: idemgrpc.DefaultWait}))
	}
	server := httptest.NewServer(mux)
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	b.Cleanup(func() { transport.CloseIdleConnections(); server.Close() })
	client := &http.Client{Transport: transport}
	return func(ctx context.Context, key string) error { return post(ctx, client, server.URL+"/orders", key) }
}

func post(ctx context.Context, client *http.Client, url, key string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"amount":1999,"currency":"EUR"}`))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// What the interceptor itself costs, without a socket and the machine's noise: a
// handler that does nothing, called by itself and through Unary on a store in
// memory.
func BenchmarkUnaryInProcess(b *testing.B) {
	orders := benchOrders{id: strings.Repeat("x", benchAnswer)}
	handler := func(ctx context.Context, request any) (any, error) {
		order, _ := request.(*testpb.Order)
		return orders.Create(ctx, order)
	}
	unary, _ := benchInterceptors(b)
	info, order := &grpc.UnaryServerInfo{FullMethod: "/reprise.test.v1.Orders/Create"}, &testpb.Order{Amount: 1999, Currency: "EUR"}
	inProcess(b, func(ctx context.Context) error {
		_, err := handler(ctx, order)
		return err
	}, func(ctx context.Context) error {
		_, err := unary(ctx, order, info, handler)
		return err
	})
}

// BenchmarkStreamInProcess is BenchmarkUnaryInProcess for a stream of ten messages.
func BenchmarkStreamInProcess(b *testing.B) {
	const messages = 10
	receipt := &testpb.Receipt{Id: strings.Repeat("x", benchAnswer/messages)}
	handler := func(_ any, ss grpc.ServerStream) error {
		if err := ss.RecvMsg(new(testpb.Batch)); err != nil {
			return err
		}
		for range messages {
			if err := ss.SendMsg(receipt); err != nil {
				return err
			}
		}
		return nil
	}
	_, stream := benchInterceptors(b)
	info, batch := &grpc.StreamServerInfo{FullMethod: "/reprise.test.v1.Orders/CreateMany"}, &testpb.Batch{Orders: []*testpb.Order{{Amount: 1999}}}
	inProcess(b, func(ctx context.Context) error {
		return handler(nil, &benchStream{ctx: ctx, request: batch})
	}, func(ctx context.Context) error {
		return stream(nil, &benchStream{ctx: ctx, request: batch}, info, handler)
	})
}

// inProcess runs a benchmark without the interceptor and with it, as each does.
func inProcess(b *testing.B, bare, protected func(context.Context) error) {
	var n atomic.Int64
	fresh := func() string { return strconv.FormatInt(n.Add(1), 10) }
	same := func() string { return "same" }
	run := func(call func(context.Context) error, key func() string) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ctx := metadata.NewIncomingContext(b.Context(), metadata.MD{"idempotency-key": {key()}})
				require.NoError(b, call(grpc.NewContextWithServerTransportStream(ctx, benchTransport{})))
			}
		}
	}
	b.Run("bare", run(bare, fresh))
	b.Run("first", run(protected, fresh))
	b.Run("replay", run(protected, same))
}

func benchInterceptors(b *testing.B) (grpc.UnaryServerInterceptor, grpc.StreamServerInterceptor) {
	b.Helper()
	protect, err := idemgrpc.New(benchMemory(b), idemgrpc.GlobalScope())
	require.NoError(b, err)
	require.NoError(b, protect.Protect(testpb.File_orders_proto.Services().ByName("Orders")))
	return protect.Unary(), protect.Stream()
}

// benchTransport takes metadata and forgets it.
type benchTransport struct{}

func (benchTransport) Method() string               { return "" }
func (benchTransport) SetHeader(metadata.MD) error  { return nil }
func (benchTransport) SendHeader(metadata.MD) error { return nil }
func (benchTransport) SetTrailer(metadata.MD) error { return nil }

// benchStream has one request, and forgets what is sent.
type benchStream struct {
	ctx     context.Context
	request *testpb.Batch
}

func (s *benchStream) Context() context.Context   { return s.ctx }
func (*benchStream) SetHeader(metadata.MD) error  { return nil }
func (*benchStream) SendHeader(metadata.MD) error { return nil }
func (*benchStream) SetTrailer(metadata.MD)       {}
func (*benchStream) SendMsg(any) error            { return nil }

func (s *benchStream) RecvMsg(into any) error {
	batch, ok := into.(*testpb.Batch)
	if !ok || s.request == nil {
		return io.EOF
	}
	batch.Orders, s.request = s.request.GetOrders(), nil
	return nil
}
