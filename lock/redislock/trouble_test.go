package redislock_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/locktest"
)

// F13, F21: a server that stands still, or cannot be reached, costs the lock
// before it can be given away.
func TestLossIsHeardBeforeAnotherHolderCanExist_F13(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	for _, trouble := range []string{"pause", "partition", "replies lost"} {
		t.Run(trouble, func(t *testing.T) {
			t.Parallel()
			b, proxy, srv := proxied(t)
			rival := open(t, srv.Client(t))
			l := newLocker(t, b, lock.LeaseTime(lease))
			le, err := l.TryLock(t.Context(), "k")
			require.NoError(t, err)
			require.Never(t, func() bool { return le.Context().Err() != nil }, 2*lease, lease/4)
			switch trouble {
			case "pause":
				srv.Pause()
				defer srv.Resume()
			case "partition":
				proxy.Partition()
			case "replies lost":
				proxy.DropReplies()
			}
			free := make(chan time.Time, 1)
			if trouble != "pause" {
				go func() {
					h := newHold()
					h.id = lock.NewID("k")
					for {
						reply, err := rival.Acquire(context.Background(), h.id, h.claim)
						if err != nil || reply.Verdict == lock.Acquired {
							free <- time.Now()
							return
						}
						time.Sleep(time.Millisecond)
					}
				}()
			}
			<-le.Context().Done()
			lost := time.Now()
			require.ErrorIs(t, context.Cause(le.Context()), lock.ErrLost)
			if trouble != "pause" {
				assert.True(t, lost.Before(<-free))
			}
			assert.False(t, le.Held())
		})
	}
}

// F12, F14: a server that forgets its locks is heard of at the next renewal.
func TestForgottenLockIsLost_F12(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	l := newLocker(t, open(t, srv.Client(t)), lock.LeaseTime(time.Second))
	for _, forget := range []func(){srv.FlushAll, func() { srv.Kill(); srv.Restart() }} {
		le, err := l.TryLock(t.Context(), "k")
		require.NoError(t, err)
		forget()
		select {
		case <-le.Context().Done():
		case <-time.After(5 * time.Second):
			t.Fatal("the loss is not heard")
		}
		require.ErrorIs(t, context.Cause(le.Context()), lock.ErrLost)
		require.ErrorIs(t, le.Release(t.Context()), lock.ErrLost)
	}
}

// F31: callers who use up the client's connections do not starve renewals.
func TestBusyCallersDoNotStarveRenewals_F31(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t, func(o *redis.Options) { o.PoolSize, o.MaxRetries = 1, -1 })
	l := newLocker(t, open(t, rdb), lock.LeaseTime(time.Second))
	le, err := l.TryLock(t.Context(), "k")
	require.NoError(t, err)
	busy := rdb.Conn()
	defer func() { require.NoError(t, busy.Close()) }()
	require.NoError(t, busy.Ping(t.Context()).Err())
	require.Never(t, func() bool { return le.Context().Err() != nil }, 1500*time.Millisecond, 50*time.Millisecond)
}

// F26: what could not be released is, once the server is back.
func TestReleaseIsRepeatedWhenTheServerIsBack_F26(t *testing.T) {
	t.Parallel()
	b, proxy, srv := proxied(t)
	l := newLocker(t, b)
	le, err := l.TryLock(t.Context(), "k")
	require.NoError(t, err)
	proxy.Partition()
	require.ErrorIs(t, le.Release(t.Context()), lock.ErrUnavailable)
	proxy.Heal()
	rival := newLocker(t, open(t, srv.Client(t)))
	require.Eventually(t, func() bool {
		other, err := rival.TryLock(t.Context(), "k")
		return err == nil && other.Release(t.Context()) == nil
	}, 10*time.Second, 20*time.Millisecond)
}

// startCluster runs a cluster of one node. It enforces what a larger one does:
// declared keys, in one slot.
func startCluster(t *testing.T) (*redis.ClusterClient, *redistest.Server) {
	t.Helper()
	bus, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(bus.Addr().String())
	require.NoError(t, err)
	require.NoError(t, bus.Close())
	srv := redistest.Start(t, redistest.Args("--cluster-enabled", "yes", "--cluster-port", port))
	srv.Do("cluster", "addslotsrange", "0", "16383")
	require.Eventually(t, func() bool {
		return strings.Contains(fmt.Sprint(srv.Do("cluster", "info")), "cluster_state:ok")
	}, 10*time.Second, 20*time.Millisecond)
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{srv.Addr()}, ContextTimeoutEnabled: true})
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return rdb, srv
}

func TestConformanceOnACluster(t *testing.T) {
	t.Parallel()
	rdb, srv := startCluster(t)
	b := open(t, rdb)
	locktest.Run(t, func(*testing.T) locktest.Harness { return locktest.Harness{Backend: b, Fenced: true} })

	renewals := make([]lock.Renewal, 40)
	for i := range renewals {
		h := newHold()
		h.acquires(t, b, lock.Acquired)
		renewals[i] = h.renewal()
	}
	srv.ScriptFlush()
	for _, r := range b.Renew(t.Context(), renewals) {
		require.Equal(t, lock.RenewResult{}, r)
	}
}
