package clients_test

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	pb "github.com/reprise-go/reprise/examples/payments/paymentspb"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/paytest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

const (
	paymentKey = "3f2a9c1e-7d54-4b1a-9a60-2f1f0c7f4e11"
	warmUpKey  = "0b8e5c52-94d7-4c0e-8c57-6e0d0d6a7f22"
	// completion is the number of the completion among the requests of a payment
	// that name its record: after the claim, the GET with it, and the mark.
	completion = 4
	// retries of grpc-go, by the client's service config.
	retries = `{"methodConfig": [{"name": [{"service": "payments.v1.PaymentService"}], "waitForReady": true, "retryPolicy": {
		"maxAttempts": 5, "initialBackoff": "0.05s", "maxBackoff": "0.5s", "backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]}}]}`
)

// paymentRecord names the record of the payment.
func paymentRecord() store.ID {
	return store.NewID("acme", "payments.v1.PaymentService/CreatePayment", paymentKey)
}

// grpcFleet is two processes of the payment service on one Redis.
type grpcFleet struct {
	a, b    *paytest.Process
	line    *faultproxy.Proxy // between A and Redis
	records store.Store
}

func newGRPCFleet(t *testing.T) *grpcFleet {
	t.Helper()
	srv, namespace := shared.Server(t), "clients-"+rand.Text()
	records, err := redisstore.New(srv.Client(t), redisstore.Namespace(namespace))
	require.NoError(t, err)
	t.Cleanup(func() { _ = records.Close() })
	f := &grpcFleet{line: faultproxy.Start(t, srv.Addr()), records: records}
	args := []string{
		"-namespace", namespace, "-ledger", filepath.Join(t.TempDir(), "ledger.jsonl"),
		"-lease", "1500ms", "-grpc-wait", "20s", "-orphan", "rerun-unmarked",
	}
	f.a = payments.Start(t, append(args, "-redis", "redis://"+f.line.Addr()+"/0")...)
	f.b = payments.Start(t, append(args, "-redis", srv.URL())...)
	return f
}

// client dials processes, of which it uses the first that it can reach.
func (f *grpcFleet) client(t *testing.T, to ...*paytest.Process) pb.PaymentServiceClient {
	t.Helper()
	fleet := manual.NewBuilderWithScheme("fleet")
	var state resolver.State
	for _, p := range to {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: p.GRPC}}})
	}
	fleet.InitialState(state)
	conn, err := grpc.NewClient("fleet:///payments", grpc.WithResolvers(fleet),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(retries))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return pb.NewPaymentServiceClient(conn)
}

// paid is what a call ended with.
type paid struct {
	payment *pb.Payment
	mark    string
	err     error
}

// pay starts a payment under a key, which grpc-go sends with every attempt.
func pay(t *testing.T, client pb.PaymentServiceClient, key, source string) <-chan paid {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer sk_test_acme", "idempotency-key", key)
	ended := make(chan paid, 1)
	go func() {
		var header metadata.MD
		payment, err := client.CreatePayment(ctx, &pb.CreatePaymentRequest{Amount: 1999, Currency: "EUR", Source: source}, grpc.Header(&header))
		ended <- paid{payment, strings.Join(header.Get("idempotency-status"), "|"), err}
	}()
	return ended
}

// awaitRunning waits until the payment's handler may run.
func (f *grpcFleet) awaitRunning(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		rec, err := f.records.Lookup(t.Context(), paymentRecord())
		return err == nil && rec.State == store.Running
	}, 30*time.Second, 5*time.Millisecond, "the payment runs")
}

// charges returns the effects of the payment.
func (f *grpcFleet) charges(t *testing.T) []paytest.Entry {
	t.Helper()
	hash := paymentRecord().String()[:16]
	return slices.DeleteFunc(f.b.Entries(t), func(e paytest.Entry) bool { return e.KeyHash != hash })
}

// requireOneCharge asserts that the only charge is the one that was told.
func (f *grpcFleet) requireOneCharge(t *testing.T, got paid) {
	t.Helper()
	require.NoError(t, got.err)
	list := f.charges(t)
	require.Len(t, list, 1)
	assert.Equal(t, list[0].Payment, got.payment.GetId())
}

// grpc-go sends a call again, to the next instance, because the one that had it
// died. Its policy knows nothing but the code UNAVAILABLE.
func TestF87_RetriesOfGRPCOverInstancesThatDieAreOneCharge(t *testing.T) {
	t.Parallel()
	t.Run("before the mark: the second instance takes over", func(t *testing.T) {
		t.Parallel()
		f := newGRPCFleet(t)
		ended := pay(t, f.client(t, f.a, f.b), paymentKey, "tok_slow_1s")
		f.awaitRunning(t)
		f.a.Kill()
		got := <-ended
		f.requireOneCharge(t, got)
		assert.Equal(t, "executed", got.mark)
	})
	t.Run("after the record: the second instance replays", func(t *testing.T) {
		t.Parallel()
		f := newGRPCFleet(t)
		// The first payment of a process loads scripts, which takes requests of its own.
		require.NoError(t, (<-pay(t, f.client(t, f.a), warmUpKey, "tok_visa")).err)
		recorded := f.line.SwallowReply(paymentRecord().String(), completion)
		ended := pay(t, f.client(t, f.a, f.b), paymentKey, "tok_visa")
		<-recorded.First()
		require.Len(t, f.charges(t), 1)
		f.a.Kill()
		got := <-ended
		f.requireOneCharge(t, got)
		assert.Equal(t, "replayed", got.mark)
	})
}

// Hedges are calls under one key on several instances at once.
func TestF87_HedgesOverGRPCInstancesAreOneCharge(t *testing.T) {
	t.Parallel()
	f := newGRPCFleet(t)
	calls := []<-chan paid{pay(t, f.client(t, f.a), paymentKey, "tok_slow_500ms")}
	for _, p := range []*paytest.Process{f.b, f.a, f.b} {
		calls = append(calls, pay(t, f.client(t, p), paymentKey, "tok_slow_500ms"))
	}
	marks := make(map[string]int)
	for _, call := range calls {
		got := <-call
		f.requireOneCharge(t, got)
		marks[got.mark]++
	}
	assert.Equal(t, map[string]int{"executed": 1, "replayed": 3}, marks)
}
