package conformance_test

import (
	"context"
	"log/slog"
	"net"
	"slices"
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
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

// schema is the service as it was at some time: what a program was built with.
type schema struct{ file protoreflect.FileDescriptor }

// present is the schema of today; former is that of before some fields were
// added, by message and field.
func present() schema { return schema{testpb.File_orders_proto} }

func former(t *testing.T, message string, added ...string) schema {
	t.Helper()
	file := protodesc.ToFileDescriptorProto(testpb.File_orders_proto)
	for _, m := range file.GetMessageType() {
		if m.GetName() == message {
			m.Field = slices.DeleteFunc(m.GetField(), func(f *descriptorpb.FieldDescriptorProto) bool {
				return slices.Contains(added, f.GetName())
			})
		}
	}
	old, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	require.NoError(t, err)
	return schema{old}
}

func (s schema) service() protoreflect.ServiceDescriptor { return s.file.Services().ByName("Orders") }

// message makes a message of this schema, with these fields.
func (s schema) message(name string, fields map[string]any) *dynamicpb.Message {
	m := dynamicpb.NewMessage(s.file.Messages().ByName(protoreflect.Name(name)))
	for field, value := range fields {
		m.Set(m.Descriptor().Fields().ByName(protoreflect.Name(field)), protoreflect.ValueOf(value))
	}
	return m
}

// field returns a field of a message by its name.
func field(m *dynamicpb.Message, name string) any {
	return m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name))).Interface()
}

// schemaServer is a server of one schema. Its handler answers with what the
// schema has: an id, how often it ran, and data if that is a field.
type schemaServer struct {
	schema

	addr string
	runs atomic.Int64
}

func (s *schemaServer) create(context.Context, any) (any, error) {
	n := s.runs.Add(1)
	receipt := s.message("Receipt", map[string]any{"id": newKey(), "run": n})
	if data := receipt.Descriptor().Fields().ByName("data"); data != nil {
		receipt.Set(data, protoreflect.ValueOfBytes([]byte("data "+strconv.FormatInt(n, 10))))
	}
	return receipt, nil
}

// handle is what generated code is, for dynamic messages.
func (s *schemaServer) handle(srv any, ctx context.Context, decode func(any) error, intercept grpcgo.UnaryServerInterceptor) (any, error) {
	order := s.message("Order", nil)
	if err := decode(order); err != nil {
		return nil, err
	}
	return intercept(ctx, order, &grpcgo.UnaryServerInfo{Server: srv, FullMethod: "/" + createName}, s.create)
}

func newSchemaServer(t *testing.T, sc schema, namespace string) *schemaServer {
	t.Helper()
	s := &schemaServer{schema: sc}
	guard, err := idempotency.New(openRedis(t, shared.Server(t).Client(t), namespace), idempotency.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	protect, err := idemgrpc.New(guard, idemgrpc.Scope(grpcTenant))
	require.NoError(t, err)
	require.NoError(t, protect.Protect(sc.service()))
	server := grpcgo.NewServer(grpcgo.ChainUnaryInterceptor(protect.Unary()))
	server.RegisterService(&grpcgo.ServiceDesc{
		ServiceName: ordersName, HandlerType: (*any)(nil),
		Methods: []grpcgo.MethodDesc{{MethodName: "Create", Handler: s.handle}},
	}, s)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = listener.Addr().String()
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-served
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		assert.NoError(t, guard.Shutdown(ctx))
	})
	return s
}

// from calls as a client of some schema does.
func (s *schemaServer) from(t *testing.T, client schema, key string, order map[string]any) (*dynamicpb.Message, told) {
	t.Helper()
	conn := dialGRPC(t, s.addr)
	receipt := client.message("Receipt", nil)
	var got told
	err := conn.Invoke(metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", key), "/"+createName,
		client.message("Order", order), receipt, grpcgo.Header(&got.Header), grpcgo.Trailer(&got.Trailer))
	got.Status = status.Convert(err)
	return receipt, got
}

// requireReplayed asserts that a receipt is the first one, given again.
func requireReplayed(t *testing.T, want, receipt *dynamicpb.Message, got told) {
	t.Helper()
	requireCode(t, got, codes.OK)
	assert.True(t, got.replayed())
	assert.Equal(t, field(want, "id"), field(receipt, "id"))
	assert.Equal(t, field(want, "run"), field(receipt, "run"))
}

// While a fleet is rolled to a version whose receipts have one field more, or
// back, each replays what the other recorded.
func TestG21_ServersOfTwoSchemasReplayEachOthersAnswers(t *testing.T) {
	t.Parallel()
	fresh, old := present(), former(t, "Receipt", "data")
	namespace := namespaceOf(t)
	newServer, oldServer := newSchemaServer(t, fresh, namespace), newSchemaServer(t, old, namespace)
	order := map[string]any{"amount": int64(5)}

	t.Run("recorded by the old", func(t *testing.T) {
		key := newKey()
		first, got := oldServer.from(t, old, key, order)
		requireCode(t, got, codes.OK)
		replayed, got := newServer.from(t, fresh, key, order)
		requireReplayed(t, first, replayed, got)
		assert.Empty(t, field(replayed, "data"), "it was not there")
	})
	t.Run("recorded by the new", func(t *testing.T) {
		key := newKey()
		first, got := newServer.from(t, fresh, key, order)
		requireCode(t, got, codes.OK)
		require.NotEmpty(t, field(first, "data"))
		replayed, got := oldServer.from(t, old, key, order)
		requireReplayed(t, first, replayed, got)
		replayed, got = oldServer.from(t, fresh, key, order)
		requireReplayed(t, first, replayed, got)
		assert.Equal(t, field(first, "data"), field(replayed, "data"), "the old server passes on what it does not know")
		assert.True(t, proto.Equal(first, replayed))
	})
	assert.EqualValues(t, 1, newServer.runs.Load())
	assert.EqualValues(t, 1, oldServer.runs.Load())
}

// Requests that have gained a field are the same for as long as it is not set,
// and another once it is: for servers, too, that do not know it.
func TestG21_ARequestThatGainedAFieldIsNoMismatchWhileItIsUnset(t *testing.T) {
	t.Parallel()
	fresh, old := present(), former(t, "Order", "gift", "tenant_number")
	namespace := namespaceOf(t)
	servers := map[string]*schemaServer{
		"new": newSchemaServer(t, fresh, namespace), "old": newSchemaServer(t, old, namespace),
	}
	plain := map[string]any{"amount": int64(5), "currency": "EUR"}
	wrapped := map[string]any{"amount": int64(5), "currency": "EUR", "gift": true}
	for one, first := range servers {
		for other, second := range servers {
			t.Run(one+" then "+other, func(t *testing.T) {
				key := newKey()
				want, got := first.from(t, old, key, plain)
				requireCode(t, got, codes.OK)
				for _, client := range []schema{old, fresh} {
					receipt, got := second.from(t, client, key, plain)
					requireReplayed(t, want, receipt, got)
				}
				_, got = second.from(t, fresh, key, wrapped)
				requireRefusal(t, got, codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")

				key = newKey()
				want, got = first.from(t, fresh, key, wrapped)
				requireCode(t, got, codes.OK)
				receipt, got := second.from(t, fresh, key, wrapped)
				requireReplayed(t, want, receipt, got)
				_, got = second.from(t, old, key, plain)
				requireRefusal(t, got, codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
			})
		}
	}
	assert.EqualValues(t, 4, servers["new"].runs.Load())
	assert.EqualValues(t, 4, servers["old"].runs.Load())
}
