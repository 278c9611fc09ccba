package quorumlock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

// Backend keeps locks on a majority of Redis masters. It implements [lock.Backend]
// and [lock.Notifier]. All methods may be called concurrently, and any number of
// processes may share the masters; all must name the same ones.
type Backend struct {
	nodes   []*redislock.Backend
	quorum  int
	timeout time.Duration

	mu     sync.Mutex
	work   sync.WaitGroup // calls of masters and what is repeated of them
	closed bool
	shut   chan struct{}
}

var (
	_ lock.Backend  = (*Backend)(nil)
	_ lock.Notifier = (*Backend)(nil)
)

// New returns a backend on masters that are independent of each other: three or
// more, usually five, of which a majority decides. It does not connect. It refuses
// what [redislock.New] refuses, a server that is named twice, and options that are
// out of range. The clients stay the caller's to close, after the backend.
//
// Give clients without retries (MaxRetries -1): what a master did not answer, the
// others do.
func New(masters []redis.UniversalClient, opts ...Option) (*Backend, error) {
	set, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	if err := checkMasters(masters); err != nil {
		return nil, err
	}
	b := &Backend{quorum: len(masters)/2 + 1, timeout: set.timeout, shut: make(chan struct{})}
	for i, m := range masters {
		node, err := redislock.New(m, set.nodes...)
		if err != nil {
			_ = b.Close()
			return nil, fmt.Errorf("quorumlock: master %d: %w", i, err)
		}
		b.nodes = append(b.nodes, node)
	}
	return b, nil
}

// Acquire implements [lock.Backend]: one round trip to all masters side by side,
// which is over as soon as a majority has decided. What a claim that failed had
// already is taken back before it returns, or in the background where a master has
// not answered.
func (b *Backend) Acquire(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
	if err := b.ready(ctx); err != nil {
		return lock.Reply{}, err
	}
	r := newRound(ctx, b, id, claim)
	m := r.mutex(func(node int) redsyncredis.Conn { return claimConn{round: r, node: node} },
		redsync.WithExpiry(claim.Lease),
		redsync.WithGenValueFunc(func() (string, error) { return claim.Owner.String(), nil }),
	)
	if err := m.TryLockContext(r.ctx); err == nil {
		return lock.Reply{Verdict: lock.Acquired}, nil
	}
	return r.refused()
}

// Release implements [lock.Backend]: one round trip to all masters side by side. An
// error means that no majority has answered; held is false if a majority denies
// that the owner held the lock.
func (b *Backend) Release(ctx context.Context, id lock.ID, owner lock.Owner) (held bool, err error) {
	if err := b.ready(ctx); err != nil {
		return false, err
	}
	r := newRound(ctx, b, id, lock.Claim{Owner: owner})
	m := r.mutex(func(node int) redsyncredis.Conn { return releaseConn{round: r, node: node} },
		redsync.WithValue(owner.String()))
	_, _ = m.UnlockContext(r.ctx) // counts a master without an answer as one that denies
	return r.released()
}

// ready reports why nothing should be sent at all.
func (b *Backend) ready(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("quorumlock: %w: %w", lock.ErrNotExecuted, context.Cause(ctx))
	}
	select {
	case <-b.shut:
		return errClosed
	default:
		return nil
	}
}

var errClosed = fmt.Errorf("quorumlock: %w: %w", lock.ErrNotExecuted, redis.ErrClosed)

// start runs a part of the backend's work on the caller's goroutine, unless the
// backend is closed.
func (b *Backend) start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed
	}
	b.work.Add(1)
	return nil
}

// call calls one master. The caller's deadline ends it, but neither its
// cancellation nor the end of the round: what was begun is finished, so that all
// masters know the lock and not just the fastest.
func (b *Backend) call(ctx context.Context, do func(ctx context.Context) error) error {
	if err := b.start(); err != nil {
		return err
	}
	defer b.work.Done()
	limit := b.timeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return do(ctx)
}

// Close ends all watches, waits for the calls under way, each of which takes
// [NodeTimeout] at most, and closes the connections that the backend opened itself.
// It leaves the clients alone. Every later call fails with [redis.ErrClosed].
// Closing again does nothing.
func (b *Backend) Close() error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.mu.Unlock()
	if !first {
		return nil
	}
	close(b.shut)
	b.work.Wait()
	errs := make([]error, len(b.nodes))
	for i, node := range b.nodes {
		errs[i] = node.Close()
	}
	return errors.Join(errs...)
}
