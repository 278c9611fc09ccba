package conformance_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
)

func TestL17_ThousandsOfLeasesAreRenewedInBatches(t *testing.T) {
	t.Parallel()
	const many, lease, window = 3000, 4 * time.Second, 3 * time.Second
	srv := redistest.Start(t)
	events := newEvents()
	s := newService(t, setup{
		redis: srv.Client(t), namespace: "many",
		guard: []idempotency.Option{idempotency.WithStoreTimeout(lease), idempotency.WithTrace(idempotency.Trace{LeaseLost: events.trace().LeaseLost})},
	})
	op, err := s.Guard.Operation("many", idempotency.Policy{Lease: lease})
	require.NoError(t, err)
	slots, running, goOn := make(chan struct{}, 16), make(chan struct{}, many), make(chan struct{})
	var all sync.WaitGroup
	for n := range many {
		slots <- struct{}{} // no more in the store at a time, or the client's pool is the limit
		all.Go(func() {
			result, err := op.Execute(t.Context(), idempotency.Call{Scope: "s", Key: strconv.Itoa(n)},
				func(context.Context) idempotency.Answer {
					<-slots
					running <- struct{}{}
					<-goOn
					slots <- struct{}{}
					return idempotency.Answer{Class: idempotency.ClassRecord, Answer: store.Answer{Codec: "test"}}
				})
			<-slots
			assert.NoError(t, err)
			assert.True(t, result.Recorded)
		})
	}
	for range many {
		<-running
	}
	before := srv.CommandCounts()
	st := openRedis(t, srv.Client(t), "many")
	for end := time.Now().Add(window); time.Now().Before(end); {
		rec := lookup(t, st, store.NewID("s", "many", strconv.Itoa(rand.IntN(many))))
		left := rec.LeaseEnd.Sub(store.Instant(time.Now().UnixMicro()))
		// Due at a third and a little; a tenth more would be late.
		assert.Greater(t, left, lease*55/100, "a renewal is late")
		time.Sleep(window / 100) // between two samples
	}
	sent := srv.CommandCounts().Since(before)
	lookups := sent["get"]
	renewals := sent["evalsha"] - lookups
	t.Logf("%d renewal calls for %d leases in %v", renewals, many, window)
	assert.Positive(t, renewals)
	assert.Less(t, renewals, 4*many/100, "far more leases than calls")
	assert.Empty(t, events.lost, "while the handlers run")
	close(goOn)
	all.Wait()
}
