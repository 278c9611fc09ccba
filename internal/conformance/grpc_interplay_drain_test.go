package conformance_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

// drained ends a service as a program does that got SIGTERM: the guard and the
// server at once, each of which waits for the calls that run.
func drained(s *grpcService) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		graceful := make(chan struct{})
		go func() { defer close(graceful); s.Server.GracefulStop() }()
		err := s.Guard.Shutdown(ctx)
		<-graceful
		ended <- err
	}()
	return ended
}

func TestP6_GracefulStopAndShutdownLetRunningCallsEnd(t *testing.T) {
	t.Parallel()
	create, started, goOn := grpcHolding(t)
	nodes := newGRPCs(t, 2, grpcSetup{create: create})
	old, other := nodes[0], nodes[1]
	key := newKey()
	first := old.calling(t.Context(), key)
	next(t, "the handler", started)
	here, there := old.calling(t.Context(), key), other.calling(t.Context(), key)
	haveCallsWaiting(t, 2, nodes...)
	ended := drained(old)

	told := next(t, "the duplicate that waited here", here)
	requireRefusal(t, told, codes.Unavailable, "DRAINING")
	fresh := old.create(t.Context(), newKey(), &testpb.Order{})
	requireCode(t, fresh, codes.Unavailable) // by the guard, or by a server that has closed its socket
	select {
	case err := <-ended:
		require.Fail(t, "it did not wait for the handler", "%v", err)
	default:
	}
	close(goOn)

	got := next(t, "the call that ran", first)
	requireCode(t, got, codes.OK)
	assert.Equal(t, []string{"executed"}, got.Header.Get("idempotency-status"))
	require.NoError(t, next(t, "the drain", ended))
	requireSame(t, got, next(t, "the duplicate that waited elsewhere", there))
	requireSame(t, got, other.create(t.Context(), key, &testpb.Order{}))
	requireCode(t, old.create(t.Context(), key, &testpb.Order{}), codes.Unavailable)
	assert.Equal(t, 1, runsOnAll(nodes))
	assert.Zero(t, old.statsOf(t).InFlight)
}

// A guard that drains sends the client's retries to the servers that stay: with
// them, a rolling restart is not seen.
func TestP6_ADrainingServersCallsGoToTheOtherByTheClientsPolicy(t *testing.T) {
	t.Parallel()
	var seen attemptLog
	nodes := newGRPCs(t, 2, grpcSetup{outside: seen.outside()})
	both := manual.NewBuilderWithScheme("drain")
	both.InitialState(resolver.State{Endpoints: []resolver.Endpoint{
		{Addresses: []resolver.Address{{Addr: nodes[0].Addr}}}, {Addresses: []resolver.Address{{Addr: nodes[1].Addr}}},
	}})
	roundRobin := hedging[:1] + `"loadBalancingConfig": [{"round_robin": {}}], ` + hedging[1:]
	conn := dialGRPC(t, "drain:///orders", withKeys(t), grpcgo.WithResolvers(both), grpcgo.WithDefaultServiceConfig(roundRobin))
	client := testpb.NewOrdersClient(conn)
	eventually(t, "both are used", func() bool {
		requireCode(t, createOn(t.Context(), client, &testpb.Order{}), codes.OK)
		return nodes[0].Runs() > 0 && nodes[1].Runs() > 0
	})
	require.NoError(t, nodes[0].Guard.Shutdown(t.Context()))

	before, there := nodes[0].Runs(), nodes[1].Runs()
	const calls = 3
	for range calls {
		requireCode(t, createOn(idemgrpc.WithKey(t.Context(), newKey()), client, &testpb.Order{}), codes.OK)
	}
	assert.Equal(t, before, nodes[0].Runs())
	assert.Equal(t, there+calls, nodes[1].Runs())
	assert.Positive(t, nodes[0].statsOf(t).Refused[idempotency.ErrDraining])
}
