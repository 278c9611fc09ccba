package gateway_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	gateways "github.com/reprise-go/reprise/internal/proof/gateway/testpb"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store/redisstore"
)

// setting is what differs between tests.
type setting struct {
	redis     *redistest.Server // instead of the shared one
	instances int               // 0 is one
	wait      time.Duration     // of duplicates; 0 is the default
	policy    idempotency.Policy
	create    func(context.Context) error // what a handler does before it answers
	gateway   []idemgrpc.GatewayOption
	service   []idemgrpc.Option
	mux       []runtime.ServeMuxOption
}

// stage is a service of one or more instances on one Redis, each with a gateway
// in front.
type stage struct {
	urls    []string              // of orders, one per gateway
	clients []testpb.OrdersClient // one per instance
	runs    atomic.Int64
	with    setting
}

func newStage(t *testing.T, with setting) *stage {
	t.Helper()
	if with.redis == nil {
		with.redis = shared.Server(t)
	}
	s := &stage{with: with}
	namespace := "gateway-" + rand.Text()
	for range max(with.instances, 1) {
		conn := s.startService(t, namespace)
		s.clients = append(s.clients, testpb.NewOrdersClient(conn))
		s.urls = append(s.urls, s.startGateway(t, conn)+"/v1/orders")
	}
	return s
}

// startService starts an instance and returns a connection to it.
func (s *stage) startService(t *testing.T, namespace string) *grpc.ClientConn {
	t.Helper()
	records, err := redisstore.New(s.with.redis.Client(t), redisstore.Namespace(namespace))
	require.NoError(t, err)
	guard, err := idempotency.New(records, idempotency.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	opts := append([]idemgrpc.Option{idemgrpc.Scope(scope)}, s.with.service...)
	if s.with.wait != 0 {
		opts = append(opts, idemgrpc.Wait(s.with.wait))
	}
	protect, err := idemgrpc.New(guard, opts...)
	require.NoError(t, err)
	require.NoError(t, protect.Protect(testpb.File_orders_proto.Services().ByName("Orders"),
		idemgrpc.Method("Create", s.with.policy, idemgrpc.KeyField("request_id"))))
	server := grpc.NewServer(grpc.UnaryInterceptor(protect.Unary()), grpc.StreamInterceptor(protect.Stream()))
	testpb.RegisterOrdersServer(server, orders{s: s})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-served
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = guard.Shutdown(ctx) // with a Redis that is gone it has something to complain about
		_ = records.Close()
	})
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// startGateway starts an HTTP server as the doc comment of [idemgrpc.Gateway]
// says, and returns its URL.
func (s *stage) startGateway(t *testing.T, conn *grpc.ClientConn) string {
	t.Helper()
	gateway, err := idemgrpc.NewGateway(s.with.gateway...)
	require.NoError(t, err)
	mux := runtime.NewServeMux(append(s.with.mux,
		runtime.WithMetadata(gateway.Metadata),
		runtime.WithOutgoingHeaderMatcher(gateway.HeaderMatcher(nil)),
		runtime.WithOutgoingTrailerMatcher(gateway.TrailerMatcher(nil)),
		runtime.WithForwardResponseOption(func(ctx context.Context, w http.ResponseWriter, answer proto.Message) error {
			told, _ := runtime.ServerMetadataFromContext(ctx)
			gateway.DescribeAnswer(w.Header(), told.HeaderMD, answer)
			return nil
		}),
		runtime.WithErrorHandler(func(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
			told, _ := runtime.ServerMetadataFromContext(ctx)
			if code, ok := gateway.DescribeError(w.Header(), told.TrailerMD, err); ok {
				err = &runtime.HTTPStatusError{HTTPStatus: code, Err: err}
			}
			runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, err)
		}))...)
	require.NoError(t, gateways.RegisterOrdersHandler(t.Context(), mux, conn))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func scope(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if told := md.Get("authorization"); len(told) == 1 {
		return told[0], nil
	}
	return "", errors.New("nobody")
}

// orders is the service. Each run has another answer.
type orders struct {
	testpb.UnimplementedOrdersServer
	s *stage
}

func (o orders) Create(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
	run := o.s.runs.Add(1)
	if o.s.with.create != nil {
		if err := o.s.with.create(ctx); err != nil {
			return nil, err
		}
	}
	return &testpb.Receipt{Id: rand.Text(), Run: run}, nil
}

func (o orders) CreateMany(batch *testpb.Batch, stream grpc.ServerStreamingServer[testpb.Receipt]) error {
	run := o.s.runs.Add(1)
	for range batch.GetOrders() {
		if err := stream.Send(&testpb.Receipt{Id: rand.Text(), Run: run}); err != nil {
			return err
		}
	}
	return nil
}

const order = `{"amount": "1999", "currency": "EUR"}`

// request is an HTTP request of the caller "acme".
type request struct {
	url    string
	keys   []string // lines of Idempotency-Key
	body   string   // "" is order
	header http.Header
}

// answer is what an HTTP client got.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

func send(ctx context.Context, client *http.Client, r request) (answer, error) {
	if r.body == "" {
		r.body = order
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	maps.Copy(req.Header, r.header)
	req.Header.Set("Authorization", "acme")
	if r.keys != nil {
		req.Header["Idempotency-Key"] = r.keys
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(raw)}, err
}

// direct never sends anything again by itself, as Go's client does on a kept
// connection with a request that has a key.
func direct() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// post sends a request under a key to the first gateway.
func (s *stage) post(t *testing.T, keys ...string) answer {
	t.Helper()
	return s.postTo(t, request{url: s.urls[0], keys: keys})
}

func (s *stage) postTo(t *testing.T, r request) answer {
	t.Helper()
	a, err := send(t.Context(), direct(), r)
	require.NoError(t, err)
	return a
}

// receipt is what a success says.
func (a answer) receipt(t *testing.T) (id, run string) {
	t.Helper()
	var got struct {
		ID  string `json:"id"`
		Run string `json:"run"`
	}
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.NoError(t, json.Unmarshal([]byte(a.Body), &got))
	return got.ID, got.Run
}

// reason is the reason of the ErrorInfo in an error's body.
func (a answer) reason() string {
	var got struct {
		Details []struct {
			Reason string `json:"reason"`
		} `json:"details"`
	}
	_ = json.Unmarshal([]byte(a.Body), &got)
	for _, detail := range got.Details {
		if detail.Reason != "" {
			return detail.Reason
		}
	}
	return ""
}

func requireMark(t *testing.T, a answer, mark string) {
	t.Helper()
	assert.Equal(t, []string{mark}, a.Header.Values("Idempotency-Status"))
	if mark == "replayed" {
		assert.Equal(t, []string{"true"}, a.Header.Values("Idempotent-Replayed"))
		assert.Len(t, a.Header.Values("Idempotency-Recorded-At"), 1)
	} else {
		assert.Empty(t, a.Header.Values("Idempotent-Replayed"))
	}
	for name := range a.Header {
		assert.False(t, strings.HasPrefix(name, "Grpc-Metadata-Idem"), name)
	}
}

func requireRefusal(t *testing.T, a answer, status int, reason, mark string, retryAfter bool) {
	t.Helper()
	require.Equal(t, status, a.Status, a.Body)
	assert.Equal(t, reason, a.reason())
	requireMark(t, a, mark)
	assert.Equal(t, retryAfter, len(a.Header.Values("Retry-After")) == 1, "Retry-After: %q", a.Header.Values("Retry-After"))
}
