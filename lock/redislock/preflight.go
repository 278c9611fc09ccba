package redislock

import (
	"context"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/lock"
)

// ErrUnchecked is wrapped by findings of [Backend.Preflight] about what a server
// does not tell: somebody who may has to look.
var ErrUnchecked = errors.New("could not be checked")

// Preflight looks at the server, or at each master of a cluster: is it a master, is
// it new enough (6.2), is its maxmemory-policy noeviction. It tries, on a key that
// it removes again, every command that the scripts use, and SUBSCRIBE. And it looks
// at how often a cluster's client reads the map of slots.
//
// Each finding says what to do about it. Managed services and narrowed users often
// may not ask for a server's settings; such findings wrap [ErrUnchecked]. So does
// that about SUBSCRIBE, without which nothing goes wrong: waiters ask now and then.
// The error wraps [lock.ErrUnavailable]. It takes about four round trips to each
// master, and a connection for the subscription.
func (b *Backend) Preflight(ctx context.Context) ([]error, error) {
	found := &redisconn.Examination{
		Package: "redislock", ErrUnchecked: ErrUnchecked,
		Evicted: "a lock that is evicted lets another holder in",
	}
	if err := b.examine(ctx, found); err != nil {
		return nil, fmt.Errorf("redislock: preflight: %w: %w", lock.ErrUnavailable, err)
	}
	return found.Findings(), nil
}

func (b *Backend) examine(ctx context.Context, found *redisconn.Examination) error {
	if err := b.ready(ctx); err != nil {
		return err
	}
	writable, err := found.Servers(ctx, b.rdb)
	if err != nil || !writable {
		return err
	}
	// A name like that of a lock that nothing else uses.
	key := b.key(lock.NewID("preflight " + lock.NewOwner().String()))
	refused, err := redisconn.Run(ctx, b.rdb, &b.loads, luaScript("probe"), []string{key}).StringSlice()
	return errors.Join(
		found.Script(refused, err, key, b.namespace),
		found.Subscribe(ctx, b.rdb, key, b.namespace),
	)
}
