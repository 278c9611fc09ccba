package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

// One protected function behind an HTTP route, a gRPC method and a consumer of
// messages, none of which is protected itself.
func TestOneWrappedFunctionBehindThreeTransportsRunsOnceAndSharesARecord(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		guard := guardsOn(t, 1, func() store.Store { return st })[0]
		runs := new(atomic.Int64)
		desk := orderDesk{guard: guard, runs: runs, policy: "wait=15s"}
		create, err := idempotency.Wrap(guard, "orders.create", func(ctx context.Context, in orderInput) (orderOutput, error) {
			info, ok := idempotency.FromContext(ctx)
			assert.True(t, ok)
			assert.Equal(t, "orders.create", info.Operation)
			assert.NoError(t, idempotency.MarkEffect(ctx))
			return desk.run(ctx, in)
		}, desk.parsed(t))
		require.NoError(t, err)
		ways := map[string]callFunc{
			"HTTP": overHTTP(t, create), "gRPC": overGRPC(t, create), "consumer": overConsumer(t, create),
		}

		key := newKey()
		var wg sync.WaitGroup
		for range 5 {
			for name, call := range ways {
				wg.Go(func() {
					out, err := call(t.Context(), orderOf(key))
					assert.NoError(t, err, name)
					assert.EqualValues(t, 1, out.Run, name)
				})
			}
		}
		wg.Wait()
		assert.EqualValues(t, 1, runs.Load())
		status, err := guard.Lookup(t.Context(), guard.ID("orders.create", "P1", key))
		require.NoError(t, err)
		assert.Equal(t, store.Completed, status.State)
		assert.Equal(t, 1, status.Attempt)

		for name, call := range ways {
			other := orderOf(key)
			other.Amount++
			_, err := call(t.Context(), other)
			assert.ErrorIs(t, err, idempotency.ErrKeyReused, name)
		}
	})
}

func overHTTP(t *testing.T, create callFunc) callFunc {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in orderInput
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&in))
		in.ID = r.Header.Get("Idempotency-Key")
		out, err := create(r.Context(), in)
		if err != nil {
			http.Error(w, codeOf(err), http.StatusConflict)
			return
		}
		assert.NoError(t, json.NewEncoder(w).Encode(out))
	}))
	t.Cleanup(server.Close)
	return func(ctx context.Context, in orderInput) (out orderOutput, err error) {
		body, err := json.Marshal(in)
		if err != nil {
			return out, err
		}
		resp, err := trySend(t, server.URL, call{key: in.ID, body: string(body)})
		if err != nil || resp.Status != http.StatusOK {
			return out, errors.Join(err, idempotency.Code(strings.TrimSpace(resp.Body)))
		}
		return out, json.Unmarshal([]byte(resp.Body), &out)
	}
}

// codeOf is how the tests' own transports tell a refusal.
func codeOf(err error) string {
	refusal, ok := errors.AsType[*idempotency.Error](err)
	if !ok {
		return err.Error()
	}
	return string(refusal.Code)
}

// plainOrders calls the function for each order.
type plainOrders struct {
	testpb.UnimplementedOrdersServer

	create callFunc
}

func (o plainOrders) Create(ctx context.Context, order *testpb.Order) (*testpb.Receipt, error) {
	out, err := o.create(ctx, orderInput{ID: order.GetRequestId(), Tenant: "P1", Amount: int(order.GetAmount())})
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, codeOf(err))
	}
	return &testpb.Receipt{Run: out.Run}, nil
}

func overGRPC(t *testing.T, create callFunc) callFunc {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpcgo.NewServer()
	testpb.RegisterOrdersServer(server, plainOrders{create: create})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpcgo.NewClient(listener.Addr().String(), grpcgo.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, conn.Close())
		server.Stop()
		assert.NoError(t, <-served)
	})
	client := testpb.NewOrdersClient(conn)
	return func(ctx context.Context, in orderInput) (orderOutput, error) {
		receipt, err := client.Create(ctx, &testpb.Order{RequestId: in.ID, Amount: int64(in.Amount)})
		if err != nil {
			return orderOutput{}, idempotency.Code(status.Convert(err).Message())
		}
		return orderOutput{Run: receipt.GetRun()}, nil
	}
}

// delivery is a message, and where its consumer says what came of it.
type delivery struct {
	in   orderInput
	done chan error
	out  orderOutput
}

// overConsumer takes messages from a queue, one after the other.
func overConsumer(t *testing.T, create callFunc) callFunc {
	t.Helper()
	queue, ended := make(chan *delivery), make(chan struct{})
	go func() {
		defer close(ended)
		for d := range queue {
			var err error
			d.out, err = create(context.Background(), d.in)
			d.done <- err
		}
	}()
	t.Cleanup(func() {
		close(queue)
		<-ended
	})
	return func(_ context.Context, in orderInput) (orderOutput, error) {
		d := &delivery{in: in, done: make(chan error, 1)}
		queue <- d
		err := <-d.done
		return d.out, err
	}
}
