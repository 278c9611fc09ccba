package gateway_test

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"github.com/reprise-go/reprise/internal/testpb"
)

// A header that promises an answer promises nothing when the answer gets lost: the
// gateway's own 503 was neither executed nor replayed.
func TestG26_AConnectionThatIsLostAfterTheHeaderOfASuccessLeavesNoMark(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/v1/orders", "/v1/batches"} {
		for _, mark := range []string{"executed", "replayed"} {
			t.Run(path+" "+mark, func(t *testing.T) {
				t.Parallel()
				url := (&stage{}).startGateway(t, startHalfway(t, mark))
				got, err := send(t.Context(), direct(), request{url: url + path, keys: []string{rand.Text()}})
				require.NoError(t, err)
				assert.Equal(t, http.StatusServiceUnavailable, got.Status, got.Body)
				assert.Equal(t, "1", got.Header.Get("Grpc-Metadata-X-Other"), "the header did come")
				for name := range got.Header {
					assert.NotContains(t, strings.ToLower(name), "idempo", got.Header.Get(name))
				}
			})
		}
	}
}

// halfway is a service that sends the header of an answer, and is gone when the
// gateway has it.
type halfway struct {
	server   *grpc.Server
	mark     string
	once     sync.Once
	received chan struct{}
}

func startHalfway(t *testing.T, mark string) *grpc.ClientConn {
	t.Helper()
	h := &halfway{mark: mark, received: make(chan struct{})}
	h.server = grpc.NewServer(grpc.UnknownServiceHandler(h.begin))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() { _ = h.server.Serve(listener) })
	running.Go(func() { <-h.received; h.server.Stop() })
	t.Cleanup(func() { h.end(); running.Wait() })
	conn, err := grpc.NewClient(listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStatsHandler(h))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (h *halfway) end() { h.once.Do(func() { close(h.received) }) }

func (h *halfway) begin(_ any, stream grpc.ServerStream) error {
	if err := stream.RecvMsg(new(testpb.Order)); err != nil {
		return err
	}
	md := metadata.Pairs("idempotency-status", h.mark, "idempotent-replayed", "true",
		"idempotency-recorded-at", "2026-01-02T03:04:05Z", "x-other", "1")
	if err := stream.SendHeader(md); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// HandleRPC implements [stats.Handler], at the gateway's end.
func (h *halfway) HandleRPC(_ context.Context, event stats.RPCStats) {
	if _, ok := event.(*stats.InHeader); ok {
		h.end()
	}
}

// TagRPC implements [stats.Handler].
func (h *halfway) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements [stats.Handler].
func (h *halfway) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (h *halfway) HandleConn(context.Context, stats.ConnStats) {}
