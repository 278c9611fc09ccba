package quorumlock_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/quorumlock"
	"github.com/reprise-go/reprise/lock/redislock"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// go-redis looks once a second whether a server that refused connections
		// is back, and notices only then that its client was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// nodeTimeout is what a master may cost in tests. They run one after the other: each
// has five servers, and some look at the time.
const nodeTimeout = 400 * time.Millisecond

// stage is five masters behind proxies.
type stage struct {
	servers []*redistest.Server
	proxies []*faultproxy.Proxy
	timeout time.Duration
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{timeout: nodeTimeout}
	for range 5 {
		srv := redistest.Start(t)
		s.servers = append(s.servers, srv)
		s.proxies = append(s.proxies, faultproxy.Start(t, srv.Addr()))
	}
	return s
}

// open returns a backend with clients of its own.
func (s *stage) open(t *testing.T, mutate ...func(*redis.Options)) *quorumlock.Backend {
	t.Helper()
	var masters []redis.UniversalClient
	for i, srv := range s.servers {
		opts := append([]func(*redis.Options){func(o *redis.Options) {
			o.Addr, o.MaxRetries = s.proxies[i].Addr(), -1
		}}, mutate...)
		masters = append(masters, srv.Client(t, opts...))
	}
	b, err := quorumlock.New(masters, quorumlock.NodeTimeout(s.timeout))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func (s *stage) locker(t *testing.T, opts ...lock.Option) *lock.Locker {
	t.Helper()
	l, err := lock.New(s.open(t), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// warm makes all masters know the scripts, and opens connections.
func (s *stage) warm(t *testing.T, b *quorumlock.Backend) {
	t.Helper()
	for i := range 3 {
		id, owner := lock.NewID(fmt.Sprint("warm ", i)), lock.NewOwner()
		_, err := b.Acquire(t.Context(), id, lock.Claim{Owner: owner, Lease: time.Second})
		require.NoError(t, err)
		s.await(t, id, owner, 'H')
		_, err = b.Release(t.Context(), id, owner)
		require.NoError(t, err)
		s.await(t, id, owner, 'T')
	}
}

// await waits until the owner's record is in a state on all masters.
func (s *stage) await(t *testing.T, id lock.ID, owner lock.Owner, state byte) {
	t.Helper()
	require.Eventually(t, func() bool { return s.count(id, owner, state) == len(s.servers) }, 5*time.Second, time.Millisecond)
}

// awaitAny waits until all masters know of a holder.
func (s *stage) awaitAny(t *testing.T, key string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return s.count(lock.NewID(key), lock.Owner{}, 'H') == len(s.servers)
	}, 5*time.Second, time.Millisecond)
}

// count counts the masters on which the owner's record is in a state; the zero owner
// is any.
func (s *stage) count(id lock.ID, owner lock.Owner, state byte) (n int) {
	for _, srv := range s.servers {
		record, _ := srv.Do("get", redislock.DefaultNamespace+":{"+id.String()+"}").(string)
		if len(record) == 119 && record[4] == state && (owner == lock.Owner{} || record[55:87] == owner.String()) {
			n++
		}
	}
	return n
}
