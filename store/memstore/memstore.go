package memstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Store is a [store.Store] in memory. Its methods may be called concurrently
// from one process; see the package comment before you use it for more.
//
// A call costs O(log n) for n records, amortised: each one also frees a few
// records that have expired. Nothing is freed while nobody calls.
type Store struct {
	maxRecords int
	maxBytes   int64
	// origin is the store's time at construction, and began the reading that
	// monotonic progress is counted from.
	origin store.Instant
	began  time.Time

	mu    sync.Mutex
	table table

	watches watches // has a lock of its own
}

// New returns an empty store. Errors name the option that is out of range.
func New(opts ...Option) (*Store, error) {
	cfg := config{records: DefaultMaxRecords, bytes: DefaultMaxBytes}
	for _, opt := range opts {
		opt(&cfg)
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	now := time.Now()
	return &Store{
		maxRecords: cfg.records,
		maxBytes:   cfg.bytes,
		origin:     store.Instant(now.UnixMicro()),
		began:      now,
		table:      newTable(),
	}, nil
}

// Apply executes one event on the record of id. The answer in a completion or
// settlement is copied, as is the one in the reply.
//
// Errors: [store.ErrInvalid]; [store.ErrUnavailable] when ctx has ended, or
// when the store is full and the event is a claim that would create a record.
func (s *Store) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	if err := check(event); err != nil {
		return store.Reply{}, err
	}
	if err := ended(ctx); err != nil {
		return store.Reply{}, err
	}
	event = ownAnswer(event)
	reply, err := s.apply(id, event)
	if err != nil {
		return store.Reply{}, err
	}
	// Records never change the slices they hold, so this copy needs no lock.
	reply.Answer = clone(reply.Answer)
	return reply, nil
}

// Renew executes the renewals one after the other, each with its own answer.
func (s *Store) Renew(ctx context.Context, renewals []store.Renewal) []store.RenewResult {
	results := make([]store.RenewResult, len(renewals))
	for i, r := range renewals {
		results[i].Reply, results[i].Err = s.Apply(ctx, r.ID, r.Renew)
	}
	return results
}

// Lookup returns a copy of the record of id, or the absent record. Error:
// [store.ErrUnavailable] when ctx has ended.
func (s *Store) Lookup(ctx context.Context, id store.ID) (store.Record, error) {
	if err := ended(ctx); err != nil {
		return store.Record{}, err
	}
	rec, _ := s.lookup(id)
	rec.Answer = clone(rec.Answer)
	return rec, nil
}

// apply executes an event and tells those who waited for it.
func (s *Store) apply(id store.ID, event store.Event) (store.Reply, error) {
	reply, over, err := s.step(id, event)
	if over {
		s.watches.tell(id)
	}
	return reply, err
}

// step executes an event. It reports whether that ended an attempt on which
// somebody waited.
func (s *Store) step(id store.ID, event store.Event) (reply store.Reply, over bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.table.sweep(now, s.full)
	rec := s.table.get(id).Live(now)
	if _, claim := event.(store.Claim); claim && rec.State == store.Absent && s.full() {
		return store.Reply{}, false, fmt.Errorf("%w: %w: memory store is full with %d records, %d bytes",
			store.ErrUnavailable, store.ErrNotExecuted, s.table.len(), s.table.bytes)
	}
	next, reply := store.Step(rec, event, now)
	s.table.put(id, next)
	return reply, rec.Waiters && !next.Waiters, nil
}

func (s *Store) lookup(id store.ID) (store.Record, store.Instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.table.sweep(now, s.full)
	return s.table.get(id).Live(now), now
}

// full reports whether there is no room for one more running record. Only new
// operations ask: those which were let in may always record how they ended.
func (s *Store) full() bool {
	return s.table.len() >= s.maxRecords || s.table.bytes+emptyRecord > s.maxBytes
}

func (s *Store) now() store.Instant { return s.origin.Add(time.Since(s.began)) }

// check accepts the event types themselves. Pointers to them and types that
// embed them, as [store.Renewal] does, have the same methods and would pass
// [store.Validate], but [store.Step] does not know them.
func check(event store.Event) error {
	switch event.(type) {
	case store.Claim, store.Renew, store.Mark, store.Complete, store.Fail, store.Release, store.Settle:
		return store.Validate(event)
	}
	return fmt.Errorf("%w: %T is no event", store.ErrInvalid, event)
}

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return nil
}

// ownAnswer returns the event with an answer that nobody else can write to.
func ownAnswer(event store.Event) store.Event {
	switch ev := event.(type) {
	case store.Complete:
		ev.Answer = clone(ev.Answer)
		return ev
	case store.Settle:
		if ev.Answer != nil {
			answer := clone(*ev.Answer)
			ev.Answer = &answer
		}
		return ev
	}
	return event
}

// clone copies an answer, in one piece of memory.
func clone(a store.Answer) store.Answer {
	whole := slices.Concat(a.Meta, a.Body)
	meta := len(a.Meta)
	if a.Meta != nil {
		a.Meta = whole[:meta:meta]
	}
	if a.Body != nil {
		a.Body = whole[meta:]
	}
	return a
}
