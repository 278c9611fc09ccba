package redisstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/store"
)

// Store keeps records in Redis. It implements [store.Store], [store.Notifier],
// [store.Inspector] and [store.Preflighter]. All methods may be called
// concurrently, and any number of processes may share the Redis and the
// namespace.
type Store struct {
	rdb      redis.UniversalClient
	renewals redis.UniversalClient // the reserved client, or rdb
	reserved bool                  // renewals is ours to close

	namespace string
	log       *slog.Logger
	scripts   scripts
	clusters  redisconn.Clusters
	listener  *redisconn.Listener
	replicas  replicas
	guard     guard
	lanes     *lanes      // nil without AutoPipeline
	cache     *cache      // nil without LocalCache
	lagging   atomic.Bool // replicas did not acknowledge in time, when last asked
	counters  counters

	closing sync.Mutex // orders closed before the last of asides
	closed  atomic.Bool
	asides  sync.WaitGroup
}

var (
	_ store.Store       = (*Store)(nil)
	_ store.Notifier    = (*Store)(nil)
	_ store.Inspector   = (*Store)(nil)
	_ store.Preflighter = (*Store)(nil)
)

// New returns a store on a Redis client: a *redis.Client, for a single server
// or through Sentinel, or a *redis.ClusterClient. New does not connect.
//
// Renewals go over a few connections of their own, made from the client's
// options when the first one is due, so that requests which use up the
// client's pool cannot make running attempts lose their leases. The client's
// hooks do not see them. For any other implementation of
// [redis.UniversalClient], such as a wrapper, renewals share the connections
// of the rest.
//
// [MinReplicas] and [MemoryGuard] are for what a master takes with it when it
// dies.
//
// A *redis.Ring is refused, a client without ContextTimeoutEnabled is unless
// [AllowNoContextTimeout] is given, and so is a bad namespace. The client stays
// the caller's to close, after the store.
func New(rdb redis.UniversalClient, opts ...Option) (*Store, error) {
	set, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	if err := checkClient(rdb, set); err != nil {
		return nil, err
	}
	kept, err := newCache(set.cache)
	if err != nil {
		return nil, err
	}
	s := &Store{
		rdb:       rdb,
		namespace: set.namespace,
		log:       set.logger,
		scripts:   newScripts(),
		replicas:  set.replicas,
		guard:     set.guard,
		cache:     kept,
	}
	if set.together {
		s.lanes = newLanes(rdb, s.aside)
	}
	s.renewals, s.reserved = redisconn.Reserve(rdb)
	s.clusters = redisconn.NewClusters(s.rdb, s.renewals)
	s.listener = redisconn.NewListener(s.rdb.Subscribe, s.unheard)
	return s, nil
}

// Apply implements [store.Store], in one round trip.
func (s *Store) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	if err := store.Validate(event); err != nil {
		return store.Reply{}, err
	}
	if err := s.ready(ctx); err != nil {
		return store.Reply{}, s.unavailable(ctx, event.Name(), id, err)
	}
	switch ev := event.(type) {
	case store.Claim:
		return s.claim(ctx, id, ev)
	case store.Renew:
		result := s.Renew(ctx, []store.Renewal{{ID: id, Renew: ev}})[0]
		return result.Reply, result.Err
	case store.Mark:
		return s.mark(ctx, id, ev)
	case store.Complete:
		return s.complete(ctx, id, ev)
	case store.Fail:
		return s.fail(ctx, id, ev)
	case store.Release:
		return s.release(ctx, id, ev)
	case store.Settle:
		return s.settle(ctx, id, ev)
	}
	return store.Reply{}, fmt.Errorf("%w: %T is not an event that this store knows", store.ErrInvalid, event)
}

// Lookup implements [store.Store], in one round trip. Expires is the server's
// time of the answer plus what the key had left to live, to the millisecond.
func (s *Store) Lookup(ctx context.Context, id store.ID) (store.Record, error) {
	if err := s.ready(ctx); err != nil {
		return store.Record{}, s.unavailable(ctx, lookup, id, err)
	}
	for range 2 {
		rec, err := s.lookup(ctx, id)
		if !errors.Is(err, errMoved) {
			return rec, err
		}
	}
	return store.Record{}, s.unavailable(ctx, lookup, id, errMoved)
}

const lookup = "lookup"

func (s *Store) lookup(ctx context.Context, id store.ID) (store.Record, error) {
	got := s.send(ctx, packet{script: s.scripts.lookup, keys: []string{s.key(id)}, get: true})
	raw, err := got.body.Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return store.Record{}, nil
	case err != nil:
		return store.Record{}, s.failed(ctx, lookup, id, err)
	}
	numbers, err := got.reply.Int64Slice()
	if err == nil && len(numbers) != 2 {
		err = errReply
	}
	if err != nil {
		return store.Record{}, s.failed(ctx, lookup, id, err)
	}
	rec, err := decode(id, raw)
	if err != nil {
		return store.Record{}, unreadableRecord(lookup, id, err)
	}
	rec.Expires, err = expiry(store.Instant(numbers[0]), numbers[1])
	return rec, err
}

// Stats counts what a store had to work around since it was made.
type Stats struct {
	// LargeFallbacks counts completions above 4 KiB whose answer had to be sent
	// a second time, through Lua, because the server was full or in the middle
	// of moving a slot. Each blocks the server for about 2 µs a KiB.
	LargeFallbacks int64
	// ScriptLoads counts scripts that a server did not know and got again: a
	// few after every start or failover.
	ScriptLoads int64
	// ClaimsRepeated counts claims that found an answer which was gone, or
	// another, a moment later, and were sent once more.
	ClaimsRepeated int64
	// MapReloads counts how often the failure of a cluster's node made the store
	// ask for the map of slots again.
	MapReloads int64
	// ListenFailures counts how often the connection on which notifications are
	// heard broke, went silent, was refused, or could not be opened. Whoever
	// waited meanwhile had to look again by itself.
	ListenFailures int64
	// Unacknowledged counts writes that too few replicas confirmed, by
	// [MinReplicas].
	Unacknowledged int64
	// MemoryChanges counts how often this store was the first to see that the
	// server's memory is another, by [MemoryGuard].
	MemoryChanges int64
	// Quarantined counts claims that were refused because of that.
	Quarantined int64
	// LocalReplays counts claims that were answered from memory, by [LocalCache].
	LocalReplays int64
}

type counters struct {
	largeFallbacks, scriptLoads, claimsRepeated, listenFailures atomic.Int64
	unacknowledged, memoryChanges, quarantined                  atomic.Int64
}

// Stats returns the counts so far.
func (s *Store) Stats() Stats {
	return Stats{
		LargeFallbacks: s.counters.largeFallbacks.Load(),
		ScriptLoads:    s.counters.scriptLoads.Load(),
		ClaimsRepeated: s.counters.claimsRepeated.Load(),
		MapReloads:     s.clusters.Reloads(),
		ListenFailures: s.counters.listenFailures.Load(),
		Unacknowledged: s.counters.unacknowledged.Load(),
		MemoryChanges:  s.counters.memoryChanges.Load(),
		Quarantined:    s.counters.quarantined.Load(),
		LocalReplays:   s.cache.replays(),
	}
}

// Close ends all watches and closes the connections that the store opened
// itself, which are those for renewals and for notifications. It leaves the
// client alone. Every later call is [store.ErrUnavailable] with
// [redis.ErrClosed] as its cause. Closing again does nothing.
//
// Close waits for the store's goroutines, which takes no time unless one of
// them is just connecting to a Redis that does not answer: then it takes two
// seconds at most, or what the client's own timeouts say.
func (s *Store) Close() error {
	s.closing.Lock()
	was := s.closed.Swap(true)
	s.closing.Unlock()
	if was {
		return nil
	}
	s.listener.Close()
	s.cache.close()
	s.asides.Wait()
	if !s.reserved {
		return nil
	}
	return s.renewals.Close()
}

// ready reports why nothing should be sent at all.
func (s *Store) ready(ctx context.Context) error {
	if s.closed.Load() {
		return redis.ErrClosed
	}
	return context.Cause(ctx)
}

// key returns the name of a record. The braces make the digest alone decide
// the cluster slot, for the names that are derived from it, too.
func (s *Store) key(id store.ID) string {
	b := make([]byte, 0, maxNamespace+len(":{}")+2*len(id))
	b = append(append(b, s.namespace...), ":{"...)
	return string(append(hex.AppendEncode(b, id[:]), '}'))
}
