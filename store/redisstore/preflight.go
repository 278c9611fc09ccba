package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/store"
)

// Preflight implements [store.Preflighter]. It looks at the server, or at each
// master of a cluster: is it a master, is it new enough (6.2), is its
// maxmemory-policy noeviction. It tries, on a key that it removes again, every
// command that the scripts use, and then the two that only [Store.Watch] and
// [Store.List] do. And it looks at how often a cluster's client reads the map of
// slots. With [MinReplicas] it counts the connected replicas and tries WAIT; with
// [MemoryGuard] it looks at the memory, so that a quarantine begins then.
//
// Each finding says what to do about it. Managed services and narrowed users
// often may not ask for a server's settings; such findings wrap
// [store.ErrUnchecked], and somebody who may has to look. So do those about
// SUBSCRIBE and SCAN, without which nothing goes wrong: waiters look again now
// and then, and records cannot be listed. The error wraps
// [store.ErrUnavailable]. It takes about four round trips to each master, and a
// connection for the subscription.
func (s *Store) Preflight(ctx context.Context) ([]error, error) {
	found := &redisconn.Examination{
		Package: "redisstore", ErrUnchecked: store.ErrUnchecked,
		Evicted:  "a running claim or a recorded answer that is evicted lets a retry run again",
		Replicas: s.replicas.min,
	}
	if err := s.examine(ctx, found); err != nil {
		return nil, fmt.Errorf("redisstore: preflight: %w: %w", store.ErrUnavailable, err)
	}
	return found.Findings(), nil
}

func (s *Store) examine(ctx context.Context, found *redisconn.Examination) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	writable, err := found.Servers(ctx, s.rdb)
	if err != nil || !writable {
		return err
	}
	key := s.probeKey()
	refused, err := s.run(ctx, s.rdb, s.scripts.probe, []string{key, key + ":probe"}).StringSlice()
	return errors.Join(
		found.Script(refused, err, key, s.namespace),
		s.probeScan(ctx, found),
		found.Subscribe(ctx, s.rdb, key, s.namespace),
		s.checkMemory(ctx, found),
	)
}

// probeScan tries what a listing needs.
func (s *Store) probeScan(ctx context.Context, found *redisconn.Examination) error {
	err := s.rdb.Scan(ctx, 0, s.probeKey(), 1).Err()
	if redisconn.Denied(err) {
		found.Unchecked("SCAN is refused, so records cannot be listed; permit it if they should be")
		return nil
	}
	return err
}

// probeKey is a name like that of a record that nothing else uses.
func (s *Store) probeKey() string {
	return s.key(store.NewID("", "preflight", store.NewOwner().String()))
}
