package idempotency_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/memlock"
	"github.com/reprise-go/reprise/store"
)

var errLocksDown = errors.New("the locks' backend is down")

// journal is what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// noted lets all calls of a node's store go to the journal.
func (j *journal) noted(n *node) {
	for _, event := range events {
		n.always(func(_ context.Context, execute func() store.Reply) (store.Reply, error) {
			j.note(event)
			return execute(), nil
		}, event)
	}
}

// locks is a backend of locks in memory that can be disturbed.
type locks struct {
	*memlock.Backend
	journal

	trouble sync.Mutex
	down    bool
	revoked bool // every renewal hears that its lock is lost
	slow    map[string]time.Duration
}

func newLocks() *locks { return &locks{Backend: memlock.New(), slow: map[string]time.Duration{}} }

func (l *locks) setDown(down bool) {
	l.trouble.Lock()
	defer l.trouble.Unlock()
	l.down = down
}

func (l *locks) revoke() {
	l.trouble.Lock()
	defer l.trouble.Unlock()
	l.revoked = true
}

// delay holds back the execution of a kind of call.
func (l *locks) delay(call string, d time.Duration) {
	l.trouble.Lock()
	defer l.trouble.Unlock()
	l.slow[call] = d
}

func (l *locks) meet(call string) error {
	l.note(call)
	l.trouble.Lock()
	d, down := l.slow[call], l.down
	l.trouble.Unlock()
	time.Sleep(d)
	if down {
		return errLocksDown
	}
	return nil
}

func (l *locks) Acquire(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
	if err := l.meet("lock"); err != nil {
		return lock.Reply{}, err
	}
	return l.Backend.Acquire(ctx, id, claim)
}

func (l *locks) Release(ctx context.Context, id lock.ID, owner lock.Owner) (bool, error) {
	if err := l.meet("unlock"); err != nil {
		return false, err
	}
	return l.Backend.Release(ctx, id, owner)
}

func (l *locks) Renew(ctx context.Context, renewals []lock.Renewal) []lock.RenewResult {
	l.trouble.Lock()
	down, revoked := l.down, l.revoked
	l.trouble.Unlock()
	if !down && !revoked {
		return l.Backend.Renew(ctx, renewals)
	}
	results := make([]lock.RenewResult, len(renewals))
	for i := range results {
		results[i].Lost = revoked
		if down {
			results[i].Err = errLocksDown
		}
	}
	return results
}

func (l *locks) count(call string) (n int) {
	for _, line := range l.all() {
		if line == call {
			n++
		}
	}
	return n
}

// locked starts a process whose guard has a locker on these locks.
func locked(t *testing.T, b *backend, l lock.Backend, opts ...idempotency.Option) *process {
	t.Helper()
	return start(t, b, append(opts, idempotency.WithLocker(newLocker(t, l)))...)
}

func newLocker(t *testing.T, b lock.Backend) *lock.Locker {
	t.Helper()
	locker, err := lock.New(b, lock.LeaseTime(lease))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, locker.Close()) })
	return locker
}

// free reports whether the operation's lock can be had by a locker of its own.
func (l *locks) free(t *testing.T, id store.ID) bool {
	t.Helper()
	owner, name := lock.NewOwner(), lock.NewID(id.String())
	reply, err := l.Backend.Acquire(t.Context(), name, lock.Claim{Owner: owner, Lease: time.Second})
	require.NoError(t, err)
	_, err = l.Backend.Release(t.Context(), name, owner)
	require.NoError(t, err)
	return reply.Verdict == lock.Acquired
}

// broken is a locker that does not do what it should.
type broken struct {
	act func() (*lock.Lease, error)
}

func (b broken) TryLock(context.Context, string) (*lock.Lease, error) { return b.act() }
func (b broken) Lock(context.Context, string) (*lock.Lease, error)    { return b.act() }

// naming keeps the keys that it was asked for.
type naming struct {
	idempotency.Locker
	journal
}

func (n *naming) TryLock(ctx context.Context, key string) (*lock.Lease, error) {
	n.note("try " + key)
	return n.Locker.TryLock(ctx, key)
}

func (n *naming) Lock(ctx context.Context, key string) (*lock.Lease, error) {
	n.note("wait " + key)
	return n.Locker.Lock(ctx, key)
}
