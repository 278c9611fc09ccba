package topology_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

// shortLease ends before a master that stands still has been replaced.
const shortLease = time.Second

// onRedis returns a process's locker on one Redis.
func onRedis(t *testing.T, rdb redis.UniversalClient, opts ...lock.Option) *lock.Locker {
	t.Helper()
	backend, err := redislock.New(rdb)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, backend.Close()) })
	locker, err := lock.New(backend, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, locker.Close()) })
	return locker
}

// nameOf is a lock's record.
func nameOf(key string) string {
	return redislock.DefaultNamespace + ":{" + lock.NewID(key).String() + "}"
}

// locked takes a lock as soon as it is to be had.
func locked(t *testing.T, l *lock.Locker, key string) *lock.Lease {
	t.Helper()
	limit := time.Now().Add(backWithin)
	for {
		le, err := l.TryLock(t.Context(), key)
		if err == nil {
			return le
		}
		require.True(t, errors.Is(err, lock.ErrHeld) || errors.Is(err, lock.ErrUnavailable), "%v", err)
		require.True(t, time.Now().Before(limit), "%v", err)
	}
}

// waiter waits for a lock of which somebody else has to say that it is free: it
// does not ask again by itself in a test's time.
type waiter struct {
	got chan *lock.Lease
	err error
}

func await(t *testing.T, l *lock.Locker, key string) *waiter {
	t.Helper()
	w := &waiter{got: make(chan *lock.Lease, 1)}
	go func() {
		defer close(w.got)
		le, err := l.Lock(t.Context(), key)
		if w.err = err; err == nil {
			w.got <- le
		}
	}()
	return w
}

// getsIt wants the waiter to have the lock, after the lease before, and releases it.
func (w *waiter) getsIt(t *testing.T, after *lock.Lease) {
	t.Helper()
	select {
	case le, ok := <-w.got:
		require.True(t, ok, "%v", w.err)
		require.Greater(t, le.Token(), after.Token())
		require.NoError(t, le.Release(t.Context()))
	case <-time.After(backWithin):
		require.Fail(t, "the release is not heard")
	}
}

// givenBack releases a lock, at once or, where the client has still to learn who
// the master is, in the background.
func givenBack(t *testing.T, le *lock.Lease) {
	t.Helper()
	if err := le.Release(t.Context()); err != nil {
		require.ErrorIs(t, err, lock.ErrUnavailable)
		require.NotErrorIs(t, err, lock.ErrLost)
	}
}

// follows waits until a replica has all that its master has by now.
func follows(t *testing.T, master, replica *redistest.Server) {
	t.Helper()
	has := offset(t, master, "master_repl_offset")
	require.Eventually(t, func() bool {
		return offset(t, replica, "slave_repl_offset") >= has
	}, backWithin, time.Millisecond, "the replica follows")
}

func offset(t *testing.T, server *redistest.Server, field string) int {
	t.Helper()
	info, _ := server.Do("info", "replication").(string)
	_, after, _ := strings.Cut(info, field+":")
	number, _, _ := strings.Cut(after, "\r")
	n, err := strconv.Atoi(number)
	require.NoError(t, err, field)
	return n
}

// awaited waits until the record says that somebody waits for the lock.
func awaited(t *testing.T, master *redistest.Server, key string) {
	t.Helper()
	require.Eventually(t, func() bool {
		record, _ := master.Do("get", nameOf(key)).(string)
		return len(record) > 5 && record[5] == '1'
	}, backWithin, time.Millisecond)
}

// extends waits until a renewal gets through, and wants the lock to be held all the
// while, and nobody else to get it.
func extends(t *testing.T, le *lock.Lease, rival *lock.Locker, key string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return le.Extend(context.WithoutCancel(t.Context())) == nil
	}, backWithin, 10*time.Millisecond, "renewals get through")
	require.True(t, le.Held())
	require.NoError(t, le.Context().Err())
	limit := time.Now().Add(backWithin)
	_, err := rival.TryLock(t.Context(), key)
	for errors.Is(err, lock.ErrUnavailable) && time.Now().Before(limit) {
		_, err = rival.TryLock(t.Context(), key)
	}
	require.ErrorIs(t, err, lock.ErrHeld)
}

// renewed waits until the watchdog has renewed a lease once more.
func renewed(t *testing.T, le *lock.Lease) {
	t.Helper()
	before := le.Deadline()
	require.Eventually(t, func() bool { return le.Deadline().After(before) }, backWithin, time.Millisecond)
	require.NoError(t, le.Context().Err())
}

// claimants are short leases of several locks, and when they were lost.
type claimants struct {
	keys   []string
	leases []*lock.Lease

	mu   sync.Mutex
	lost map[string]time.Time
}

func claim(t *testing.T, l *lock.Locker, keys []string) *claimants {
	t.Helper()
	c := &claimants{keys: keys, lost: make(map[string]time.Time)}
	for _, key := range keys {
		le := locked(t, l, key)
		c.leases = append(c.leases, le)
		context.AfterFunc(le.Context(), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.lost[key] = time.Now()
		})
	}
	return c
}

// loseThem wants others to get the locks, each after its holder has heard that it
// is lost: a token is the server's time at which the lock was given.
func (c *claimants) loseThem(t *testing.T, rival *lock.Locker) {
	t.Helper()
	for i, key := range c.keys {
		next := locked(t, rival, key)
		require.ErrorIs(t, context.Cause(c.leases[i].Context()), lock.ErrLost)
		require.False(t, c.leases[i].Held())
		c.mu.Lock()
		lost := c.lost[key]
		c.mu.Unlock()
		require.False(t, lost.IsZero())
		require.Less(t, lost.UnixMicro(), int64(next.Token()), "two held the lock")
		require.ErrorIs(t, c.leases[i].Release(t.Context()), lock.ErrLost)
		extends(t, next, rival, key) // the deposed holder's release frees nothing
		require.NoError(t, next.Release(t.Context()))
	}
}

// several returns the names of n locks that pass.
func several(n int, pass func(key string) bool) []string {
	keys := make([]string, 0, n)
	for i := 0; len(keys) < n; i++ {
		if key := fmt.Sprint("lock-", i); pass(key) {
			keys = append(keys, key)
		}
	}
	return keys
}
