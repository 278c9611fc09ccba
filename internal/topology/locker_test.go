package topology_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/quorumlock"
)

// lockMasters starts the five servers of a quorum.
func lockMasters(t *testing.T) []*redistest.Server {
	t.Helper()
	servers := make([]*redistest.Server, 5)
	for i := range servers {
		servers[i] = redistest.Start(t)
	}
	return servers
}

// newLocker returns a process's locker on five masters.
func newLocker(t *testing.T, servers []*redistest.Server) *lock.Locker {
	t.Helper()
	var masters []redis.UniversalClient
	for _, server := range servers {
		masters = append(masters, server.Client(t, func(o *redis.Options) { o.MaxRetries, o.DialerRetries = -1, 1 }))
	}
	backend, err := quorumlock.New(masters)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, backend.Close()) })
	locker, err := lock.New(backend, lock.LeaseTime(lease))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, locker.Close()) })
	return locker
}

// onSentinelWithLocks starts a service whose attempts hold a lock on five masters
// beside a claim that a failover can take from them.
func onSentinelWithLocks(t *testing.T) (*redistest.Sentinel, []*redistest.Server, *stage) {
	t.Helper()
	servers, masters := redistest.StartSentinel(t, 1), lockMasters(t)
	s := &stage{ledger: newLedger()}
	for range processes {
		s.join(t, servers.Client(t), nil, idempotency.WithLocker(newLocker(t, masters)))
	}
	return servers, masters, s
}

// goOn starts attempts that run until the test ends them, also beyond the end of
// their contexts, and that the load repeats.
func (s *stage) goOn(t *testing.T, l *load) []*running {
	t.Helper()
	attempts := make([]*running, hottest)
	for i := range attempts {
		attempts[i] = s.insist(t)
		l.repeat(attempts[i].key)
	}
	return attempts
}

func (s *stage) insist(t *testing.T) *running {
	t.Helper()
	began, finish := make(chan struct{}), make(chan struct{})
	r := &running{key: s.newKey(), ended: make(chan struct{}), end: sync.OnceFunc(func() { close(finish) })}
	go func() {
		defer close(r.ended)
		r.result, r.err = s.askFor(t.Context(), r.key, func(context.Context) {
			close(began)
			<-finish
		})
	}()
	t.Cleanup(func() {
		r.end()
		<-r.ended
	})
	select {
	case <-began:
	case <-r.ended:
		require.FailNow(t, "the attempt did not start", "%v", r.err)
	}
	return r
}

// F15: a master dies under load and takes the claims of running attempts with it,
// five times, and one of the lock's own masters with it. Whoever retries gets the
// claim and not the lock, so no attempt runs beside another; and the answer of the
// one that runs is recorded in the end, and is everybody's.
func TestKilledMastersWithLockerF15(t *testing.T) {
	t.Parallel()
	servers, masters, s := onSentinelWithLocks(t)
	l := s.load(t)
	for round := range rounds() {
		l.answers(t, 50)
		var attempts []*running
		unlucky := masters[round%len(masters)]
		killBehindTheBack(servers, func() {
			attempts = s.goOn(t, l)
			unlucky.Kill()
			l.answers(t, 20)
		})
		s.serves(t)
		for _, r := range attempts {
			require.ErrorIs(t, s.retry(t, r.key), idempotency.ErrInProgress)
		}
		for _, r := range attempts {
			r.finishes(t, s)
		}
		unlucky.Restart()
	}
	l.end()
	l.again(t)
	require.Empty(t, s.ledger.atOnce(), "two attempts at once")
	require.Positive(t, s.locksRefused(), "nobody got a claim that was lost, so nothing was shown")
}

// retry sends a request again until Redis can say what becomes of it.
func (s *stage) retry(t *testing.T, key string) error {
	t.Helper()
	_, err := s.ask(t.Context(), key)
	for limit := time.Now().Add(backWithin); errors.Is(err, idempotency.ErrStoreUnavailable); {
		require.True(t, time.Now().Before(limit), "%v", err)
		_, err = s.ask(t.Context(), key)
	}
	return err
}

func (s *stage) locksRefused() (n int64) {
	for _, guard := range s.guards {
		for _, op := range guard.Stats() {
			n += op.LocksRefused
		}
	}
	return n
}

// F15: without the lock the same does start attempts beside each other.
func TestKilledMasterWithoutLockerStartsAttemptsAtOnceF15(t *testing.T) {
	t.Parallel()
	servers, s := onSentinel(t, 1)
	l := s.load(t)
	var attempts []*running
	killBehindTheBack(servers, func() { attempts = s.goOn(t, l) })
	s.serves(t)
	for _, r := range attempts {
		_ = s.retry(t, r.key)
		r.end()
	}
	l.end()
	require.NotEmpty(t, s.ledger.atOnce())
}
