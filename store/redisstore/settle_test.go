package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

const secret = "erase-canary-42"

// erases completes a request with an answer that holds the secret, and erases
// it. It returns the value that is left in Redis.
func erases(t *testing.T, s *redisstore.Store, srv *redistest.Server, r *request, size int) string {
	t.Helper()
	answer := bodyOf(size)
	answer.Meta = []byte(secret)
	answer.Body = append(answer.Body, secret...)
	answer.Omitted = store.BodySecret
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.complete(answer), store.Done)
	require.Len(t, srv.Holding(secret), 1)
	r.applies(t, s, r.erase(), store.Done)
	require.Empty(t, srv.Holding(secret))
	return srv.Dump()[recordKey(redisstore.DefaultNamespace, r.id)]
}

// An erased answer is gone from Redis, with all that was said about it, and the
// next claim starts another attempt.
func TestEraseLeavesNothingOfTheAnswer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		size      int
		operation string
	}{
		{"no body", 0, "o"},
		{"below what a script reads", 100, "payments.create"},
		{"beyond it", 10 << 10, "payments.create"},
		{"1 MiB", 1 << 20, "payments.create"},
		{"longest operation", 1 << 10, strings.Repeat("o", store.MaxOperationName)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, srv := own(t)
			r := newRequest(t)
			r.claim.Operation = test.operation
			value := erases(t, s, srv, r, test.size)
			require.Len(t, value, 341+len(test.operation))
			rec, err := s.Lookup(t.Context(), r.id)
			require.NoError(t, err)
			assert.Equal(t, store.Released, rec.State)
			assert.Equal(t, store.Answer{}, rec.Answer)
			assert.Equal(t, r.claim.Owner, rec.Owner)
			assert.Equal(t, r.claim.Fingerprint, rec.Fingerprint)

			r.applies(t, s, r.erase(), store.Done)
			next := r.duplicate()
			assert.Equal(t, 2, next.claims(t, s, store.Claimed).Attempt)
			r.applies(t, s, r.erase(), store.Refused)
		})
	}
}

// An answer has to be taken back on a full server, too.
func TestEraseWorksOnAFullServerF33(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	r := newRequest(t)
	answer := bodyOf(64 << 10)
	answer.Meta = []byte(secret)
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.complete(answer), store.Done)
	fill(srv)
	r.applies(t, s, r.erase(), store.Done)
	require.Empty(t, srv.Holding(secret))
	ttl := srv.Do("pttl", recordKey(redisstore.DefaultNamespace, r.id))
	require.InDelta(t, r.claim.Retention.Milliseconds(), ttl, 1000)
}

func TestEraseDecidesOnlyAboutItsToken(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	running := r.erase()
	r.applies(t, s, running, store.Refused) // its lease runs, and Running is not set
	r.applies(t, s, r.complete(answerOf(secret)), store.Done)
	other := r.erase()
	other.Token++
	r.applies(t, s, other, store.Refused)
	r.applies(t, s, r.settle(nil), store.Refused) // it is completed, and Erase is not set
	require.Len(t, srv.Holding(secret), 1)
	r.replays(t, s, answerOf(secret))
}

// What has no end keeps none, whatever is decided.
func TestSettlementGivesNoEndToARecordWithoutOne(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("endless"))
	answer := answerOf("x")
	for _, event := range []func(r *request) store.Settle{
		func(r *request) store.Settle { return r.settle(nil) },
		func(r *request) store.Settle { return r.settle(&answer) },
		func(r *request) store.Settle {
			r.applies(t, s, r.complete(answer), store.Done)
			require.NoError(t, rdb.Persist(t.Context(), recordKey("endless", r.id)).Err())
			return r.erase()
		},
	} {
		r := newRequest(t)
		r.claims(t, s, store.Claimed)
		require.NoError(t, rdb.Persist(t.Context(), recordKey("endless", r.id)).Err())
		r.applies(t, s, event(r), store.Done)
		require.Equal(t, time.Duration(-1), rdb.PTTL(t.Context(), recordKey("endless", r.id)).Val())
	}
}
