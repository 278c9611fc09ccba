package conformance_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
)

// newCountedGRPC is a service on a way to Redis that counts, once the check of the
// store is over and all scripts are known.
func newCountedGRPC(t *testing.T, with grpcSetup) (*grpcService, *faultproxy.Proxy) {
	t.Helper()
	srv := shared.Server(t)
	loadScripts(t, srv)
	line := faultproxy.Start(t, srv.Addr())
	with.redis = srv.Client(t, func(o *redis.Options) { o.Addr = line.Addr() })
	s := newGRPC(t, with)
	eventually(t, "the check of the store", func() bool {
		sent := line.Requests()
		return sent["info"] == 2 && sent["config"] == 1 && sent["evalsha"] == 1 && sent["unsubscribe"] == 1
	})
	line.ResetCounts()
	return s, line
}

// A stream costs the store what a call does, however many messages it has.
func TestAStreamCostsTheRoundTripsOfACall(t *testing.T) {
	t.Parallel()
	redistest.NotWithLocalCache(t, "it adds a PTTL to each claim")
	s, line := newCountedGRPC(t, grpcSetup{
		many: []idempotency.OperationOption{idempotency.Policy{Key: idempotency.KeyOptional}},
		batch: func(batch *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
			for _, order := range batch.GetOrders() {
				switch order.GetCurrency() {
				case "mark":
					assert.NoError(t, idempotency.MarkEffect(stream.Context()))
				case "release":
					return status.Error(codes.Unavailable, "no")
				case "declined":
					return status.Error(codes.NotFound, "no")
				}
				if err := stream.Send(&testpb.Receipt{Id: costlyBody(order.GetCurrency())}); err != nil {
					return err
				}
			}
			return nil
		},
	})
	claim, script := []string{"evalsha", "get"}, []string{"evalsha"}
	tests := []struct {
		name          string
		do            []string // of the messages
		first, second [][]string
	}{
		{"no message", nil, [][]string{claim, script}, [][]string{claim}},
		{"100 messages", slices.Repeat([]string{"small"}, 100), [][]string{claim, script}, [][]string{claim}},
		{"declined", []string{"small", "declined"}, [][]string{claim, script}, [][]string{claim}},
		{"marked", []string{"mark", "mark"}, [][]string{claim, script, script}, [][]string{claim}},
		{"released", []string{"small", "release"}, [][]string{claim, script}, [][]string{claim, script}},
		{"large", []string{"large", "large"}, [][]string{claim, {"set", "evalsha"}}, [][]string{claim}},
	}
	for _, test := range tests {
		batch := new(testpb.Batch)
		for _, do := range test.do {
			batch.Orders = append(batch.Orders, &testpb.Order{Currency: do})
		}
		key := newKey()
		for attempt, want := range [][][]string{test.first, test.second} {
			line.ResetCounts()
			s.many(t.Context(), key, batch)
			assert.Equal(t, want, line.Packets(), "%s, time %d", test.name, attempt)
		}
	}
	assert.Equal(t, 7, s.Runs(), "one of each, but two of what was released")
	line.ResetCounts()
	stream, err := s.CreateMany(t.Context(), &testpb.Batch{})
	require.NoError(t, err)
	_, _ = stream.Recv()
	assert.Zero(t, line.RoundTrips(), "without a key nothing is asked")
}

// Duplicates that wait on one node ask the store as one: they subscribe to the end
// of the other attempt, look whether it has come meanwhile, and ask again when it
// comes. Beside that they ask again from time to time, first after 400 ms.
func TestWaitingDuplicatesCostTheSameRoundTripsAsOne(t *testing.T) {
	t.Parallel()
	redistest.NotWithLocalCache(t, "it adds a PTTL to each claim")
	call := func(t *testing.T, s *grpcService, key string) told {
		t.Helper()
		return s.create(t.Context(), key, &testpb.Order{})
	}
	stream := func(t *testing.T, s *grpcService, key string) told {
		t.Helper()
		_, how := s.many(t.Context(), key, &testpb.Batch{})
		return how
	}
	tests := []struct {
		name    string
		ask     func(*testing.T, *grpcService, string) told
		waiting int
	}{
		{"one call", call, 1}, {"20 calls", call, 20}, {"one stream", stream, 1}, {"20 streams", stream, 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, line, started, goOn := newCountedWaits(t)
			key, answers := newKey(), make(chan told, test.waiting+1)
			ask := func() { answers <- test.ask(t, s, key) }
			go ask()
			next(t, "the handler", started)
			began := time.Now()
			for range test.waiting {
				go ask()
			}
			haveStreamsOrCallsWaiting(t, s, test.waiting)
			eventually(t, "they have looked again", func() bool { return line.Requests()["get"] >= 3 })
			before := line.Requests()
			close(goOn)
			for range test.waiting + 1 {
				requireCode(t, next(t, "an answer", answers), codes.OK)
			}
			again := int(time.Since(began) / (400 * time.Millisecond))
			after := line.Requests()
			delete(after, "unsubscribe") // when nobody has waited for a while
			if again == 0 {
				assert.Equal(t, map[string]int{"evalsha": 3, "get": 3, "subscribe": 1}, before)
				assert.Equal(t, map[string]int{"evalsha": 5, "get": 4, "subscribe": 1}, after, "the answer is recorded, and read")
			}
			assert.Equal(t, after["get"]+1, after["evalsha"], "claims, and the recording")
			assert.LessOrEqual(t, after["get"], 4+again)
			assert.Equal(t, 1, after["subscribe"])
			assert.Equal(t, 1, s.Runs())
		})
	}
}

// newCountedWaits is a service on which duplicates wait for long.
func newCountedWaits(t *testing.T) (s *grpcService, line *faultproxy.Proxy, started chan context.Context, goOn chan struct{}) {
	t.Helper()
	create, started, goOn := grpcHolding(t)
	slow := []idempotency.OperationOption{idempotency.Policy{Wait: 20 * time.Second, Lease: time.Minute}}
	s, line = newCountedGRPC(t, grpcSetup{
		create: create, method: slow, many: slow,
		batch: func(_ *testpb.Batch, stream grpcgo.ServerStreamingServer[testpb.Receipt]) error {
			receipt, err := create(stream.Context(), nil)
			if err != nil {
				return err
			}
			return stream.Send(receipt)
		},
	})
	return s, line, started, goOn
}

func haveStreamsOrCallsWaiting(t *testing.T, s *grpcService, want int) {
	t.Helper()
	eventually(t, "duplicates wait", func() bool {
		var sum int64
		for _, stats := range s.Guard.Stats() {
			sum += stats.Waiting
		}
		return sum == int64(want)
	})
}
