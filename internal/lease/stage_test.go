package lease_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/lease"
)

const (
	length = 30 * time.Second
	margin = length/lease.Drift + length/lease.Grace
)

var errDown = errors.New("backend is down")

// backend is a simulated store of leases with its own idea of when each lapses.
// Its clock runs as much faster than the holder's as the margin allows for.
type backend struct {
	t *testing.T

	mu sync.Mutex
	// before and after run around the execution of each batch, without mu; an
	// error of before means that nothing was executed, one of after that the
	// reply got lost.
	before, after trouble
	holders       map[int]*holder
	ends          map[int]time.Time
	taken         map[int]bool
	renewals      map[int]int // executions, by item
	sent          []time.Time // when each call came in
	batches       []int       // how large each call was
}

// trouble is what can happen to a call.
type trouble func(ctx context.Context, items []int) error

func (f trouble) befall(ctx context.Context, items []int) error {
	if f == nil {
		return nil
	}
	return f(ctx, items)
}

func (b *backend) setBefore(f trouble) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before = f
}

func (b *backend) setAfter(f trouble) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.after = f
}

func (b *backend) claim(h *holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holders[h.item] = h
	b.ends[h.item] = time.Now().Add(fast(h.length))
}

func fast(d time.Duration) time.Duration { return d - d/lease.Drift }

func (b *backend) renew(ctx context.Context, items []int) []lease.Result {
	b.mu.Lock()
	b.sent = append(b.sent, time.Now())
	b.batches = append(b.batches, len(items))
	before, after := b.before, b.after
	b.mu.Unlock()
	if err := before.befall(ctx, items); err != nil {
		return failed(items, err)
	}
	results := make([]lease.Result, len(items))
	b.mu.Lock()
	for i, item := range items {
		results[i] = b.execute(item)
	}
	b.mu.Unlock()
	if err := after.befall(ctx, items); err != nil {
		return failed(items, err)
	}
	return results
}

func (b *backend) execute(item int) lease.Result {
	b.renewals[item]++
	now := time.Now()
	if b.taken[item] {
		return lease.Result{Lost: true}
	}
	if !now.Before(b.ends[item]) {
		assert.True(b.t, b.holders[item].over(), "lease %d lapsed and its holder was not told", item)
		return lease.Result{Lost: true}
	}
	b.ends[item] = now.Add(fast(b.holders[item].length))
	return lease.Result{Confirmed: now.UnixMicro()}
}

func failed(items []int, err error) []lease.Result {
	return slices.Repeat([]lease.Result{{Err: err}}, len(items))
}

// take makes the backend forget a lease.
func (b *backend) take(item int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken[item] = true
}

func (b *backend) end(item int) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ends[item]
}

// calls returns when calls came in.
func (b *backend) calls() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sent)
}

func (b *backend) sizes() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.batches)
}

func (b *backend) renewed(item int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.renewals[item]
}

// check asserts the invariant: a lease that lapsed is one whose holder knows.
func (b *backend) check() {
	b.mu.Lock()
	holders := maps.Clone(b.holders)
	b.mu.Unlock()
	for item, h := range holders {
		if !time.Now().Before(b.end(item)) {
			assert.True(b.t, h.over(), "lease %d lapsed and its holder was not told", item)
		}
	}
}

// stage is a watchdog on a simulated backend, inside a bubble.
type stage struct {
	*backend
	dog *lease.Watchdog[int]
	// jump is how far the wall clock was set.
	jump atomic.Int64
}

// bubble runs a test in virtual time and closes the watchdog after it.
func bubble(t *testing.T, test func(t *testing.T, s *stage)) {
	t.Helper()
	bubbleWith(t, lease.Config[int]{}, test)
}

func bubbleWith(t *testing.T, cfg lease.Config[int], test func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{backend: &backend{
			t:        t,
			holders:  map[int]*holder{},
			ends:     map[int]time.Time{},
			taken:    map[int]bool{},
			renewals: map[int]int{},
		}}
		if cfg.Renew == nil {
			cfg.Renew = s.renew
		}
		dog, err := lease.New(cfg)
		require.NoError(t, err)
		s.dog = dog
		s.dog.SetWall(func(now time.Time) int64 { return now.UnixNano() + s.jump.Load() })
		test(t, s)
		require.NoError(t, s.dog.Close())
	})
}

// holder is whoever holds a lease, and what it was told.
type holder struct {
	*lease.Lease[int]
	item   int
	length time.Duration
	since  time.Time

	mu     sync.Mutex
	told   []lease.Reason
	toldAt time.Time
	ended  bool
}

// hold claims a lease of the usual length and watches it.
func (s *stage) hold(item int) *holder { return s.holdWith(item, lease.Spec{}) }

func (s *stage) holdWith(item int, spec lease.Spec) *holder {
	h := &holder{item: item, since: time.Now()}
	if spec.Lease == 0 {
		spec.Lease = length
	}
	if spec.Since.IsZero() {
		spec.Since = h.since
	}
	h.length = spec.Lease
	s.claim(h)
	then := spec.Lost
	spec.Lost = func(reason lease.Reason) {
		s.hear(h, reason)
		if then != nil {
			then(reason)
		}
	}
	h.Lease = s.dog.Watch(item, spec)
	return h
}

func (s *stage) hear(h *holder, reason lease.Reason) {
	if reason != lease.ReasonLost {
		assert.True(s.t, time.Now().Before(s.end(h.item)), "lease %d: told after it lapsed", h.item)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	assert.False(s.t, h.ended, "lease %d: lost after its end", h.item)
	h.told, h.toldAt = append(h.told, reason), time.Now()
}

// finish ends the lease.
func (h *holder) finish() {
	if h.End() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ended = true
	}
}

func (h *holder) over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended || len(h.told) > 0
}

func (h *holder) reasons() []lease.Reason {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.told)
}

// after returns how long after the claim the holder was told.
func (h *holder) after() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.toldAt.Sub(h.since)
}

// pass lets virtual time pass and everything due in it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// hang waits for the context, as a well-behaved client does.
func hang(ctx context.Context, _ []int) error {
	<-ctx.Done()
	return ctx.Err()
}
