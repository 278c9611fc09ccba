package redisstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// On a cluster only calls to one master go together: one that hangs holds up
// nobody else's.
func TestMasterThatHangsHoldsUpItsOwnCallsOnly(t *testing.T) {
	t.Parallel()
	rdb, nodes := startMasters(t)
	s := newStore(t, rdb, redisstore.AutoPipeline())
	var requests []*request
	for range 100 {
		r := newRequest(t)
		r.claims(t, s, store.Claimed)
		requests = append(requests, r)
	}
	hung := make(map[string]bool)
	for _, key := range nodes[0].Keys("*") {
		hung[key] = true
	}
	nodes[0].Pause()
	var stuck, others sync.WaitGroup
	var err error
	once := sync.Once{}
	for _, r := range requests {
		if !hung[recordKey(redisstore.DefaultNamespace, r.id)] {
			continue
		}
		stuck.Go(func() {
			_, failed := s.Apply(t.Context(), r.id, r.mark())
			once.Do(func() { err = failed })
		})
	}
	require.Eventually(t, func() bool { return redisstore.Queued(s) == len(hung)-4 }, time.Minute, time.Millisecond)
	for _, r := range requests {
		if hung[recordKey(redisstore.DefaultNamespace, r.id)] {
			continue
		}
		others.Go(func() {
			reply, err := s.Apply(t.Context(), r.id, r.mark())
			assert.NoError(t, err)
			assert.Equal(t, store.Done, reply.Verdict)
		})
	}
	others.Wait()
	require.Equal(t, len(hung)-4, redisstore.Queued(s))
	nodes[0].Resume()
	stuck.Wait()
	require.NoError(t, err)
}
