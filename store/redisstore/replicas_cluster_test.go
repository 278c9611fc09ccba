package redisstore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// onMaster returns a request whose record that master has.
func onMaster(t *testing.T, c *redistest.Cluster, master *redistest.Server) *request {
	t.Helper()
	for {
		r := newRequest(t)
		if owner, _ := c.MasterOf(recordKey(redisstore.DefaultNamespace, r.id)); owner == master {
			return r
		}
	}
}

// slowReads lets a client wait for as long as MinReplicas may take.
func slowReads(o *redis.ClusterOptions) { o.ReadTimeout = 3 * time.Second }

// F16: the master that wrote is the one that is asked. Asked through the client
// of the cluster, another master would answer for its own replica in most cases.
func TestUnacknowledgedWritesAreRefusedOnAClusterF16(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	// What is to be acknowledged gets the longest time, what is not a short one.
	rdb := c.Client(t, slowReads)
	s := newStore(t, rdb, redisstore.MinReplicas(1, 250*time.Millisecond))
	patient := newStore(t, rdb, redisstore.MinReplicas(1, time.Second))
	masters := c.Masters()
	first := onMaster(t, c, masters[0])
	first.claims(t, patient, store.Claimed)
	_, replicas := c.MasterOf(recordKey(redisstore.DefaultNamespace, first.id))
	var others []*request
	for _, master := range masters[1:] {
		other := onMaster(t, c, master)
		other.claims(t, patient, store.Claimed)
		others = append(others, other)
	}
	requests := append([]*request{first}, others...)
	renewals := make([]store.Renewal, len(requests))
	for i, r := range requests {
		renewals[i] = store.Renewal{ID: r.id, Renew: r.renew()}
	}
	for _, result := range patient.Renew(t.Context(), renewals) {
		require.NoError(t, result.Err)
		require.Equal(t, store.Done, result.Reply.Verdict)
	}
	replicas[0].Pause()

	for range 10 {
		fresh := onMaster(t, c, masters[0])
		fresh.unacknowledged(t, s, fresh.claim)
	}
	results := patient.Renew(t.Context(), renewals)
	require.ErrorIs(t, results[0].Err, redisstore.ErrUnacknowledged)
	for _, result := range results[1:] {
		require.NoError(t, result.Err)
		require.Equal(t, store.Done, result.Reply.Verdict)
	}
	first.unacknowledged(t, s, first.complete(bodyOf(9)))
	first.unacknowledged(t, s, first.complete(bodyOf(9)))
	for _, other := range others {
		other.applies(t, patient, other.complete(bodyOf(64<<10)), store.Done)
		other.replays(t, patient, bodyOf(64<<10))
	}
	replicas[0].Resume()
}

// F18, F19: a packet that goes to a node follows a slot that moves, as the
// cluster's client does.
func TestAcknowledgedWritesFollowASlotF18F19(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	rdb := c.Client(t, slowReads, func(o *redis.ClusterOptions) { o.MaxRedirects = 8 })
	s := newStore(t, rdb, redisstore.MinReplicas(1, time.Second))
	masters := c.Masters()
	small, large := onMaster(t, c, masters[0]), onMaster(t, c, masters[0])
	for _, r := range []*request{small, large} {
		key := recordKey(redisstore.DefaultNamespace, r.id)
		move := c.BeginMigration(key, masters[1])
		r.claims(t, s, store.Claimed) // ASK: it is not there yet
		r.applies(t, s, r.renew(), store.Done)
		r.applies(t, s, r.mark(), store.Done)
		move.Finish()
		r.applies(t, s, r.renew(), store.Done) // MOVED
		r.applies(t, s, r.mark(), store.Done)

		move = c.BeginMigration(key, masters[2])
		r.applies(t, s, r.renew(), store.Done)
		move.MoveKeys()
		r.applies(t, s, r.mark(), store.Done) // ASK
		body := bodyOf(9)
		if r == large {
			body = bodyOf(64 << 10)
		}
		r.applies(t, s, r.complete(body), store.Done)
		r.replays(t, s, body)
		move.Finish()
		r.replays(t, s, body)
		owner, replicas := c.MasterOf(key)
		require.Same(t, masters[2], owner)
		require.Contains(t, replicas[0].Keys("*"), key)
	}
	require.Zero(t, s.Stats().Unacknowledged)
}

// F16, F18: a renewal that follows a slot is acknowledged where it arrives.
func TestRedirectedRenewalIsNotConfirmedByOthersF16F18(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	rdb := c.Client(t, slowReads)
	s := newStore(t, rdb, redisstore.MinReplicas(1, 250*time.Millisecond))
	masters := c.Masters()
	there := onMaster(t, c, masters[1])
	_, replicas := c.MasterOf(recordKey(redisstore.DefaultNamespace, there.id))
	r := onMaster(t, c, masters[0])
	r.claims(t, newStore(t, rdb), store.Claimed)
	move := c.BeginMigration(recordKey(redisstore.DefaultNamespace, r.id), masters[1])
	move.MoveKeys()
	replicas[0].Pause()
	r.unacknowledged(t, s, r.renew()) // ASK
	replicas[0].Resume()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		reply, err := s.Apply(t.Context(), r.id, r.renew())
		assert.NoError(c, err)
		assert.Equal(c, store.Done, reply.Verdict)
	}, 20*time.Second, 10*time.Millisecond)
	move.Finish()
}
