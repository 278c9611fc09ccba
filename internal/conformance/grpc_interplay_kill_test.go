package conformance_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

// grpcFleet is two server processes on one Redis, and one client of both that
// goes to the first of them for as long as that is there.
type grpcFleet struct {
	testpb.OrdersClient

	one, two *grpcProcess
	line     *faultproxy.Proxy // between the first and Redis
	ledger   string
}

func newGRPCFleet(t *testing.T, orphan idempotency.Orphan, lease time.Duration, mark bool) *grpcFleet {
	t.Helper()
	srv := shared.Server(t)
	f := &grpcFleet{line: faultproxy.Start(t, srv.Addr()), ledger: filepath.Join(t.TempDir(), "ledger.jsonl")}
	process := grpcProcess{Redis: f.line.Addr(), Namespace: namespaceOf(t), Ledger: f.ledger, Orphan: orphan, Lease: lease, Mark: mark}
	f.one = process.start(t)
	process.Redis = srv.Addr()
	f.two = process.start(t)
	both := manual.NewBuilderWithScheme("fleet")
	both.InitialState(resolver.State{Endpoints: []resolver.Endpoint{
		{Addresses: []resolver.Address{{Addr: f.one.addr}}}, {Addresses: []resolver.Address{{Addr: f.two.addr}}},
	}})
	conn := dialGRPC(t, "fleet:///orders", append(retryingClient(t), grpcgo.WithResolvers(both))...)
	f.OrdersClient = testpb.NewOrdersClient(conn)
	return f
}

// send calls under a key, with grpc-go's retries.
func (f *grpcFleet) send(t *testing.T, key string) told {
	t.Helper()
	return createOn(idemgrpc.WithKey(t.Context(), key), f.OrdersClient, &testpb.Order{})
}

func createID(key string) store.ID { return store.NewID("P1", createName, key) }

// requestsBefore is the number of requests that name the record before its
// completion: the claim, the GET with it, and the mark.
func requestsBefore(mark bool) int {
	if mark {
		return 3
	}
	return 2
}

// The server is killed when the effect has happened, and the record of it is
// about to be written. The client's policy goes on to the other server by
// itself, which never runs it silently.
func TestL6_G9_KilledAfterTheEffectAndBeforeTheRecord(t *testing.T) {
	t.Parallel()
	redistest.NotWithLocalCache(t, "it adds a PTTL to each claim, and the test counts commands to the moment of the kill")
	loadScripts(t, shared.Server(t))
	tests := []struct {
		name   string
		orphan idempotency.Orphan
		mark   bool
		reruns bool
	}{
		{"refuse, unmarked", idempotency.OrphanRefuse, false, false},
		{"refuse, marked", idempotency.OrphanRefuse, true, false},
		{"rerun-unmarked, marked", idempotency.OrphanRerunUnmarked, true, false},
		{"rerun-unmarked, unmarked", idempotency.OrphanRerunUnmarked, false, true},
		{"rerun, marked", idempotency.OrphanRerun, true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newGRPCFleet(t, test.orphan, time.Second, test.mark)
			key := newKey()
			completion := f.line.Hold(createID(key).String(), requestsBefore(test.mark)+1)
			answer := make(chan told, 1)
			go func() { answer <- f.send(t, key) }()
			next(t, "the completion", completion.First())
			require.Len(t, ledgerOf(t, f.ledger), 1, "the effect has happened")
			f.one.kill()

			got := next(t, "the other server's answer", answer)
			list := ledgerOf(t, f.ledger)
			if !test.reruns {
				requireRefusal(t, got, codes.FailedPrecondition, "OUTCOME_UNKNOWN")
				assert.Len(t, list, 1)
				requireRefusal(t, f.send(t, key), codes.FailedPrecondition, "OUTCOME_UNKNOWN")
				assert.Len(t, ledgerOf(t, f.ledger), 1)
				return
			}
			requireCode(t, got, codes.OK)
			assert.Equal(t, []string{"executed"}, got.Header.Get("idempotency-status"))
			require.Len(t, list, 2)
			assert.Equal(t, list[1].Receipt, got.Receipt.GetId())
			assert.Equal(t, 2, list[1].Attempt)
			assert.Greater(t, list[1].Token, list[0].Token)
			completion.Deliver() // the dead process's answer comes too late
			again := f.send(t, key)
			requireSame(t, got, again)
			assert.True(t, again.replayed())
			assert.Len(t, ledgerOf(t, f.ledger), 2)
		})
	}
}

func TestL7_G9_KilledAfterTheRecordAndBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	redistest.NotWithLocalCache(t, "it adds a PTTL to each claim, and the test counts commands to the moment of the kill")
	loadScripts(t, shared.Server(t))
	f := newGRPCFleet(t, idempotency.OrphanRefuse, 3*time.Second, true)
	key := newKey()
	completion := f.line.SwallowReply(createID(key).String(), requestsBefore(true)+1)
	answer := make(chan told, 1)
	go func() { answer <- f.send(t, key) }()
	next(t, "the completion", completion.First())
	f.one.kill()

	got := next(t, "the other server's answer", answer)
	requireCode(t, got, codes.OK)
	assert.True(t, got.replayed(), "the retry of the same call is the replay")
	list := ledgerOf(t, f.ledger)
	require.Len(t, list, 1)
	assert.Equal(t, list[0].Receipt, got.Receipt.GetId())
}

// What makes a request the same one again does not depend on the process: not on
// the order of maps, not on the seeds of its hashes, not on what ran before.
func TestG20_TwoProcessesAgreeOnAMessageOfEveryKind(t *testing.T) {
	t.Parallel()
	f := newGRPCFleet(t, idempotency.OrphanRefuse, 10*time.Second, false)
	two := testpb.NewOrdersClient(dialGRPC(t, f.two.addr, withKeys(t)))
	order := everyKind(t)
	for range 5 {
		ctx := idemgrpc.WithKey(t.Context(), newKey())
		first := createOn(ctx, f.OrdersClient, order)
		requireCode(t, first, codes.OK)
		for range 5 { // encoded anew each time
			again := createOn(ctx, two, order)
			requireSame(t, first, again)
			assert.True(t, again.replayed())
		}
		changed := proto.CloneOf(order)
		changed.Counts["d"]++
		requireRefusal(t, createOn(ctx, two, changed), codes.FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
	}
	assert.Len(t, ledgerOf(t, f.ledger), 5)
}
