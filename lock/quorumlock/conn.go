package quorumlock

import (
	"context"
	"errors"
	"time"

	redsyncredis "github.com/go-redsync/redsync/v4/redis"

	"github.com/reprise-go/reprise/lock"
)

// pool gives redsync the connection to one master. Redsync's contexts are left
// aside: they are cut from the lease, six minutes for one of two hours, or never
// end; and the compensation of a failed claim would get what is left of the
// caller's.
type pool struct{ conn redsyncredis.Conn }

// Get implements redsync's Pool.
func (p pool) Get(context.Context) (redsyncredis.Conn, error) { return p.conn, nil }

var errUnused = errors.New("quorumlock: redsync does not use this command here")

// unused are the commands of redsync's Conn that claims and releases do not use.
type unused struct{}

func (unused) Get(string) (string, error)                        { return "", errUnused }
func (unused) Set(string, string) (bool, error)                  { return false, errUnused }
func (unused) SetNX(string, string, time.Duration) (bool, error) { return false, errUnused }
func (unused) Eval(*redsyncredis.Script, ...any) (any, error)    { return nil, errUnused }
func (unused) ScriptLoad(*redsyncredis.Script) error             { return errUnused }
func (unused) PTTL(string) (time.Duration, error)                { return 0, errUnused }
func (unused) Close() error                                      { return nil }

// What redsync takes the numbers of its scripts for.
const (
	redsyncDone    = int64(1)
	redsyncExpired = int64(-1)
)

// claimConn claims on one master, and takes that back if redsync says so.
type claimConn struct {
	unused
	round *round
	node  int
}

// SetNX claims. An own claim that is found again, because a reply got lost and the
// client repeated it, is a success.
func (c claimConn) SetNX(string, string, time.Duration) (bool, error) {
	r := c.round
	var reply lock.Reply
	err := r.backend.call(r.ctx, func(ctx context.Context) (err error) {
		reply, err = r.backend.nodes[c.node].Acquire(ctx, r.id, r.claim)
		return err
	})
	r.note(c.node, heard{reply: reply, err: err})
	return err == nil && reply.Verdict == lock.Acquired, err
}

// Eval is redsync's compensation of a claim without a majority.
func (c claimConn) Eval(*redsyncredis.Script, ...any) (any, error) {
	r := c.round
	h := r.answer(c.node)
	switch {
	case h.refuses(): // there is nothing to take back
	case h.done && h.err == nil:
		return redsyncDone, r.takeBack(c.node)
	default:
		r.takeBackLater(c.node)
	}
	return redsyncDone, nil
}

// releaseConn releases on one master.
type releaseConn struct {
	unused
	round *round
	node  int
}

// Eval is redsync's unlock.
func (c releaseConn) Eval(*redsyncredis.Script, ...any) (any, error) {
	r := c.round
	var held bool
	err := r.backend.call(r.ctx, func(ctx context.Context) (err error) {
		held, err = r.backend.nodes[c.node].Release(ctx, r.id, r.claim.Owner)
		return err
	})
	r.note(c.node, heard{lost: err == nil && !held, err: err})
	if err != nil || held {
		return redsyncDone, err
	}
	return redsyncExpired, nil
}

const (
	takeBackTries = 5
	takeBackPause = 100 * time.Millisecond // doubles
)

// takeBack releases on one master, whatever the caller's deadline says.
func (r *round) takeBack(node int) error {
	return r.backend.call(context.WithoutCancel(r.ctx), func(ctx context.Context) error {
		_, err := r.backend.nodes[node].Release(ctx, r.id, r.claim.Owner)
		return err
	})
}

// takeBackLater does so in the background when the master has answered, and again if
// there is no answer: then the claim may be executed yet, and the release leaves a
// trace by which the master recognises it.
func (r *round) takeBackLater(node int) {
	b := r.backend
	if b.start() != nil {
		return
	}
	go func() {
		defer b.work.Done()
		select {
		case <-r.answered[node]:
		case <-b.shut:
		}
		if r.answer(node).refuses() {
			return
		}
		for try := range takeBackTries {
			if r.takeBack(node) == nil || !b.rest(takeBackPause<<try) {
				return
			}
		}
	}()
}

// rest reports false if the backend is closed meanwhile.
func (b *Backend) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-b.shut:
		return false
	}
}
