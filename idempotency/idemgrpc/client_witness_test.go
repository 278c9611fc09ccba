package idemgrpc_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/internal/optionpb"
)

// attempt is what a server saw of one attempt of a call.
type attempt struct {
	metadata []string // the values of idempotency-key
	field    string   // request_id, or order.id
	previous []string // grpc-previous-rpc-attempts
}

// keyWitness is a server that notes down the keys and fails the first attempts.
type keyWitness struct {
	optionpb.UnimplementedGoodServer

	mu       sync.Mutex
	failures int
	seen     []attempt
}

func (w *keyWitness) see(ctx context.Context, request *optionpb.Request) (*optionpb.Answer, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, attempt{
		metadata: append(md.Get("idempotency-key"), md.Get("x-request-key")...),
		field:    request.GetRequestId() + request.GetOrder().GetId(),
		previous: md.Get("grpc-previous-rpc-attempts"),
	})
	if len(w.seen) <= w.failures {
		return nil, status.Error(codes.Unavailable, "try again")
	}
	return &optionpb.Answer{Text: "done"}, nil
}

func (w *keyWitness) Plain(ctx context.Context, r *optionpb.Request) (*optionpb.Answer, error) {
	return w.see(ctx, r)
}
func (w *keyWitness) Empty(ctx context.Context, r *optionpb.Request) (*optionpb.Answer, error) {
	return w.see(ctx, r)
}
func (w *keyWitness) Full(ctx context.Context, r *optionpb.Request) (*optionpb.Answer, error) {
	return w.see(ctx, r)
}
func (w *keyWitness) NoWait(ctx context.Context, r *optionpb.Request) (*optionpb.Answer, error) {
	return w.see(ctx, r)
}
func (w *keyWitness) FieldOnly(ctx context.Context, r *optionpb.Request) (*optionpb.Answer, error) {
	return w.see(ctx, r)
}
func (w *keyWitness) Off(ctx context.Context, r *optionpb.Request) (*optionpb.Answer, error) {
	return w.see(ctx, r)
}
func (w *keyWitness) Shadow(ctx context.Context, r *optionpb.Request) (*optionpb.Answer, error) {
	return w.see(ctx, r)
}
func (w *keyWitness) Read(ctx context.Context, r *optionpb.Request) (*optionpb.Answer, error) {
	return w.see(ctx, r)
}

func (w *keyWitness) Listed(r *optionpb.Request, stream grpc.ServerStreamingServer[optionpb.Answer]) error {
	answer, err := w.see(stream.Context(), r)
	if err != nil {
		return err
	}
	return stream.Send(answer)
}

func (w *keyWitness) Talk(stream grpc.BidiStreamingServer[optionpb.Request, optionpb.Answer]) error {
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	answer, err := w.see(stream.Context(), request)
	if err != nil {
		return err
	}
	return stream.Send(answer)
}

// only returns the one attempt that there was.
func (w *keyWitness) only(t *testing.T) attempt {
	t.Helper()
	seen := w.attempts()
	require.Len(t, seen, 1)
	return seen[0]
}

func (w *keyWitness) attempts() []attempt {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]attempt(nil), w.seen...)
}

// retrying is a service config under which grpc-go repeats calls by itself.
const retrying = `{"methodConfig": [{"name": [{}], "retryPolicy": {
	"maxAttempts": 4, "initialBackoff": "0.001s", "maxBackoff": "0.01s", "backoffMultiplier": 1,
	"retryableStatusCodes": ["UNAVAILABLE"]}}]}`

func dialWitness(t *testing.T, w *keyWitness, opts ...idemgrpc.ClientOption) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	optionpb.RegisterGoodServer(server, w)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		assert.NoError(t, <-served)
	})
	keys, err := idemgrpc.NewClient(opts...)
	require.NoError(t, err)
	conn, err := grpc.NewClient("passthrough:///witness",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(retrying),
		grpc.WithChainUnaryInterceptor(keys.Unary()),
		grpc.WithChainStreamInterceptor(keys.Stream()))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	return conn
}

const uuid = `^[0-9a-f]{8}-[0-9a-f]{4}-%s[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`

func uuidOf(version string) string { return strings.Replace(uuid, "%s", version, 1) }
