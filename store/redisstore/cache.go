package redisstore

import (
	"bytes"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/store"
)

const (
	minCache    = 64 << 10
	minCacheAge = time.Millisecond
	maxCacheAge = time.Hour
	// entryCost is about what an answer costs beside its own bytes.
	entryCost = 512
	// What PTTL answers besides a time.
	noKey, noExpiry = time.Duration(-2), time.Duration(-1)
)

// LocalCache keeps answers that were replayed in this process's memory, so that
// further replays of them take no round trip and go on while Redis is away. It is
// for keys that are asked for again and again: an answer that nobody asks for a
// second time is never kept. The default is none.
//
// size bounds what is kept, in bytes, 64 KiB at least; an answer counts as its
// length and 512 bytes. Those that are asked for least go first. age, 1 ms to 1 h,
// is how long an answer is replayed without a look at Redis.
//
// A recorded answer never changes, so what is kept is right as long as the record
// is there: until its retention is over, which is observed at the price of a PTTL
// with each claim, or until it is erased ([store.Settle]). A settlement through this
// store takes effect at once; one by another process, or by hand in Redis, once age
// has passed. So age is for how long a purged answer may still be given out:
// seconds, where purges matter. The same holds for a record that Redis has lost: for
// that long this process replays the answer that was given, while another may run
// the operation again.
//
// Only a claim with the same fingerprint is answered from memory; any other is
// decided in Redis. Lookups and lists always go there. [Stats].LocalReplays
// counts.
func LocalCache(size int64, age time.Duration) Option {
	return option(func(s *settings) { s.cache = cacheSize{on: true, bytes: size, age: age} })
}

// cacheSize says how much is kept, and for how long.
type cacheSize struct {
	on    bool
	bytes int64
	age   time.Duration
}

func (c cacheSize) validate() error {
	switch {
	case !c.on:
		return nil
	case c.bytes < minCache:
		return fmt.Errorf("redisstore: LocalCache: size %d is less than %d bytes", c.bytes, minCache)
	case c.age < minCacheAge || c.age > maxCacheAge:
		return fmt.Errorf("redisstore: LocalCache: age %v is not from %v to %v", c.age, minCacheAge, maxCacheAge)
	}
	return nil
}

// cache keeps replies to claims that found a recorded answer. A nil cache keeps
// nothing.
type cache struct {
	entries *otter.Cache[store.ID, *cached]
	age     time.Duration
	hits    atomic.Int64
	// wall returns the wall-clock part of a reading in nanoseconds. Tests replace it.
	wall func(time.Time) int64

	mu    sync.Mutex // orders keep and drop
	drops int        // so far
}

// cached is a reply, to claims with that fingerprint. It is never changed.
type cached struct {
	bound store.Fingerprint
	reply store.Reply
	asked time.Time // before the store decided on it
	// Both clocks must say that there is time left: the monotonic one stands still
	// while the machine is suspended, the other may be set back.
	until time.Time
	wall  int64 // until, on the wall clock
}

func newCache(size cacheSize) (*cache, error) {
	if !size.on {
		return nil, nil
	}
	entries, err := otter.New(&otter.Options[store.ID, *cached]{
		MaximumWeight: uint64(size.bytes),
		Weigher:       func(_ store.ID, c *cached) uint32 { return c.weight() },
		// Frees the memory; whether an entry may be used is for lasts to say.
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[store.ID, *cached]) time.Duration {
			return time.Until(e.Value.until)
		}),
		Executor: func(f func()) { f() }, // no goroutines but the one that close ends
	})
	if err != nil {
		return nil, fmt.Errorf("redisstore: LocalCache: %w", err)
	}
	return &cache{entries: entries, age: size.age, wall: time.Time.UnixNano}, nil
}

// find returns the reply to a claim, if it is known without asking.
func (c *cache) find(id store.ID, claim store.Claim) (store.Reply, bool) {
	if c == nil {
		return store.Reply{}, false
	}
	entry, ok := c.entries.GetIfPresent(id)
	if !ok || !c.lasts(entry) || !entry.bound.Equal(claim.Fingerprint) {
		return store.Reply{}, false
	}
	c.hits.Add(1)
	reply := entry.reply
	reply.Now = reply.Now.Add(time.Since(entry.asked))
	reply.Answer = cloned(reply.Answer)
	return reply, true
}

func (c *cache) lasts(entry *cached) bool {
	now := time.Now()
	return now.Before(entry.until) && c.wall(now) < entry.wall
}

// question is a claim that is put to Redis while so many entries were dropped.
type question struct {
	asked time.Time
	drops int
}

func (c *cache) ask() question {
	if c == nil {
		return question{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return question{asked: time.Now(), drops: c.drops}
}

// keep keeps the reply to a claim, unless a record was settled since it was asked
// for: the reply may be about what has just been erased. life is what PTTL said
// behind the claim, about what the GET behind it brought.
func (c *cache) keep(q question, id store.ID, bound store.Fingerprint, reply store.Reply, life *redis.DurationCmd) {
	if c == nil || life == nil || reply.Verdict != store.Recorded {
		return
	}
	left, err := life.Result()
	if err != nil || left == noKey {
		return
	}
	if left == noExpiry || left > c.age {
		left = c.age
	}
	entry := &cached{bound: bound, reply: reply, asked: q.asked, until: q.asked.Add(left), wall: c.wall(q.asked) + int64(left)}
	entry.reply.Answer = cloned(reply.Answer)
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.drops == c.drops && c.lasts(entry) {
		c.entries.Set(id, entry)
	}
}

// drop forgets a record that was, or may have been, settled.
func (c *cache) drop(id store.ID) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	c.entries.Invalidate(id)
}

// replays counts the claims that find has answered.
func (c *cache) replays() int64 {
	if c == nil {
		return 0
	}
	return c.hits.Load()
}

// close ends the cache's goroutine and waits for it.
func (c *cache) close() {
	if c == nil {
		return
	}
	c.entries.StopAllGoroutines()
	c.entries.InvalidateAll()
}

func (c *cached) weight() uint32 {
	return uint32(min(entryCost+len(c.reply.Answer.Meta)+len(c.reply.Answer.Body), math.MaxUint32))
}

func cloned(a store.Answer) store.Answer {
	a.Meta, a.Body = bytes.Clone(a.Meta), bytes.Clone(a.Body)
	return a
}
