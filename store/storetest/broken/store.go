package broken

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Step is a protocol: [store.Step], or one with a fault.
type Step func(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply)

// Store is a map with a step function, a [store.Notifier] and a
// [store.Inspector], too. It never forgets expired records, has no bounds, and
// is right as far as its step function is. Its methods may be called
// concurrently. Its clock is time.Now, and so a bubble's own inside
// testing/synctest.
type Store struct {
	step Step
	// late says which events are written some time after they were decided.
	late func(event store.Event, reply store.Reply) bool
	// silent says which events' ends are not told.
	silent func(event store.Event) bool

	mu      sync.Mutex
	records map[store.ID]store.Record
	watches map[*watch]struct{}
	shift   time.Duration
}

// New returns an empty store. With [store.Step] it is a correct one.
func New(step Step) *Store {
	return &Store{
		step:    step,
		records: make(map[store.ID]store.Record),
		watches: make(map[*watch]struct{}),
	}
}

// window is how long a store of [NotAtomic] waits before it writes.
const window = time.Millisecond

// NotAtomic returns a store which, for the events that when names by their
// reply, decides on what it read, and writes a millisecond later whatever has
// happened in between. Inside a synctest bubble the millisecond costs nothing,
// and whoever can run by then has been decided.
func NotAtomic(when func(event store.Event, reply store.Reply) bool) *Store {
	s := New(store.Step)
	s.late = when
	return s
}

// Apply executes an event as the store's step function says.
func (s *Store) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	if err := check(event); err != nil {
		return store.Reply{}, err
	}
	if err := ctx.Err(); err != nil {
		return store.Reply{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.records[id]
	next, reply := s.step(rec, event, s.now())
	if s.late != nil && s.late(event, reply) {
		s.mu.Unlock()
		time.Sleep(window)
		s.mu.Lock()
	}
	next.Answer = clone(next.Answer)
	s.records[id] = next
	if rec.Waiters && !next.Waiters && (s.silent == nil || !s.silent(event)) {
		s.tell(id)
	}
	reply.Answer = clone(reply.Answer)
	return reply, nil
}

// check accepts the seven event types only: pointers to them, and types that
// embed them, have the same methods.
func check(event store.Event) error {
	switch event.(type) {
	case store.Claim, store.Renew, store.Mark, store.Complete, store.Fail, store.Release, store.Settle:
		return store.Validate(event)
	}
	return fmt.Errorf("%w: %T", store.ErrInvalid, event)
}

// Renew applies the renewals one after the other.
func (s *Store) Renew(ctx context.Context, renewals []store.Renewal) []store.RenewResult {
	results := make([]store.RenewResult, len(renewals))
	for i, r := range renewals {
		results[i].Reply, results[i].Err = s.Apply(ctx, r.ID, r.Renew)
	}
	return results
}

// Lookup returns a copy of the record.
func (s *Store) Lookup(ctx context.Context, id store.ID) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.records[id].Live(s.now())
	rec.Answer = clone(rec.Answer)
	return rec, nil
}

// Forget loses the record of id.
func (s *Store) Forget(id store.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, id)
}

// Shift moves the store's clock by d against time.Now, back if d is negative.
func (s *Store) Shift(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shift += d
}

func (s *Store) now() store.Instant {
	return store.Instant(time.Now().Add(s.shift).UnixMicro())
}

func clone(a store.Answer) store.Answer {
	a.Meta, a.Body = bytes.Clone(a.Meta), bytes.Clone(a.Body)
	return a
}
