package quorumlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"

	"github.com/reprise-go/reprise/lock"
)

// round is one claim or release on all masters. Redsync sends it to each on a
// goroutine of its own, counts the answers, and says what the majority has decided;
// what the single masters answered is kept here.
type round struct {
	backend *Backend
	ctx     context.Context //nolint:containedctx // redsync's goroutines outlive the call
	id      lock.ID
	claim   lock.Claim

	mu    sync.Mutex
	heard []heard // by master

	answered []chan struct{} // by master; closed when it is heard
}

// heard is what a master answered.
type heard struct {
	done  bool
	reply lock.Reply // to a claim
	lost  bool       // to a release: the owner did not hold its part
	err   error
}

func newRound(ctx context.Context, b *Backend, id lock.ID, claim lock.Claim) *round {
	r := &round{backend: b, ctx: ctx, id: id, claim: claim, heard: make([]heard, len(b.nodes))}
	for range b.nodes {
		r.answered = append(r.answered, make(chan struct{}))
	}
	return r
}

// mutex returns a redsync mutex for this round alone. It is never shared, since
// redsync's are not made for several goroutines.
func (r *round) mutex(conn func(node int) redsyncredis.Conn, opts ...redsync.Option) *redsync.Mutex {
	pools := make([]redsyncredis.Pool, len(r.backend.nodes))
	for i := range pools {
		pools[i] = pool{conn(i)}
	}
	// Fail-fast: a master that stands still is not waited for.
	opts = append(opts, redsync.WithFailFast(true), redsync.WithTries(1))
	return redsync.New(pools...).NewMutex(r.id.String(), opts...)
}

func (r *round) note(node int, h heard) {
	h.done = true
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard[node] = h
	close(r.answered[node])
}

func (r *round) answer(node int) heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.heard[node]
}

// refuses reports a claim that a master has surely not granted.
func (h heard) refuses() bool {
	return h.done && h.err == nil && h.reply.Verdict != lock.Acquired
}

// refused says why a claim has no majority: masters which could be reached are
// held by others, or not enough could be reached.
func (r *round) refused() (lock.Reply, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lefts []time.Duration
	for _, h := range r.heard {
		switch {
		case !h.done || h.err != nil:
		case h.reply.Verdict == lock.Ended:
			return lock.Reply{Verdict: lock.Ended}, nil
		case h.reply.Verdict == lock.Held:
			lefts = append(lefts, h.reply.Left)
		default:
			lefts = append(lefts, 0)
		}
	}
	if len(lefts) < r.backend.quorum {
		return lock.Reply{}, r.errs("acquire")
	}
	// When so many leases are over, a majority is free.
	slices.Sort(lefts)
	return lock.Reply{Verdict: lock.Held, Left: lefts[r.backend.quorum-1]}, nil
}

// released says how a release went: the lock was held unless so many masters deny
// it that the others are no majority.
func (r *round) released() (held bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reached, lost := 0, 0
	for _, h := range r.heard {
		if h.done && h.err == nil {
			reached++
		}
		if h.lost {
			lost++
		}
	}
	if reached < r.backend.quorum {
		return false, r.errs("release")
	}
	return lost <= len(r.heard)-r.backend.quorum, nil
}

// errs joins what the masters failed with. Mu is held.
func (r *round) errs(call string) error {
	var failed []error
	for i, h := range r.heard {
		if h.err != nil {
			failed = append(failed, fmt.Errorf("master %d: %w", i, h.err))
		}
	}
	err := fmt.Errorf("quorumlock: %s of %s: no majority of %d masters has answered: %w",
		call, r.id.Short(), len(r.heard), errors.Join(failed...))
	return roundError{err}
}

// roundError hides that a single master did not execute anything: others may have.
type roundError struct{ error }

// Is reports what the masters failed with.
func (e roundError) Is(target error) bool {
	return target != lock.ErrNotExecuted && errors.Is(e.error, target)
}

// As finds what the masters failed with.
func (e roundError) As(target any) bool { return errors.As(e.error, target) }
