package conformance_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/codes"

	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
)

// grpc-go has no hedging of its own. What a server sees of it, concurrent calls
// under one key that count their predecessors, is made here.
func TestG8_F87_HedgesOnOneServerOrTwoAreOneExecution(t *testing.T) {
	t.Parallel()
	for name, servers := range map[string]int{"one server": 1, "two servers on one Redis": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			create, started, goOn := grpcHolding(t)
			var seen attemptLog
			nodes := newGRPCs(t, servers, grpcSetup{create: create, outside: seen.outside()})
			key := newKey()
			var hedges [3]<-chan told
			for i := range hedges {
				hedges[i] = nodes[i%servers].calling(t.Context(), key, "grpc-previous-rpc-attempts", strconv.Itoa(i))
			}
			next(t, "the handler", started)
			haveCallsWaiting(t, 2, nodes...)
			close(goOn)

			marks := map[string]int{}
			first := next(t, "the first hedge", hedges[0])
			requireCode(t, first, codes.OK)
			marks[first.Header.Get("idempotency-status")[0]]++
			for _, hedge := range hedges[1:] {
				got := next(t, "a hedge", hedge)
				requireSame(t, first, got)
				assert.Empty(t, got.Trailer.Get("grpc-retry-pushback-ms"))
				marks[got.Header.Get("idempotency-status")[0]]++
			}
			assert.Equal(t, map[string]int{"executed": 1, "replayed": 2}, marks)
			assert.Equal(t, 1, runsOnAll(nodes))
			previous := map[string]int{}
			for _, a := range seen.all() {
				assert.Equal(t, key, a.key)
				previous[a.previous]++
			}
			assert.Equal(t, map[string]int{"0": 1, "1": 1, "2": 1}, previous)
		})
	}
}

// Whichever of the hedges are given up, before there is an answer: the rest get
// it, and it is there for a later call.
func TestG8_HedgesThatAreCancelledCostTheOthersNothing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		cancelled []int // of three; 0 is the one that runs, and on the server of 2
	}{
		{"the one that runs", []int{0}},
		{"one that waits", []int{1}},
		{"one that waits beside the one that runs", []int{2}},
		{"the one that runs and one that waits", []int{0, 1}},
		{"all that wait", []int{1, 2}},
		{"all", []int{0, 1, 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			create, started, goOn := grpcHolding(t)
			nodes := newGRPCs(t, 2, grpcSetup{create: create})
			key := newKey()
			var hedges [3]<-chan told
			var cancel [3]context.CancelFunc
			for i := range hedges {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				hedges[i], cancel[i] = nodes[i%2].calling(ctx, key), stop
				if i == 0 {
					next(t, "the handler", started)
				}
			}
			haveCallsWaiting(t, 2, nodes...)
			var left int64 = 2
			for _, i := range test.cancelled {
				cancel[i]()
				requireCode(t, next(t, "a cancelled hedge", hedges[i]), codes.Canceled)
				hedges[i] = nil
				left -= int64(min(i, 1))
			}
			haveCallsWaiting(t, left, nodes...)
			close(goOn)

			later := nodes[1].create(t.Context(), key, &testpb.Order{})
			requireCode(t, later, codes.OK)
			assert.True(t, later.replayed())
			for _, hedge := range hedges {
				if hedge != nil {
					requireSame(t, later, next(t, "a hedge that was left", hedge))
				}
			}
			assert.Equal(t, 1, runsOnAll(nodes))
		})
	}
}

// hedge does what a hedging client does: it uses the first success and cancels
// the rest, whose answers may be on their way.
func hedge(t *testing.T, key string, nodes []*grpcService) told {
	t.Helper()
	ctx, cancel := context.WithCancel(idemgrpc.WithKey(t.Context(), key))
	defer cancel()
	answers := make(chan told, 3)
	for i := range 3 {
		go func() { answers <- nodes[i%len(nodes)].create(ctx, "", &testpb.Order{}) }()
	}
	first := next(t, "the first success", answers)
	cancel()
	for range 2 {
		other := next(t, "a cancelled hedge", answers)
		if other.Status.Code() != codes.Canceled {
			requireSame(t, first, other)
		}
	}
	return first
}

func TestG8_TheFirstSuccessIsUsedAndTheRestIsCancelled(t *testing.T) {
	t.Parallel()
	with := grpcSetup{}
	with.client = append(with.client, withKeys(t))
	nodes := newGRPCs(t, 2, with)
	for n := range 40 {
		key := newKey()
		first := hedge(t, key, nodes)
		requireCode(t, first, codes.OK)
		again := hedge(t, key, nodes)
		requireSame(t, first, again)
		assert.True(t, again.replayed())
		assert.Equal(t, n+1, runsOnAll(nodes))
	}
}
