package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/proof/recipes/consumer"
	"github.com/reprise-go/reprise/store/redisstore"
)

// bench is a stream of orders, its consumer, and a bank that counts.
type bench struct {
	js       jetstream.JetStream
	orders   jetstream.Consumer
	guard    *idempotency.Guard
	payments atomic.Int64
}

var namespaces atomic.Int64

// ackWait is how long the stream waits for an acknowledgement.
const ackWait = 500 * time.Millisecond

func newBench(t *testing.T) *bench {
	t.Helper()
	nc := connect(t)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	// It forgets ids soon, as it would forget those of a producer that comes back late.
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "ORDERS", Subjects: []string{"orders"}, Storage: jetstream.MemoryStorage, Duplicates: 100 * time.Millisecond,
	})
	require.NoError(t, err)
	orders, err := js.CreateConsumer(t.Context(), "ORDERS", jetstream.ConsumerConfig{
		Durable: "payments", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait,
	})
	require.NoError(t, err)
	return &bench{js: js, orders: orders, guard: newGuard(t)}
}

// connect starts a NATS server of the test's own.
func connect(t *testing.T) *nats.Conn {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	})
	require.NoError(t, err)
	srv.Start()
	require.True(t, srv.ReadyForConnections(30*time.Second))
	nc, err := nats.Connect(srv.ClientURL())
	require.NoError(t, err)
	t.Cleanup(func() {
		nc.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	return nc
}

func newGuard(t *testing.T) *idempotency.Guard {
	t.Helper()
	records, err := redisstore.New(shared.Server(t).Client(t), redisstore.Namespace(fmt.Sprint("recipe-", namespaces.Add(1))))
	require.NoError(t, err)
	guard, err := idempotency.New(records, idempotency.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(t, guard.Shutdown(ctx))
		assert.NoError(t, records.Close())
	})
	return guard
}

// publish publishes an order, if need be until the stream has forgotten the id.
func (b *bench) publish(t *testing.T, id string, amount int64) {
	t.Helper()
	data, err := json.Marshal(consumer.Order{Merchant: "m", Amount: amount})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		ack, err := b.js.Publish(t.Context(), "orders", data, jetstream.WithMsgID(id))
		return err == nil && !ack.Duplicate
	}, 20*time.Second, 20*time.Millisecond)
}

// next returns the next delivery.
func (b *bench) next(t *testing.T) jetstream.Msg {
	t.Helper()
	msg, err := b.orders.Next(jetstream.FetchMaxWait(20 * time.Second))
	require.NoError(t, err)
	return msg
}

// requireEmpty waits until the stream has nothing more to deliver.
func (b *bench) requireEmpty(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		info, err := b.orders.Info(t.Context())
		return err == nil && info.NumAckPending == 0 && info.NumPending == 0
	}, 20*time.Second, 20*time.Millisecond)
}

// protected is what a consumer calls; do is the bank's part.
func (b *bench) protected(t *testing.T, do func(context.Context) error) consumer.Pay {
	t.Helper()
	pay, err := consumer.Protect(b.guard, func(ctx context.Context, order consumer.Order) (consumer.Receipt, error) {
		if err := idempotency.MarkEffect(ctx); err != nil {
			idempotency.Release(ctx)
			return consumer.Receipt{}, err
		}
		b.payments.Add(1)
		if do != nil {
			if err := do(ctx); err != nil {
				return consumer.Receipt{}, err
			}
		}
		return consumer.Receipt{Amount: order.Amount}, nil
	})
	require.NoError(t, err)
	return pay
}

func TestAMessageThatWasNotAcknowledgedIsPaidOnce(t *testing.T) {
	b := newBench(t)
	pay := b.protected(t, nil)
	b.publish(t, "order-1", 7)

	// The first consumer dies after its work, before it acknowledges.
	lost := b.next(t)
	_, err := pay(t.Context(), orderOf(t, lost))
	require.NoError(t, err)

	again := b.next(t)
	meta, err := again.Metadata()
	require.NoError(t, err)
	require.EqualValues(t, 2, meta.NumDelivered)
	verdict, err := consumer.Handle(t.Context(), pay, again)
	require.NoError(t, err)
	assert.Equal(t, consumer.Acknowledged, verdict)
	b.requireEmpty(t)
	assert.EqualValues(t, 1, b.payments.Load())
}

func TestAMessageThatIsPublishedAgainIsPaidOnce(t *testing.T) {
	b := newBench(t)
	pay := b.protected(t, nil)
	for range 2 {
		b.publish(t, "order-1", 7)
		verdict, err := consumer.Handle(t.Context(), pay, b.next(t))
		require.NoError(t, err)
		assert.Equal(t, consumer.Acknowledged, verdict)
	}
	b.requireEmpty(t)
	assert.EqualValues(t, 1, b.payments.Load())
}

func TestAMessageThatComesWhileItIsWorkedOnWaitsForTheResult(t *testing.T) {
	b := newBench(t)
	started, goOn := make(chan struct{}), make(chan struct{})
	pay := b.protected(t, func(context.Context) error {
		close(started)
		<-goOn
		return nil
	})
	b.publish(t, "order-1", 7)
	slow, done := b.next(t), make(chan consumer.Verdict, 2)
	handle := func(msg jetstream.Msg) {
		verdict, err := consumer.Handle(t.Context(), pay, msg)
		assert.NoError(t, err)
		done <- verdict
	}
	go handle(slow)
	<-started
	go handle(b.next(t)) // the stream did not hear anything in time
	close(goOn)
	assert.Equal(t, consumer.Acknowledged, <-done)
	assert.Equal(t, consumer.Acknowledged, <-done)
	b.requireEmpty(t)
	assert.EqualValues(t, 1, b.payments.Load())
}

func TestAMessageThatIsNoOrderIsParked(t *testing.T) {
	b := newBench(t)
	_, err := b.js.Publish(t.Context(), "orders", []byte("{"))
	require.NoError(t, err)
	verdict, err := consumer.Handle(t.Context(), b.protected(t, nil), b.next(t))
	require.Error(t, err)
	assert.Equal(t, consumer.Parked, verdict)
	b.requireEmpty(t)
}

func TestWhatTheBankSaysDecidesWhatBecomesOfAMessage(t *testing.T) {
	tests := []struct {
		name     string
		says     func(context.Context) error
		first    consumer.Verdict
		then     consumer.Verdict // "": it does not come again
		payments int64
	}{
		{"a final no", func(context.Context) error { return idempotency.Final(errors.New("the bank declines")) }, consumer.Acknowledged, "", 1},
		{"no answer after the effect was marked", func(context.Context) error { return context.DeadlineExceeded }, consumer.Again, consumer.Parked, 1},
		{"nothing happened", func(ctx context.Context) error {
			idempotency.Release(ctx)
			return context.DeadlineExceeded
		}, consumer.Again, consumer.Again, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			pay := b.protected(t, tt.says)
			b.publish(t, "order-1", 7)
			verdict, err := consumer.Handle(t.Context(), pay, b.next(t))
			require.Error(t, err)
			assert.Equal(t, tt.first, verdict)
			if tt.then != "" {
				verdict, err = consumer.Handle(t.Context(), pay, b.next(t))
				require.Error(t, err)
				assert.Equal(t, tt.then, verdict)
			}
			assert.Equal(t, tt.payments, b.payments.Load())
		})
	}
}

func TestAMessageWithoutAnIDOrWithAUsedOneIsParked(t *testing.T) {
	b := newBench(t)
	pay := b.protected(t, nil)
	b.publish(t, "order-1", 7)
	_, err := consumer.Handle(t.Context(), pay, b.next(t))
	require.NoError(t, err)
	b.publish(t, "order-1", 8)
	b.publish(t, "", 9)
	for _, want := range []error{idempotency.ErrKeyReused, idempotency.ErrKeyMissing} {
		verdict, err := consumer.Handle(t.Context(), pay, b.next(t))
		require.ErrorIs(t, err, want)
		assert.Equal(t, consumer.Parked, verdict)
	}
	b.requireEmpty(t)
	assert.EqualValues(t, 1, b.payments.Load())
}

func orderOf(t *testing.T, msg jetstream.Msg) consumer.Order {
	t.Helper()
	order := consumer.Order{ID: msg.Headers().Get(jetstream.MsgIDHeader)}
	require.NoError(t, json.Unmarshal(msg.Data(), &order))
	return order
}
