package conformance_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

const (
	ordersName = "reprise.test.v1.Orders"
	createName = ordersName + "/Create" // the operation
)

// attemptSeen is what a server saw of one attempt of a call.
type attemptSeen struct {
	key, previous string // previous: grpc-previous-rpc-attempts
	at            time.Time
}

// attemptLog notes down what comes in at servers, before the interceptor does
// anything about it. Safe for concurrent use.
type attemptLog struct {
	mu   sync.Mutex
	seen []attemptSeen
}

func (a *attemptLog) note(ctx context.Context, request any, _ *grpcgo.UnaryServerInfo, handler grpcgo.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	a.mu.Lock()
	a.seen = append(a.seen, attemptSeen{
		key:      strings.Join(md.Get("idempotency-key"), "|"),
		previous: strings.Join(md.Get("grpc-previous-rpc-attempts"), "|"),
		at:       time.Now(),
	})
	a.mu.Unlock()
	return handler(ctx, request)
}

func (a *attemptLog) all() []attemptSeen {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.seen)
}

func (a *attemptLog) outside() []grpcgo.UnaryServerInterceptor {
	return []grpcgo.UnaryServerInterceptor{a.note}
}

// withKeys has a client put keys into the metadata of its calls.
func withKeys(t *testing.T) grpcgo.DialOption {
	t.Helper()
	keys, err := idemgrpc.NewClient(idemgrpc.SendKeysFor(ordersName))
	require.NoError(t, err)
	return grpcgo.WithChainUnaryInterceptor(keys.Unary())
}

// retryingClient is what a client is made of that sends keys and whose attempts
// are repeated by grpc-go.
func retryingClient(t *testing.T) []grpcgo.DialOption {
	t.Helper()
	return []grpcgo.DialOption{withKeys(t), grpcgo.WithDefaultServiceConfig(hedging)}
}

// statsOf returns the counters of Create.
func (s *grpcService) statsOf(t *testing.T) idempotency.Stats {
	t.Helper()
	all := s.Guard.Stats()
	i := slices.IndexFunc(all, func(st idempotency.Stats) bool { return st.Operation == createName })
	require.GreaterOrEqual(t, i, 0)
	return all[i]
}

// newGRPCs starts services on one Redis and under one namespace, as the
// instances of a fleet are.
func newGRPCs(t *testing.T, n int, with grpcSetup) []*grpcService {
	t.Helper()
	with.namespace = namespaceOf(t)
	nodes := make([]*grpcService, n)
	for i := range nodes {
		nodes[i] = newGRPC(t, with)
	}
	return nodes
}

// runsOnAll is how many handlers were started on all of them.
func runsOnAll(nodes []*grpcService) int {
	sum := 0
	for _, n := range nodes {
		sum += n.Runs()
	}
	return sum
}

// haveCallsWaiting waits until so many duplicates wait on all of them.
func haveCallsWaiting(t *testing.T, want int64, nodes ...*grpcService) {
	t.Helper()
	eventually(t, "duplicates wait", func() bool {
		var sum int64
		for _, n := range nodes {
			sum += n.statsOf(t).Waiting
		}
		return sum == want
	})
}

// calling starts a call whose answer is taken later.
func (s *grpcService) calling(ctx context.Context, key string, pairs ...string) <-chan told {
	answer := make(chan told, 1)
	go func() { answer <- s.create(ctx, key, &testpb.Order{}, pairs...) }()
	return answer
}
