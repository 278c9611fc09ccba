package idemgrpc_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store/memstore"
)

type orders struct {
	testpb.UnimplementedOrdersServer
	created int64
}

func (o *orders) Create(context.Context, *testpb.Order) (*testpb.Receipt, error) {
	o.created++
	return &testpb.Receipt{Id: "order-1", Run: o.created}, nil
}

func (o *orders) CreateMany(batch *testpb.Batch, stream grpc.ServerStreamingServer[testpb.Receipt]) error {
	o.created++
	for i := range batch.GetOrders() {
		if err := stream.Send(&testpb.Receipt{Id: fmt.Sprintf("order-%d", i+1), Run: o.created}); err != nil {
			return err
		}
	}
	return nil
}

// serveOrders serves protected orders in memory, to a client that sends keys.
func serveOrders() (client testpb.OrdersClient, stop func()) {
	store, _ := memstore.New()
	guard, _ := idempotency.New(store)
	protect, _ := idemgrpc.New(guard, idemgrpc.GlobalScope())
	_ = protect.Protect(testpb.File_orders_proto.Services().ByName("Orders"))
	server := grpc.NewServer(grpc.UnaryInterceptor(protect.Unary()), grpc.StreamInterceptor(protect.Stream()))
	testpb.RegisterOrdersServer(server, &orders{})
	listener := bufconn.Listen(1 << 16)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()

	keys, _ := idemgrpc.NewClient(idemgrpc.SendKeysFor("reprise.test.v1.Orders"))
	conn, _ := grpc.NewClient("passthrough:memory",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(keys.Unary()), grpc.WithChainStreamInterceptor(keys.Stream()))
	return testpb.NewOrdersClient(conn), func() {
		_ = conn.Close()
		server.Stop()
		<-served
		_ = guard.Shutdown(context.Background())
	}
}

func ExampleInterceptor_Protect() {
	store, _ := memstore.New() // in a program: redisstore.New
	guard, _ := idempotency.New(store)
	defer func() { _ = guard.Shutdown(context.Background()) }()
	protect, _ := idemgrpc.New(guard, idemgrpc.GlobalScope())
	err := protect.Protect(testpb.File_orders_proto.Services().ByName("Orders"),
		idemgrpc.Method("Create", idempotency.Policy{KeyFormat: idempotency.KeyUUIDv4}, idemgrpc.KeyField("request_id")))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(protect.Unary()), grpc.StreamInterceptor(protect.Stream()))
	testpb.RegisterOrdersServer(server, &orders{})
	if err := protect.Check(server); err != nil {
		fmt.Println(err)
		return
	}
	listener := bufconn.Listen(1 << 16)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	defer func() { server.Stop(); <-served }()

	conn, _ := grpc.NewClient("passthrough:memory",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	defer func() { _ = conn.Close() }()
	order := &testpb.Order{RequestId: "5f0c6f5e-9d8b-4b6e-9c70-5b2d9c4f1a7e", Amount: 1999}
	for range 2 {
		var header metadata.MD
		receipt, err := testpb.NewOrdersClient(conn).Create(context.Background(), order, grpc.Header(&header))
		fmt.Println(receipt.GetId(), "run", receipt.GetRun(), err, header.Get("idempotency-status"))
	}
	// Output:
	// order-1 run 1 <nil> [executed]
	// order-1 run 1 <nil> [replayed]
}
