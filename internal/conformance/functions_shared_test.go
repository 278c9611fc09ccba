package conformance_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

// orderFunc takes an order, wherever it comes from.
type orderFunc func(ctx context.Context, in orderInput) (orderOutput, error)

// One protected function behind an HTTP route that is off, a gRPC method and a consumer
// of messages, none of which is protected itself.
func TestOneWrappedFunctionBehindThreeTransportsRunsOnceAndSharesARecord(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		guard := guardsOn(t, 1, func() store.Store { return st })[0]
		runs, goOn := new(atomic.Int64), make(chan struct{})
		desk := orderDesk{runs: runs, policy: "wait=15s", work: func(ctx context.Context) error {
			info, ok := idempotency.FromContext(ctx)
			assert.True(t, ok)
			assert.Equal(t, "orders.create", info.Operation)
			return errors.Join(idempotency.MarkEffect(ctx), until(ctx, goOn))
		}}
		create, err := idempotency.Wrap(guard, "orders.create", desk.run, desk.parsed(t))
		require.NoError(t, err)
		ways := map[string]orderFunc{
			"HTTP": overHTTP(t, guard, create), "gRPC": overGRPC(t, create), "consumer": overConsumer(t, create),
		}

		in := orderOf(newKey())
		var wg sync.WaitGroup
		for range 5 {
			for name, call := range ways {
				wg.Go(func() {
					out, err := call(t.Context(), in)
					assert.NoError(t, err, name)
					assert.Equal(t, orderOutput{Run: 1, Amount: 7}, out, name)
				})
			}
		}
		assert.Eventually(t, func() bool { return statsOf(guard, "orders.create").Waiting >= 10 }, 10*time.Second, time.Millisecond,
			"all of HTTP and gRPC but the owner, if it is one of them, and no second message before the first")
		close(goOn)
		wg.Wait()
		assert.EqualValues(t, 1, runs.Load())
		stats := statsOf(guard, "orders.create")
		assert.EqualValues(t, 1, stats.Executed)
		assert.EqualValues(t, 14, stats.Replayed)
		record := recordOf(t, guard)
		assert.Equal(t, guard.ID("orders.create", "P1", in.ID), record.ID)
		assert.Equal(t, store.Completed, record.State)
		assert.Equal(t, 1, record.Attempt)

		for name, call := range ways {
			other := in
			other.Amount++
			_, err := call(t.Context(), other)
			assert.ErrorIs(t, err, idempotency.ErrKeyReused, name)
		}
		assert.Equal(t, record, recordOf(t, guard))
	})
}

// overHTTP is a route that is off, as the pages spell it: its key is the struct's, which
// the function looks at, and [idemhttp.JSON] tells the refusals.
func overHTTP(t *testing.T, guard *idempotency.Guard, create orderFunc) orderFunc {
	t.Helper()
	mw, err := idemhttp.New(guard, idemhttp.Scope(tenantOnly))
	require.NoError(t, err)
	mux := http.NewServeMux()
	require.NoError(t, mw.Handle(mux, "POST /orders", idemhttp.JSON(create, idemhttp.JSONStatus(http.StatusCreated)),
		idempotency.Policy{Key: idempotency.KeyOff}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return func(_ context.Context, in orderInput) (orderOutput, error) {
		got, err := order(t, server.URL, in)
		return got.orderOutput, err
	}
}

// overGRPC is a method without an interceptor.
func overGRPC(t *testing.T, create orderFunc) orderFunc {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpcgo.NewServer()
	testpb.RegisterOrdersServer(server, orderMethods{run: func(ctx context.Context, in orderInput) (orderOutput, error) {
		out, err := create(ctx, in)
		if refused, ok := errors.AsType[*idempotency.Error](err); ok {
			err = idemgrpc.Refuse(ctx, refused)
		}
		return out, err
	}})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn := dialGRPC(t, listener.Addr().String())
	t.Cleanup(func() {
		server.Stop()
		assert.NoError(t, <-served)
	})
	client := testpb.NewOrdersClient(conn)
	return func(ctx context.Context, in orderInput) (orderOutput, error) {
		got, err := orderGRPC(ctx, client, in)
		return got.orderOutput, err
	}
}

// delivery is a message, and where its consumer says what came of it.
type delivery struct {
	in   orderInput
	done chan error
	out  orderOutput
}

// overConsumer takes messages from a queue, one after the other.
func overConsumer(t *testing.T, create orderFunc) orderFunc {
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
