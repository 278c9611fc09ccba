package idemgrpc_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/test/bufconn"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store/memstore"
)

// codings notes down how answers came over the wire.
type codings struct {
	mu  sync.Mutex
	all []string
}

func (c *codings) HandleRPC(_ context.Context, event stats.RPCStats) {
	if header, ok := event.(*stats.InHeader); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, header.Compression)
	}
}
func (*codings) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*codings) HandleConn(context.Context, stats.ConnStats)                       {}
func (*codings) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (c *codings) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.all...)
}

// compressed is a service that chooses how its answers are compressed, with before
// as the beginning of every handler.
type compressed struct {
	testpb.UnimplementedOrdersServer
	before func(context.Context) error
}

func (s compressed) Create(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
	return &testpb.Receipt{Id: "r"}, s.before(ctx)
}
func (s compressed) Read(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
	return &testpb.Receipt{Id: "r"}, s.before(ctx)
}
func (s compressed) CreateMany(_ *testpb.Batch, stream grpc.ServerStreamingServer[testpb.Receipt]) error {
	return errors.Join(s.before(stream.Context()), stream.Send(&testpb.Receipt{Id: "r"}))
}

func dialCompressed(t *testing.T, before func(context.Context) error) (testpb.OrdersClient, *codings) {
	t.Helper()
	records, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(records, idempotency.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	in, err := idemgrpc.New(guard, idemgrpc.GlobalScope())
	require.NoError(t, err)
	require.NoError(t, in.Protect(testpb.File_orders_proto.Services().ByName("Orders")))
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(in.Unary()), grpc.ChainStreamInterceptor(in.Stream()))
	testpb.RegisterOrdersServer(server, compressed{before: before})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	wire := &codings{}
	conn, err := grpc.NewClient("passthrough:///compressed",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStatsHandler(wire))
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, conn.Close())
		server.Stop()
		assert.NoError(t, <-served)
		assert.NoError(t, guard.Shutdown(context.WithoutCancel(t.Context())))
	})
	return testpb.NewOrdersClient(conn), wire
}

func underKey(t *testing.T, key string) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", key)
}

// How a message was compressed is no part of what it says, and an answer is
// compressed for whoever gets it.
func TestG1_CompressionIsTheCallsOwn(t *testing.T) {
	t.Parallel()
	client, wire := dialCompressed(t, func(context.Context) error { return nil })
	order := &testpb.Order{Currency: strings.Repeat("EUR", 1000)}
	var header metadata.MD
	_, err := client.Create(underKey(t, "k"), order)
	require.NoError(t, err)
	_, err = client.Create(underKey(t, "k"), order, grpc.UseCompressor(gzip.Name), grpc.Header(&header))
	require.NoError(t, err)
	assert.Equal(t, []string{"true"}, header.Get("idempotent-replayed"))
	assert.Equal(t, []string{"", gzip.Name}, wire.seen())
}

// grpc-go's own functions want grpc-go's own stream, which a protected handler
// does not see.
func TestAProtectedHandlerChoosesItsCompressor(t *testing.T) {
	t.Parallel()
	client, wire := dialCompressed(t, func(ctx context.Context) error {
		supported, err := idemgrpc.ClientSupportedCompressors(ctx)
		if err == nil && strings.Join(supported, "+") != gzip.Name {
			err = errors.New("the client supports gzip")
		}
		if idemgrpc.SetSendCompressor(ctx, "lzw") == nil {
			err = errors.New("nobody has lzw")
		}
		return errors.Join(err, idemgrpc.SetSendCompressor(ctx, gzip.Name))
	})
	for range 2 {
		_, err := client.Create(underKey(t, "k"), &testpb.Order{})
		require.NoError(t, err)
	}
	_, err := client.Read(t.Context(), &testpb.Order{}) // not protected: grpc-go's own
	require.NoError(t, err)
	stream, err := client.CreateMany(underKey(t, "many"), &testpb.Batch{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.NoError(t, err)
	assert.Equal(t, []string{gzip.Name, "", gzip.Name, gzip.Name}, wire.seen(), "a replay is compressed as its call is")
}

func TestACompressorThatIsChosenTooLateIsAnError(t *testing.T) {
	t.Parallel()
	late := make(chan context.Context, 1)
	client, wire := dialCompressed(t, func(ctx context.Context) error {
		late <- ctx
		if err := grpc.SendHeader(ctx, nil); err != nil {
			return err
		}
		if idemgrpc.SetSendCompressor(ctx, gzip.Name) == nil {
			return errors.New("it is too late")
		}
		return nil
	})
	_, err := client.Create(underKey(t, "k"), &testpb.Order{})
	require.NoError(t, err)
	require.Error(t, idemgrpc.SetSendCompressor(<-late, gzip.Name), "after the handler's end")
	assert.Equal(t, []string{""}, wire.seen())
	require.Error(t, idemgrpc.SetSendCompressor(t.Context(), gzip.Name), "no handler at all")
}
