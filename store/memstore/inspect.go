package memstore

import (
	"context"
	"fmt"

	"github.com/reprise-go/reprise/store"
)

var _ store.Inspector = (*Store)(nil)

// Inspect returns the record of id without its answer, or the absent one, and
// the store's time. Error: [store.ErrUnavailable] when ctx has ended.
func (s *Store) Inspect(ctx context.Context, id store.ID) (store.Sighting, error) {
	if err := ended(ctx); err != nil {
		return store.Sighting{}, err
	}
	rec, now := s.lookup(id)
	return sighting(id, rec, now), nil
}

// List returns records in the order in which they were created, without their
// answers. Records that are created after the first page are not listed, so a
// listing ends however fast others come. A call looks at no more than
// [store.MaxList] records, some of which may have gone; a page can be short or
// empty for that reason.
//
// Errors: [store.ErrInvalid] for a limit out of range or a cursor of another
// make; [store.ErrUnavailable] when ctx has ended.
func (s *Store) List(ctx context.Context, cursor string, limit int) (store.Page, error) {
	if limit < 1 || limit > store.MaxList {
		return store.Page{}, fmt.Errorf("%w: list: limit is %d, not 1 to %d", store.ErrInvalid, limit, store.MaxList)
	}
	from, err := parsePlace(cursor)
	if err != nil {
		return store.Page{}, err
	}
	if err := ended(ctx); err != nil {
		return store.Page{}, err
	}
	return s.list(from, limit)
}

func (s *Store) list(from place, limit int) (store.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from == (place{}) {
		from.end = s.table.roll.next
	}
	if from.end > s.table.roll.next {
		return store.Page{}, fmt.Errorf("%w: list: the cursor is none of this store's", store.ErrInvalid)
	}
	now := s.now()
	s.table.sweep(now, s.full)
	lines := s.table.roll.from(from, store.MaxList)
	page := store.Page{Records: make([]store.Sighting, 0, min(limit, len(lines)))}
	for _, l := range lines {
		if len(page.Records) == limit {
			break
		}
		from.next = l.number + 1
		if rec := l.live(now); rec.State != store.Absent {
			page.Records = append(page.Records, sighting(l.entry.id, rec, now))
		}
	}
	if len(s.table.roll.from(from, 1)) > 0 {
		page.Next = from.String()
	}
	return page, nil
}

// place is how far a listing has come: the number of the next record, and that
// of the first one which was created after it began. The zero place is before
// the first page.
type place struct{ next, end uint64 }

// String returns the place as a cursor, which [parsePlace] reads.
func (p place) String() string { return fmt.Sprintf("%d-%d", p.next, p.end) }

func parsePlace(cursor string) (place, error) {
	if cursor == "" {
		return place{}, nil
	}
	var p place
	_, err := fmt.Sscanf(cursor, "%d-%d", &p.next, &p.end)
	if err != nil || p.String() != cursor || p.next == 0 || p.next >= p.end {
		return place{}, fmt.Errorf("%w: list: not a cursor of this store", store.ErrInvalid)
	}
	return p, nil
}

// sighting leaves the answer out, all but what it is.
func sighting(id store.ID, rec store.Record, now store.Instant) store.Sighting {
	rec.Answer = store.Answer{Codec: rec.Answer.Codec, Omitted: rec.Answer.Omitted}
	return store.Sighting{ID: id, Record: rec, Now: now}
}
