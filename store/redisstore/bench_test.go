package redisstore_test

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// Replays beside a bare GET of the same size, which is the least that any store
// in Redis could cost. Compare the two in one run: absolute figures say more
// about the machine.
func BenchmarkReplay(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 1 << 20} {
		rdb := benchClient(b)
		s := newStore(b, rdb)
		r := newRequest(b)
		r.claims(b, s, store.Claimed)
		r.applies(b, s, r.complete(bodyOf(size)), store.Done)
		key := recordKey(redisstore.DefaultNamespace, r.id)

		b.Run(fmt.Sprintf("%dKiB/get", size>>10), func(b *testing.B) {
			parallel(b, func() error { return rdb.Get(b.Context(), key).Err() })
		})
		b.Run(fmt.Sprintf("%dKiB/replay", size>>10), func(b *testing.B) {
			parallel(b, func() error {
				_, err := s.Apply(b.Context(), r.id, r.duplicate().claim)
				return err
			})
		})
	}
}

// A first execution, which is a claim and a completion, beside a SET NX and a
// SET, which is the least for two steps without any of the checks.
func BenchmarkFirstExecution(b *testing.B) {
	rdb := benchClient(b)
	s := newStore(b, rdb)
	answer := bodyOf(1 << 10)
	b.Run("set", func(b *testing.B) {
		parallel(b, func() error {
			r := newRequest(b)
			key := recordKey("bare", r.id)
			if err := rdb.SetNX(b.Context(), key, r.claim.Owner.String(), r.claim.Lease).Err(); err != nil {
				return err
			}
			return rdb.Set(b.Context(), key, answer.Body, r.claim.Retention).Err()
		})
	})
	b.Run("execution", func(b *testing.B) {
		parallel(b, func() error {
			r := newRequest(b)
			reply, err := s.Apply(b.Context(), r.id, r.claim)
			if err != nil {
				return err
			}
			r.reply = reply
			_, err = s.Apply(b.Context(), r.id, r.complete(answer))
			return err
		})
	})
}

// The cost of one lease in a full batch of renewals.
func BenchmarkRenew(b *testing.B) {
	s := newStore(b, benchClient(b))
	renewals := make([]store.Renewal, store.MaxRenewals)
	for i := range renewals {
		r := newRequest(b)
		r.claims(b, s, store.Claimed)
		renewals[i] = store.Renewal{ID: r.id, Renew: r.renew()}
	}
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, s.Renew(b.Context(), renewals)[0].Err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(renewals)), "ns/lease")
}

func benchClient(b *testing.B) *redis.Client {
	b.Helper()
	return shared.Server(b).Client(b)
}

func parallel(b *testing.B, do func() error) {
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := do(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
