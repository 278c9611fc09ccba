package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Status is what is known of one operation. It never holds a key or a scope.
type Status struct {
	// ID names the record; its text form is [Info].OperationID.
	ID store.ID
	// State is as a duplicate would find it: a running attempt whose lease has
	// lapsed is [store.Unknown]. [store.Absent] when there is no record.
	State     store.State
	Operation string
	// Scope is a digest: records of one scope have the same.
	Scope   store.ScopeDigest
	Token   store.Token
	Attempt int
	// Marked says that an attempt marked an effect.
	Marked bool
	// Waiters says that somebody waits for the running attempt.
	Waiters bool
	// Created is the first claim, Started the latest start, Finished the end of
	// the latest attempt (zero while it runs), LeaseEnd the end of its lease,
	// Expires when the record is forgotten. Now is when the store was asked. All
	// by the store's clock.
	Created, Started, Finished, LeaseEnd, Expires, Now time.Time
	// Lease is the lease's length.
	Lease time.Duration
	// Codec names the encoding of a recorded answer, Omitted why it has no body.
	Codec   string
	Omitted store.Omission
}

func statusOf(s store.Sighting) Status {
	rec := s.Record
	return Status{
		ID: s.ID, State: s.State(), Operation: rec.Operation, Scope: rec.Scope,
		Token: rec.Token, Attempt: rec.Attempt, Marked: rec.Marked, Waiters: rec.Waiters,
		Created: timeOf(rec.Created), Started: timeOf(rec.Started), Finished: timeOf(rec.Finished),
		LeaseEnd: timeOf(rec.LeaseEnd), Expires: timeOf(rec.Expires), Now: timeOf(s.Now),
		Lease: rec.Lease, Codec: rec.Answer.Codec, Omitted: rec.Answer.Omitted,
	}
}

func timeOf(i store.Instant) time.Time {
	if i == 0 {
		return time.Time{}
	}
	return i.Time()
}

// ID returns the name of an operation's record, for [Guard.Lookup] and
// [Guard.Settle]. No round trip.
func (g *Guard) ID(operation, scope, key string) store.ID { return g.id(scope, operation, "", key) }

// PartID is [Guard.ID] for an operation whose calls have a [Call].Part.
func (g *Guard) PartID(operation, part, scope, key string) store.ID {
	return g.id(scope, operation, part, key)
}

func (g *Guard) id(scope, operation, part, key string) store.ID {
	if g.opts.strictKeys {
		return store.NewID(scope, "", key)
	}
	return store.NewID(scope, partName(operation, part), key)
}

// partName joins an operation's name and a part. No name that is registered for
// itself looks like that by accident: it holds a NUL.
func partName(operation, part string) string {
	if part == "" {
		return operation
	}
	return operation + "\x00" + part
}

// Lookup tells what is known of an operation, without its answer. It changes
// nothing. One round trip.
//
// Errors: [ErrStoreUnavailable], [ErrRecordUnreadable]; [errors.ErrUnsupported]
// on a store that is no [store.Inspector].
func (g *Guard) Lookup(ctx context.Context, id store.ID) (Status, error) {
	inspector, err := g.inspector()
	if err != nil {
		return Status{}, err
	}
	ctx, cancel := g.storeContext(ctx)
	defer cancel()
	seen, err := inspector.Inspect(ctx, id)
	if err != nil {
		return Status{}, operatorError(id, err)
	}
	seen.ID = id
	return statusOf(seen), nil
}

// Answer returns the recorded answer of a completed operation. It may hold what
// only the operation's caller should see. One round trip.
//
// Errors: [ErrResultUnavailable] if there is none, or no body was kept;
// otherwise as [Guard.Lookup].
func (g *Guard) Answer(ctx context.Context, id store.ID) (store.Answer, error) {
	ctx, cancel := g.storeContext(ctx)
	defer cancel()
	rec, err := g.store.Lookup(ctx, id)
	if err != nil {
		return store.Answer{}, operatorError(id, err)
	}
	if rec.State != store.Completed || rec.Answer.Omitted != store.BodyKept {
		return rec.Answer, &Error{Code: ErrResultUnavailable, Operation: rec.Operation, ID: id.Short()}
	}
	return rec.Answer, nil
}

// Query says which records [Guard.List] is to return. The zero Query returns
// all but those of the guard's own health probes.
type Query struct {
	// Operation is an operation's name, or "" for all.
	Operation string
	// Scope is the digest of a scope, as [Status] has it; zero for all.
	Scope store.ScopeDigest
	// State is a state as [Status] has it, or [store.Absent] for all.
	State store.State
	// OlderThan and YoungerThan bound a record's age by the store's clock. 0 is no
	// bound. An operation of unknown outcome is as old as its first claim, however
	// often somebody tried since to find out; any other, as its latest start.
	OlderThan, YoungerThan time.Duration
	// Cursor is where to go on: [Listing].Next, or "" to begin.
	Cursor string
	// Limit is about how many records a page has, 1 to [store.MaxList]. Default
	// 100.
	Limit int
}

// Listing is one page of [Guard.List].
type Listing struct {
	Records []Status
	// Unreadable counts records that could not be read.
	Unreadable int
	// Next is the cursor of the next page, "" if this is the last.
	Next string
}

// List goes through the store's records, page by page. It never blocks the
// store: a call looks at a bounded number of records, so a page may be short or
// even empty and not be the last. Every record that is there all the time is
// returned at least once. A few round trips.
//
// Errors: as [Guard.Lookup]; [store.ErrInvalid] for a cursor or limit that is
// wrong.
func (g *Guard) List(ctx context.Context, q Query) (Listing, error) {
	inspector, err := g.inspector()
	if err != nil {
		return Listing{}, err
	}
	if q.Limit == 0 {
		q.Limit = defaultListing
	}
	out := Listing{Next: q.Cursor}
	for range listSteps {
		page, err := g.list(ctx, inspector, out.Next, q.Limit)
		if err != nil {
			return Listing{}, err
		}
		out.Next = page.Next
		out.Unreadable += page.Unreadable
		for _, seen := range page.Records {
			if status := statusOf(seen); q.wants(status) {
				out.Records = append(out.Records, status)
			}
		}
		if out.Next == "" || len(out.Records) >= q.Limit {
			break
		}
	}
	return out, nil
}

const (
	defaultListing = 100
	// listSteps bounds how many pages of the store one call of List looks at when
	// few records are wanted ones.
	listSteps = 10
)

func (g *Guard) list(ctx context.Context, from store.Inspector, cursor string, limit int) (store.Page, error) {
	ctx, cancel := g.storeContext(ctx)
	defer cancel()
	page, err := from.List(ctx, cursor, limit)
	if err != nil {
		return store.Page{}, operatorError(store.ID{}, err)
	}
	return page, nil
}

func (q Query) wants(s Status) bool {
	age := s.Now.Sub(s.Started)
	if s.State == store.Unknown {
		age = s.Now.Sub(s.Created)
	}
	return (q.Operation == "" && s.Operation != probeOperation || q.Operation == s.Operation) &&
		(q.Scope == (store.ScopeDigest{}) || q.Scope == s.Scope) &&
		(q.State == store.Absent || q.State == s.State) &&
		(q.OlderThan == 0 || age >= q.OlderThan) &&
		(q.YoungerThan == 0 || age < q.YoungerThan)
}

func (g *Guard) inspector() (store.Inspector, error) {
	inspector, ok := g.store.(store.Inspector)
	if !ok {
		return nil, fmt.Errorf("idempotency: %T is no store.Inspector: %w", g.store, errors.ErrUnsupported)
	}
	return inspector, nil
}

// storeContext bounds a call for an operator, who may also give up earlier.
func (g *Guard) storeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, g.opts.storeTimeout)
}

func operatorError(id store.ID, cause error) error {
	code := ErrStoreUnavailable
	switch {
	case errors.Is(cause, store.ErrInvalid):
		return fmt.Errorf("idempotency: %w", cause)
	case errors.Is(cause, store.ErrUnreadable):
		code = ErrRecordUnreadable
	}
	err := &Error{Code: code, Err: cause}
	if id != (store.ID{}) {
		err.ID = id.Short()
	}
	return err
}
