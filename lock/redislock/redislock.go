package redislock

import (
	"context"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/lock"
)

//go:embed lua/*.lua
var sources embed.FS

// Backend keeps locks in Redis. It implements [lock.Backend] and [lock.Notifier].
// All methods may be called concurrently, and any number of processes may share
// the Redis and the namespace.
type Backend struct {
	rdb      redis.UniversalClient
	renewals redis.UniversalClient // the reserved client, or rdb
	reserved bool                  // renewals is ours to close

	namespace string
	trace     time.Duration
	traceWord any // in ms
	words     atomic.Pointer[words]
	log       *slog.Logger

	acquire, renew, release *redis.Script

	sender   *sender
	clusters redisconn.Clusters
	listener *redisconn.Listener
	loads    atomic.Int64
	unheards atomic.Int64
	closed   atomic.Bool
}

var (
	_ lock.Backend  = (*Backend)(nil)
	_ lock.Notifier = (*Backend)(nil)
)

// New returns a backend on a Redis client: a *redis.Client, for a single server or
// through Sentinel, or a *redis.ClusterClient. New does not connect.
//
// Renewals go over a few connections of their own, made from the client's options
// when the first one is due. The client's hooks do not see them. For any other
// implementation of [redis.UniversalClient], such as a wrapper, they share the
// connections of the rest. Hooks see claims and releases, as commands or, where many
// share a round trip, as pipelines in the context of one of the callers.
//
// A *redis.Ring is refused, a client without ContextTimeoutEnabled is unless
// [AllowNoContextTimeout] is given, and so is an option that is out of range. The
// client stays the caller's to close, after the backend.
func New(rdb redis.UniversalClient, opts ...Option) (*Backend, error) {
	set, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	if err := checkClient(rdb, set); err != nil {
		return nil, err
	}
	b := &Backend{
		rdb:       rdb,
		namespace: set.namespace,
		trace:     set.trace,
		traceWord: millis(set.trace),
		log:       set.logger,
		acquire:   luaScript("acquire"),
		renew:     luaScript("renew"),
		release:   luaScript("release"),
	}
	b.sender = newSender(rdb, &b.loads)
	b.renewals, b.reserved = redisconn.Reserve(rdb)
	b.clusters = redisconn.NewClusters(b.rdb, b.renewals)
	b.listener = redisconn.NewListener(b.rdb.Subscribe, b.unheard)
	return b, nil
}

// luaScript returns a script with what all have in common in its place.
func luaScript(name string) *redis.Script {
	common, _ := sources.ReadFile("lua/record.lua") // embedded: they are there
	text, _ := sources.ReadFile("lua/" + name + ".lua")
	return redis.NewScript(strings.Replace(string(text), "-- include record\n", string(common), 1))
}

// Acquire implements [lock.Backend], in one round trip.
func (b *Backend) Acquire(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
	if err := b.ready(ctx); err != nil {
		return lock.Reply{}, notExecuted("acquire", id, err)
	}
	wait := "0"
	if claim.Wait {
		wait = "1"
	}
	owner, words := claim.Owner.String(), b.wordsOf(claim.Lease)
	answer, err := b.run(ctx, b.acquire, id, owner, owner, words.lease, words.life, wait)
	if err != nil {
		return lock.Reply{}, b.failed(ctx, "acquire", id, err)
	}
	reply, err := answer.reply()
	if err != nil {
		return lock.Reply{}, b.failed(ctx, "acquire", id, err)
	}
	return reply, nil
}

// Release implements [lock.Backend], in one round trip.
func (b *Backend) Release(ctx context.Context, id lock.ID, owner lock.Owner) (held bool, err error) {
	if err := b.ready(ctx); err != nil {
		return false, notExecuted("release", id, err)
	}
	own := owner.String()
	answer, err := b.run(ctx, b.release, id, own, own, b.traceWord)
	if err == nil && answer.word != wordDone && answer.word != wordLost {
		err = errReply
	}
	if err != nil {
		return false, b.failed(ctx, "release", id, err)
	}
	return answer.word == wordDone, nil
}

func (b *Backend) run(
	ctx context.Context, sc *redis.Script, id lock.ID, owner string, args ...any,
) (answer, error) {
	text, err := b.sender.run(ctx, sc, b.key(id), args...)
	if err != nil {
		return answer{}, err
	}
	return parse(text, owner)
}

// Watch implements [lock.Notifier]. All watches of a backend share one connection,
// which is opened when the first one comes and closed three seconds after the last
// has gone. One that breaks, or says nothing for about two seconds, is replaced,
// and then every watch gets a signal. While Redis cannot be reached, or does not
// permit SUBSCRIBE, watches are silent.
func (b *Backend) Watch(id lock.ID) lock.Watch { return b.listener.Watch(b.key(id)) }

// unheard takes note that watches hear nothing.
func (b *Backend) unheard(ctx context.Context, err error, first bool) {
	b.unheards.Add(1)
	if first {
		b.log.WarnContext(ctx, "redislock: releases are not heard: whoever waits asks now and then",
			slog.String("error", discreet(lock.ID{}, err)))
	}
	if !redisconn.Denied(err) {
		b.clusters.Suspect(ctx, err, b.log)
	}
}

// Stats counts what a backend had to work around since it was made.
type Stats struct {
	// ScriptLoads counts scripts that a server did not know and got again: a few
	// after every start or failover.
	ScriptLoads int64
	// MapReloads counts how often the failure of a cluster's node made the backend
	// ask for the map of slots again.
	MapReloads int64
	// ListenFailures counts how often the connection on which releases are heard
	// broke, went silent, was refused, or could not be opened.
	ListenFailures int64
}

// Stats returns the counts so far.
func (b *Backend) Stats() Stats {
	return Stats{
		ScriptLoads: b.loads.Load(), MapReloads: b.clusters.Reloads(), ListenFailures: b.unheards.Load(),
	}
}

// Close ends all watches and closes the connections that the backend opened itself,
// which are those for renewals and for messages. It leaves the client alone. Every
// later call fails with [redis.ErrClosed]. Closing again does nothing. It waits for
// the backend's goroutines, at most about two seconds, when a Redis that does not
// answer is just being connected to.
func (b *Backend) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	b.listener.Close()
	if !b.reserved {
		return nil
	}
	return b.renewals.Close()
}

// ready reports why nothing should be sent at all.
func (b *Backend) ready(ctx context.Context) error {
	if b.closed.Load() {
		return redis.ErrClosed
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// key returns the name of a record. The braces make the digest alone decide the
// cluster slot.
func (b *Backend) key(id lock.ID) string {
	name := make([]byte, 0, 160)
	name = append(name, b.namespace...)
	name = append(name, ":{"...)
	name = hex.AppendEncode(name, id[:])
	return string(append(name, '}'))
}

// words are a lease as the scripts want it. One locker asks for the same always, so
// the last is kept.
type words struct {
	of time.Duration
	// Life is how long Redis keeps the record of a held lock: the lease is a field
	// of it, and its lapse leaves a trace.
	lease, life any
}

func (b *Backend) wordsOf(lease time.Duration) *words {
	last := b.words.Load()
	if last == nil || last.of != lease {
		last = &words{lease, fmt.Sprintf("%016d", lease.Microseconds()), millis(lease + b.trace)}
		b.words.Store(last)
	}
	return last
}

func millis(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

var (
	errReply   = errors.New("redis answered something else than was asked")
	errForeign = errors.New("redis answered another request")
)
