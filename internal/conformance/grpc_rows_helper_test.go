package conformance_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/policypb"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

// declaredOrders is the test service with methods whose .proto says that of them.
func declaredOrders(t *testing.T, declared map[string]*policypb.Policy) protoreflect.ServiceDescriptor {
	t.Helper()
	file := protodesc.ToFileDescriptorProto(testpb.File_orders_proto)
	for _, service := range file.GetService() {
		for _, method := range service.GetMethod() {
			policy := declared[method.GetName()]
			if policy == nil {
				continue
			}
			method.Options = new(descriptorpb.MethodOptions)
			proto.SetExtension(method.GetOptions(), policypb.E_Policy, policy)
		}
	}
	made, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	require.NoError(t, err)
	return made.Services().ByName("Orders")
}

// serveGRPC serves what register says behind an interceptor, and connects to it.
func serveGRPC(t *testing.T, protect *idemgrpc.Interceptor, register func(*grpcgo.Server)) *grpcgo.ClientConn {
	t.Helper()
	server := grpcgo.NewServer(grpcgo.ChainUnaryInterceptor(protect.Unary()), grpcgo.ChainStreamInterceptor(protect.Stream()))
	register(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-served })
	return dialGRPC(t, listener.Addr().String())
}

// guarded is an interceptor on a guard of its own; its scope is the tenant.
func guarded(t *testing.T, st store.Store, options ...idemgrpc.Option) *idemgrpc.Interceptor {
	t.Helper()
	guard, err := idempotency.New(st, idempotency.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, guard.Shutdown(context.WithoutCancel(t.Context()))) })
	protect, err := idemgrpc.New(guard, append([]idemgrpc.Option{idemgrpc.Scope(grpcTenant)}, options...)...)
	require.NoError(t, err)
	return protect
}

// serveDeclared serves the test service as its .proto declares it, with what the
// code says beside that.
func serveDeclared(t *testing.T, with grpcSetup, declared map[string]*policypb.Policy, said ...idemgrpc.ServiceMethod) *grpcService {
	t.Helper()
	protect := guarded(t, newMemory(t))
	require.NoError(t, protect.Protect(declaredOrders(t, declared), said...))
	s := &grpcService{with: with}
	s.Conn = serveGRPC(t, protect, func(server *grpcgo.Server) { testpb.RegisterOrdersServer(server, orders{s: s}) })
	s.OrdersClient = testpb.NewOrdersClient(s.Conn)
	return s
}

// uploads are methods whose client streams. They add up what they get.
type uploads struct {
	testpb.UnimplementedUploadsServer
	runs *atomic.Int64
}

func (u uploads) Collect(stream grpcgo.ClientStreamingServer[testpb.Order, testpb.Receipt]) error {
	u.runs.Add(1)
	var sum int64
	for {
		order, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&testpb.Receipt{Run: sum})
		}
		if err != nil {
			return err
		}
		sum += order.GetAmount()
	}
}

func (u uploads) Talk(stream grpcgo.BidiStreamingServer[testpb.Order, testpb.Receipt]) error {
	u.runs.Add(1)
	for {
		order, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&testpb.Receipt{Run: order.GetAmount()}); err != nil {
			return err
		}
	}
}

// tampered is a store that keeps another answer than it is given.
type tampered struct {
	store.Store
	answer func(store.Answer) store.Answer
}

func (s tampered) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	if done, ok := event.(store.Complete); ok {
		done.Answer = s.answer(done.Answer)
		event = done
	}
	return s.Store.Apply(ctx, id, event)
}

// keyed is a call's context that carries a key, or none.
func keyed(ctx context.Context, key string) context.Context {
	if key == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "idempotency-key", key)
}
