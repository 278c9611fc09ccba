package topology_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// shop sells over HTTP and gRPC, on a Redis that keeps its data over a restart and
// whose memory guard cannot know that it does.
type shop struct {
	testpb.UnimplementedOrdersServer

	redis  *redistest.Server
	store  *redisstore.Store
	guard  *idempotency.Guard
	url    string
	orders testpb.OrdersClient
}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{redis: redistest.Start(t, redistest.AOF())}
	var err error
	s.store, err = redisstore.New(s.redis.Client(t), redisstore.MemoryGuard(quarantine))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.store.Close()) })
	require.NoError(t, s.store.Bless(t.Context()))
	s.guard, err = idempotency.New(s.store)
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(s.guard) })
	s.serveHTTP(t)
	s.serveGRPC(t)
	return s
}

func (s *shop) serveHTTP(t *testing.T) {
	t.Helper()
	mw, err := idemhttp.New(s.guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	mux := http.NewServeMux()
	require.NoError(t, mw.Handle(mux, "POST /orders", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, _ := idempotency.FromContext(r.Context())
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprint(w, info.Token)
	})))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL + "/orders"
}

func (s *shop) serveGRPC(t *testing.T) {
	t.Helper()
	protect, err := idemgrpc.New(s.guard, idemgrpc.GlobalScope())
	require.NoError(t, err)
	require.NoError(t, protect.Protect(testpb.File_orders_proto.Services().ByName("Orders")))
	server := grpc.NewServer(grpc.UnaryInterceptor(protect.Unary()), grpc.StreamInterceptor(protect.Stream()))
	testpb.RegisterOrdersServer(server, s)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, conn.Close())
		server.Stop()
		assert.NoError(t, <-served)
	})
	s.orders = testpb.NewOrdersClient(conn)
}

// Create implements [testpb.OrdersServer].
func (s *shop) Create(ctx context.Context, _ *testpb.Order) (*testpb.Receipt, error) {
	info, _ := idempotency.FromContext(ctx)
	return &testpb.Receipt{Id: fmt.Sprint(info.Token)}, nil
}

// forget restarts Redis, which could have lost something.
func (s *shop) forget() {
	s.redis.Kill()
	s.redis.Restart()
}

// post places an order over HTTP.
func (s *shop) post(t *testing.T, key string) (resp *http.Response, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, strings.NewReader("tea"))
	require.NoError(t, err)
	req.Header.Set("Idempotency-Key", key)
	resp, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(text)
}

// create places an order over gRPC, and returns the mark of the answer.
func (s *shop) create(t *testing.T, key string) (id, mark string, trailer metadata.MD, err error) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", key)
	var header metadata.MD
	receipt, err := s.orders.Create(ctx, &testpb.Order{Amount: 1}, grpc.Header(&header), grpc.Trailer(&trailer))
	return receipt.GetId(), strings.Join(header.Get("idempotency-status"), ","), trailer, err
}

// F12: what a client of an HTTP service sees when Redis may have lost its memory,
// and when an operator says that it has not.
func TestQuarantineOverHTTPF12(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	_, first := s.post(t, "before")
	s.forget()
	for i := range 3 {
		// A claim that is refused is released a moment later.
		resp, body := s.post(t, fmt.Sprint("after-", i))
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		require.NoError(t, err)
		assert.InDelta(t, quarantine.Seconds(), seconds, 60)
		assert.Equal(t, "rejected", resp.Header.Get("Idempotency-Status"))
		var problem struct {
			Code      string `json:"code"`
			Retryable bool   `json:"retryable"`
		}
		require.NoError(t, json.Unmarshal([]byte(body), &problem))
		assert.Equal(t, "store_unavailable", problem.Code)
		assert.True(t, problem.Retryable)

		resp, body = s.post(t, "before")
		require.Equal(t, http.StatusCreated, resp.StatusCode)
		assert.Equal(t, "true", resp.Header.Get("Idempotent-Replayed"))
		assert.Equal(t, first, body)
	}
	require.NoError(t, s.store.Bless(t.Context()))
	resp, _ := s.post(t, "after-0")
	for limit := time.Now().Add(backWithin); resp.StatusCode == http.StatusConflict && time.Now().Before(limit); {
		resp, _ = s.post(t, "after-0") // its refused claim is not released yet
	}
	require.Equal(t, http.StatusCreated, resp.StatusCode)
	assert.Equal(t, "executed", resp.Header.Get("Idempotency-Status"))
}

// F12: the same over gRPC.
func TestQuarantineOverGRPCF12(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	first, _, _, err := s.create(t, "before")
	require.NoError(t, err)
	s.forget()
	for i := range 3 {
		_, _, trailer, err := s.create(t, fmt.Sprint("after-", i))
		require.Equal(t, codes.Unavailable, status.Code(err))
		assert.InDelta(t, quarantine, retryDelay(t, err), float64(time.Minute))
		pushback, err := strconv.Atoi(strings.Join(trailer.Get("grpc-retry-pushback-ms"), ","))
		require.NoError(t, err)
		assert.InDelta(t, quarantine.Milliseconds(), pushback, 60_000)
		assert.Equal(t, []string{"rejected"}, trailer.Get("idempotency-status"))

		id, mark, _, err := s.create(t, "before")
		require.NoError(t, err)
		assert.Equal(t, "replayed", mark)
		assert.Equal(t, first, id)
	}
	require.NoError(t, s.store.Bless(t.Context()))
	require.Eventually(t, func() bool {
		_, mark, _, err := s.create(t, "after-0")
		return err == nil && mark == "executed"
	}, backWithin, 10*time.Millisecond)
}

// retryDelay is when the RetryInfo of an error wants the next try.
func retryDelay(t *testing.T, err error) time.Duration {
	t.Helper()
	for _, detail := range status.Convert(err).Details() {
		if info, is := detail.(*errdetails.RetryInfo); is {
			return info.GetRetryDelay().AsDuration()
		}
	}
	require.Fail(t, "no RetryInfo", "%v", err)
	return 0
}

// F12: a route that runs unprotected while the store is down does so in a quarantine;
// what is still known is replayed there, too.
func TestStoreDownOpenRunsUnprotectedInAQuarantineF12(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	op, err := s.guard.Operation("open", idempotency.Policy{StoreDown: idempotency.StoreDownOpen})
	require.NoError(t, err)
	runs := 0
	execute := func(key string) idempotency.Result {
		result, err := op.Execute(t.Context(), idempotency.Call{Scope: "tenant", Key: key},
			func(ctx context.Context) idempotency.Answer {
				runs++
				_, attempt := idempotency.FromContext(ctx)
				body := fmt.Sprint(runs, attempt)
				return idempotency.Answer{
					Class: idempotency.ClassRecord, Answer: store.Answer{Codec: "test", Body: []byte(body)},
				}
			})
		require.NoError(t, err)
		return result
	}
	before := execute("before")
	s.forget()
	for i := range 3 {
		refused := s.store.Stats().Quarantined
		result := execute(fmt.Sprint("after-", i))
		require.Equal(t, refused+1, s.store.Stats().Quarantined, "because of that, and not of another failure")
		assert.Equal(t, idempotency.Unprotected, result.Outcome)
		assert.False(t, result.Recorded)
		assert.Equal(t, fmt.Sprint(i+2, false), string(result.Answer.Body))

		again := execute("before")
		assert.Equal(t, idempotency.Replayed, again.Outcome)
		assert.Equal(t, before.Answer.Body, again.Answer.Body)
	}
	require.NoError(t, s.store.Bless(t.Context()))
	require.Equal(t, idempotency.Executed, execute("blessed").Outcome)
}
