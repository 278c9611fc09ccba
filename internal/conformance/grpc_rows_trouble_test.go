package conformance_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

// made replaces what is recorded.
func made(t *testing.T, s idemgrpc.Settled) func(store.Answer) store.Answer {
	t.Helper()
	answer, err := idemgrpc.NewAnswer(s)
	require.NoError(t, err)
	return func(store.Answer) store.Answer { return answer }
}

// A record is whatever the store gives back. What is no answer of the method's is
// refused, and the handler does not run for it.
func TestP8_AStoredAnswerThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	receipt := []proto.Message{&testpb.Receipt{Id: "r"}}
	codec := func(a store.Answer) store.Answer { a.Codec = "http/1"; return a }
	cut := func(a store.Answer) store.Answer { a.Body = a.Body[:len(a.Body)-1]; return a }
	longer := func(a store.Answer) store.Answer { a.Meta = append(a.Meta, 0); return a }
	garbage := func(a store.Answer) store.Answer { a.Body = []byte{0, 2, 0xff, 0xff}; return a } // OK, one message
	tests := []struct {
		name          string
		answer        func(store.Answer) store.Answer
		unary, stream string // the reasons; "" for a replay
	}{
		{"OK without a message", made(t, idemgrpc.Settled{}), "RECORD_UNREADABLE", ""},
		{"OK with two", made(t, idemgrpc.Settled{Messages: append(receipt, receipt...)}), "RECORD_UNREADABLE", ""},
		{"an error with a message", made(t, idemgrpc.Settled{Status: status.New(codes.NotFound, "none"), Messages: receipt}), "RECORD_UNREADABLE", ""},
		{"another type", made(t, idemgrpc.Settled{Messages: []proto.Message{&testpb.Order{}}}), "RESULT_UNAVAILABLE", "RESULT_UNAVAILABLE"},
		{"another transport's", codec, "RESULT_UNAVAILABLE", "RESULT_UNAVAILABLE"},
		{"a body that is cut", cut, "RECORD_UNREADABLE", "RECORD_UNREADABLE"},
		{"metadata that is too long", longer, "RECORD_UNREADABLE", "RECORD_UNREADABLE"},
		{"a message that is none", garbage, "RECORD_UNREADABLE", "RECORD_UNREADABLE"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newGRPC(t, grpcSetup{store: tampered{newMemory(t), test.answer}})
			key, batch := newKey(), &testpb.Batch{Orders: []*testpb.Order{{}, {}}}
			requireCode(t, s.create(t.Context(), key, &testpb.Order{}), codes.OK)
			requireRefusal(t, s.create(t.Context(), key, &testpb.Order{}), codes.FailedPrecondition, test.unary)
			assert.Equal(t, 1, s.Runs())

			_, how := s.many(t.Context(), key, batch)
			requireCode(t, how, codes.OK)
			receipts, again := s.many(t.Context(), key, batch)
			assert.Equal(t, 2, s.Runs())
			if test.stream == "" {
				assert.True(t, again.replayed())
				return
			}
			requireRefusal(t, again, codes.FailedPrecondition, test.stream)
			assert.Empty(t, receipts)
		})
	}
}

func TestP8_ACorruptValueInRedisIsRefused(t *testing.T) {
	t.Parallel()
	rdb, namespace := shared.Server(t).Client(t), namespaceOf(t)
	s := newGRPC(t, grpcSetup{redis: rdb, namespace: namespace})
	key := newKey()
	requireCode(t, s.create(t.Context(), key, &testpb.Order{}), codes.OK)
	_, how := s.many(t.Context(), key, &testpb.Batch{})
	requireCode(t, how, codes.OK)
	for _, method := range []string{"/Create", "/CreateMany"} {
		record := recordName(namespace, store.NewID("P1", ordersName+method, key))
		for _, value := range []string{"", "garbage", "reprise"} {
			require.NoError(t, rdb.SetArgs(t.Context(), record, value, redis.SetArgs{Mode: "XX", KeepTTL: true}).Err(), "it is the record")
			if method == "/Create" {
				how = s.create(t.Context(), key, &testpb.Order{})
			} else {
				_, how = s.many(t.Context(), key, &testpb.Batch{})
			}
			requireRefusal(t, how, codes.FailedPrecondition, "RECORD_UNREADABLE")
		}
	}
	assert.Equal(t, 2, s.Runs())
}

// agedStore has attempts that run be of an age.
type agedStore struct {
	store.Store
	age time.Duration
}

func (s agedStore) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	reply, err := s.Store.Apply(ctx, id, event)
	if reply.Verdict == store.InProgress {
		reply.Started, reply.LeaseEnd = reply.Now.Add(-s.age), reply.Now.Add(time.Hour)
	}
	return reply, err
}

func TestG7_ThePushbackIsTheRetryInfo(t *testing.T) {
	t.Parallel()
	for age, pushback := range map[time.Duration]string{
		time.Millisecond: "1000",
		2500*time.Millisecond + 400*time.Microsecond: "2501", // never before the time
		3 * time.Second:   "3000",
		100 * time.Second: "100000",
	} {
		t.Run(age.String(), func(t *testing.T) {
			t.Parallel()
			create, started, goOn := grpcHolding(t)
			noWait := []idempotency.OperationOption{idempotency.Policy{Wait: idempotency.NoWait}}
			s := newGRPC(t, grpcSetup{store: agedStore{newMemory(t), age}, create: create, method: noWait})
			key := newKey()
			first := s.calling(t.Context(), key)
			next(t, "the handler", started)
			got := s.create(t.Context(), key, &testpb.Order{})
			requireRefusal(t, got, codes.Aborted, "IN_PROGRESS")
			retry, _ := detail[*errdetails.RetryInfo](got.Status)
			assert.Equal(t, max(time.Second, age), retry.GetRetryDelay().AsDuration())
			assert.Equal(t, []string{pushback}, got.Trailer.Get("grpc-retry-pushback-ms"))
			close(goOn)
			requireCode(t, next(t, "the first", first), codes.OK)
		})
	}
}
