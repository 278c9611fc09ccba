package store

import "context"

// Inspector is a store whose records can be looked at without being claimed,
// for operators and for status pages. Nothing here carries an answer.
type Inspector interface {
	// Inspect returns the record of id as it is stored, or the absent one, with
	// the store's time, by which its instants are to be judged. One round trip,
	// however large the answer. Errors: [ErrUnavailable], [ErrUnreadable].
	Inspect(ctx context.Context, id ID) (Sighting, error)

	// List returns some of the store's records, in no particular order, and the
	// cursor of what follows. Going through all pages from "" on gives every
	// record that is there all the time at least once; one that comes or goes
	// meanwhile may or may not be among them. A call does a bounded amount of
	// work, however many records or foreign keys there are, so a page may hold
	// fewer than limit records, or none, and not be the last. It never holds
	// more than twice the limit. limit is 1 to [MaxList]. Records that cannot be
	// read are left out and counted.
	//
	// Errors: [ErrUnavailable], [ErrInvalid] for a cursor that List did not give
	// or a limit out of range.
	List(ctx context.Context, cursor string, limit int) (Page, error)
}

// MaxList is the largest limit of [Inspector].List.
const MaxList = 1000

// Sighting is a record as it was seen at a time of the store's clock.
type Sighting struct {
	ID ID
	// Record is the record; of its answer only Codec and Omitted are set.
	Record Record
	Now    Instant
}

// State returns the record's state as it is to be read at that time: a running
// record whose lease has lapsed is [Unknown].
func (s Sighting) State() State {
	if s.Record.State == Running && s.Record.Lapsed(s.Now) {
		return Unknown
	}
	return s.Record.State
}

// Page is one part of a listing.
type Page struct {
	Records []Sighting
	// Unreadable counts records that were left out.
	Unreadable int
	// Next is the cursor of the next page, "" if this is the last.
	Next string
}
