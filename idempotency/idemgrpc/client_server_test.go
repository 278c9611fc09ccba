package idemgrpc_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/internal/optionpb"
	"github.com/reprise-go/reprise/store/memstore"
)

// dialProtected serves a witness as its .proto declares it.
func dialProtected(t *testing.T, w *keyWitness, opts ...idemgrpc.ClientOption) optionpb.GoodClient {
	t.Helper()
	store, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(store)
	require.NoError(t, err)
	in, err := idemgrpc.New(guard, idemgrpc.GlobalScope())
	require.NoError(t, err)
	require.NoError(t, in.Protect(optionpb.File_option_proto.Services().ByName("Good"), idemgrpc.Method("Plain", idemgrpc.Off())))

	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(in.Unary()), grpc.ChainStreamInterceptor(in.Stream()))
	optionpb.RegisterGoodServer(server, w)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	keys, err := idemgrpc.NewClient(opts...)
	require.NoError(t, err)
	conn, err := grpc.NewClient("passthrough:///protected",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(retrying),
		grpc.WithChainUnaryInterceptor(keys.Unary()),
		grpc.WithChainStreamInterceptor(keys.Stream()))
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, conn.Close())
		server.Stop()
		assert.NoError(t, <-served)
		assert.NoError(t, guard.Shutdown(context.WithoutCancel(t.Context())))
	})
	return optionpb.NewGoodClient(conn)
}

// UNAVAILABLE releases the key, so that grpc-go's own retry runs; after the
// success, the same key is replayed.
func TestAClientsRetryRunsOnceMoreAndThenIsReplayed(t *testing.T) {
	t.Parallel()
	w := &keyWitness{failures: 1}
	client := dialProtected(t, w)
	ctx := idemgrpc.WithKey(t.Context(), `key, with "quotes"`)
	for range 3 {
		answer, err := client.Empty(ctx, &optionpb.Request{})
		require.NoError(t, err)
		assert.Equal(t, "done", answer.GetText())
	}
	assert.Len(t, w.attempts(), 2)
}

func TestAKeyInTheRequestIsTheKeyInTheMetadata(t *testing.T) {
	t.Parallel()
	w := &keyWitness{}
	client := dialProtected(t, w)
	ctx := idemgrpc.WithKey(t.Context(), "one")
	order := &optionpb.Request{Order: &optionpb.Order{}}
	_, err := client.NoWait(ctx, order) // sent in the metadata
	require.NoError(t, err)
	order.Order.Id = "one"
	_, err = client.NoWait(t.Context(), order) // in key_field: "order.id"
	require.NoError(t, err)
	assert.Len(t, w.attempts(), 1)
}

func TestAStreamsKeyIsInItsRequest(t *testing.T) {
	t.Parallel()
	w := &keyWitness{}
	client := dialProtected(t, w)
	ctx := idemgrpc.WithKey(t.Context(), "")
	for range 2 {
		stream, err := client.Listed(ctx, &optionpb.Request{Number: 1})
		require.NoError(t, err)
		answer, err := stream.Recv()
		require.NoError(t, err)
		assert.Equal(t, "done", answer.GetText())
	}
	assert.Len(t, w.attempts(), 1)
}

func TestAReusedKeyIsToldToTheClient(t *testing.T) {
	t.Parallel()
	client := dialProtected(t, &keyWitness{})
	ctx := idemgrpc.WithKey(t.Context(), "")
	_, err := client.Empty(ctx, &optionpb.Request{Number: 1})
	require.NoError(t, err)
	_, err = client.Empty(ctx, &optionpb.Request{Number: 2})
	err = idemgrpc.CheckError(err)
	require.ErrorIs(t, err, idempotency.ErrKeyReused)
	assert.Equal(t, codes.FailedPrecondition, status.Code(err))
}
