package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/store"
)

// ErrQuarantine is the cause of a [store.ErrUnavailable]: Redis may have lost its
// memory, and new claims are refused until those who retry have given up. The
// error also carries the time left, see [store.RetryAfter].
var ErrQuarantine = errors.New("redis may have forgotten claims and answers; new claims are in quarantine")

// errNoGuard: there is nothing to bless.
var errNoGuard = errors.New("redisstore: bless: the store has no MemoryGuard")

const maxQuarantine = 30 * 24 * time.Hour

// MemoryGuard refuses new claims for a time after Redis may have lost its memory:
// it was restarted, another master took over, or everything was deleted. The
// default is no guard: whoever retries after such a loss is run again.
//
// With every claim, in the same round trip on the same connection and after it,
// the store compares the server's replication id with the one that it has written
// down in Redis, under the name namespace:guard. A server draws a new id when it
// starts and when it is promoted. An id that is another, or a note that is gone,
// starts the quarantine, for all processes at once, on the server's clock; it
// survives the restart of every process. Claims that would have started an
// attempt are then [store.ErrUnavailable] with [ErrQuarantine] and the time left;
// they leave nothing behind but a claim that is released a moment later. A duplicate
// that comes in that moment finds it, and is told that its operation is in progress
// (409, to be retried in a second) and not of the quarantine; nothing runs. Replays of
// what is still known go on, and so do attempts that run. [Store.Bless] ends it.
// A policy that runs handlers unprotected while the store is down does so in a
// quarantine, too.
//
// Choose a quarantine, up to 30 days, for as long as anybody retries a request
// by itself, and no shorter than the longest lease. Retries that come later do
// run again if their record was lost: the guard buys time, it does not bring
// records back.
//
// What it cannot tell from a loss also means a quarantine: the first start on an
// empty Redis, a planned failover, a restart that lost nothing thanks to an
// append-only file, the first replica that is ever attached, an hour without any
// replica (repl-backlog-ttl). Bless the new memory when you know better. A user
// who may not call INFO gets every new claim refused, which Preflight finds. A
// master that was cut off and still takes writes notices nothing;
// min-replicas-to-write on the server, or [MinReplicas], limits that.
//
// It needs a *redis.Client: a single server, or one behind Sentinel. The masters
// of a cluster fail on their own, and New refuses the combination.
// All processes of a namespace should have it, with the same quarantine.
func MemoryGuard(quarantine time.Duration) Option {
	return option(func(s *settings) { s.guard = guard{on: true, quarantine: quarantine} })
}

// guard says how long new claims are refused after a change of memory.
type guard struct {
	on         bool
	quarantine time.Duration
}

func (g guard) validate() error {
	if g.on && (g.quarantine < time.Millisecond || g.quarantine > maxQuarantine) {
		return fmt.Errorf("redisstore: MemoryGuard: quarantine %v is not from %v to %v",
			g.quarantine, time.Millisecond, maxQuarantine)
	}
	return nil
}

func (g guard) checkClient(rdb redis.UniversalClient) error {
	if !g.on {
		return nil
	}
	if _, single := rdb.(*redis.Client); !single {
		return fmt.Errorf("redisstore: MemoryGuard needs a *redis.Client, of a single server or through Sentinel, not a %T: "+
			"it watches one memory, and a cluster has one in each master", rdb)
	}
	return nil
}

// args are those of a look at the memory.
func (g guard) args() []any { return []any{"look", micros(g.quarantine)} }

// guardKey is where the store notes whose memory it knows.
func (s *Store) guardKey() string { return s.namespace + ":guard" }

// quarantined is a refusal that says how long it holds.
type quarantined struct{ left time.Duration }

// Error implements error.
func (q quarantined) Error() string {
	return fmt.Sprintf("%v, for %v more", ErrQuarantine, q.left.Round(time.Millisecond))
}

// Is makes it an [ErrQuarantine].
func (quarantined) Is(target error) bool { return target == ErrQuarantine }

// RetryAfter is how long the quarantine lasts, see [store.RetryAfter].
func (q quarantined) RetryAfter() time.Duration { return q.left }

// sameMemory returns why a claim that was executed does not count: the memory is
// another one, or it could not be seen whether it is.
func (s *Store) sameMemory(ctx context.Context, check *redis.Cmd) error {
	if check == nil {
		return nil
	}
	left, err := s.quarantineLeft(ctx, check)
	switch {
	case err != nil:
		return fmt.Errorf("memory guard: %w", err)
	case left > 0:
		s.counters.quarantined.Add(1)
		return quarantined{left: left}
	}
	return nil
}

// quarantineLeft reads a check's answer. It tells of a change that nobody has
// noticed before.
func (s *Store) quarantineLeft(ctx context.Context, check *redis.Cmd) (time.Duration, error) {
	numbers, err := check.Int64Slice()
	if err != nil {
		return 0, err
	}
	if len(numbers) != 2 {
		return 0, errReply
	}
	left := time.Duration(numbers[1]) * time.Microsecond
	if noticed := numbers[0] == 1; noticed {
		s.counters.memoryChanges.Add(1)
		s.log.WarnContext(ctx, "redis may have lost its memory: new claims are refused; Bless ends that",
			slog.Duration("quarantine", left))
	}
	return left, nil
}

// Bless accepts the server's memory as it is and ends a quarantine at once, for
// all processes: when the change was planned, when nothing was lost, or when
// whatever was lost is settled. It is also what to call on a Redis that
// is used for the first time. It costs one round trip, and is an error for a
// store without [MemoryGuard], or wraps [store.ErrUnavailable].
func (s *Store) Bless(ctx context.Context) error {
	if !s.guard.on {
		return errNoGuard
	}
	err := s.ready(ctx)
	if err == nil {
		err = s.run(ctx, s.rdb, s.scripts.epoch, []string{s.guardKey()}, "bless", 0).Err()
	}
	if err != nil {
		return s.unavailable(ctx, "bless", store.ID{}, err)
	}
	s.log.InfoContext(ctx, "the memory of redis was blessed: new claims are taken")
	return nil
}

// checkMemory looks at the memory without a claim, so that a quarantine begins
// when a process starts and not with its first request.
func (s *Store) checkMemory(ctx context.Context, found *redisconn.Examination) error {
	if !s.guard.on {
		return nil
	}
	check := s.run(ctx, s.rdb, s.scripts.epoch, []string{s.guardKey()}, s.guard.args()...)
	left, err := s.quarantineLeft(ctx, check)
	if redisconn.Denied(err) {
		found.Fault("the memory guard cannot look: %s; permit INFO, or every new claim is refused", err)
		return nil
	}
	if left > 0 {
		s.log.WarnContext(ctx, "new claims are in quarantine", slog.Duration("left", left))
	}
	return err
}
