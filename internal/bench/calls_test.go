package bench_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

// BenchmarkCalls: annotated functions and gRPC's interceptor, called without a
// socket, beside the same call without protection.
func BenchmarkCalls(b *testing.B) {
	stores := map[string]func(b *testing.B) store.Store{
		"memory": func(b *testing.B) store.Store { b.Helper(); return memory(b) },
		"redis":  func(b *testing.B) store.Store { b.Helper(); return openStore(b, shared.Server(b).Client(b, roomy)) },
	}
	for name, open := range stores {
		b.Run("function/"+name, func(b *testing.B) {
			call := function(b, open(b))
			compare(b, 1,
				again("replay", call), anew("first", call),
				each("bare", func() error { _, err := pay(b.Context(), amount{}); return err }))
		})
		b.Run("grpc/"+name, func(b *testing.B) {
			call := unary(b, open(b))
			compare(b, 1,
				again("replay", call), anew("first", call),
				each("bare", func() error { _, err := create(b.Context(), nil); return err }))
		})
	}
}

func again(name string, call func(key string) error) way {
	return way{name, func(caller int) func() error {
		key := ownKey(caller)
		return func() error { return call(key) }
	}}
}

func anew(name string, call func(key string) error) way {
	return each(name, func() error { return call(freshKey()) })
}

type amount struct {
	Amount int64 `json:"amount"`
}

func pay(context.Context, amount) (string, error) { return strings.Repeat("x", 1<<10), nil }

func guardOn(b *testing.B, st store.Store) *idempotency.Guard {
	b.Helper()
	guard, err := idempotency.New(st, idempotency.WithStoreTimeout(slowest))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, guard.Shutdown(context.Background())) })
	return guard
}

func function(b *testing.B, st store.Store) func(key string) error {
	b.Helper()
	guard := guardOn(b, st)
	return func(key string) error {
		in := amount{1999}
		request := idempotency.Request{Operation: "pay", Scope: "s", Key: key, Input: in}
		_, _, err := idempotency.Do(b.Context(), guard, request, func(ctx context.Context) (string, error) { return pay(ctx, in) })
		return err
	}
}

func create(context.Context, any) (any, error) {
	return &testpb.Receipt{Id: strings.Repeat("x", 1<<10)}, nil
}

func unary(b *testing.B, st store.Store) func(key string) error {
	b.Helper()
	protect, err := idemgrpc.New(guardOn(b, st), idemgrpc.GlobalScope())
	require.NoError(b, err)
	require.NoError(b, protect.Protect(testpb.File_orders_proto.Services().ByName("Orders")))
	intercept := protect.Unary()
	info, order := &grpc.UnaryServerInfo{FullMethod: "/reprise.test.v1.Orders/Create"}, &testpb.Order{Amount: 1999, Currency: "EUR"}
	return func(key string) error {
		ctx := metadata.NewIncomingContext(b.Context(), metadata.MD{"idempotency-key": {key}})
		_, err := intercept(grpc.NewContextWithServerTransportStream(ctx, noTransport{}), order, info, create)
		return err
	}
}

// noTransport takes metadata and forgets it.
type noTransport struct{}

func (noTransport) Method() string               { return "" }
func (noTransport) SetHeader(metadata.MD) error  { return nil }
func (noTransport) SendHeader(metadata.MD) error { return nil }
func (noTransport) SetTrailer(metadata.MD) error { return nil }
