package broken

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/reprise-go/reprise/store"
)

// Inspect returns the record without its answer, and the store's time.
func (s *Store) Inspect(ctx context.Context, id store.ID) (store.Sighting, error) {
	if err := ctx.Err(); err != nil {
		return store.Sighting{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sighting(id), nil
}

// List returns records in the order of their IDs. The cursor is the last one.
func (s *Store) List(ctx context.Context, cursor string, limit int) (store.Page, error) {
	last, err := hex.DecodeString(cursor)
	if err != nil || cursor != "" && len(last) != len(store.ID{}) {
		return store.Page{}, fmt.Errorf("%w: cursor", store.ErrInvalid)
	}
	if limit < 1 || limit > store.MaxList {
		return store.Page{}, fmt.Errorf("%w: limit", store.ErrInvalid)
	}
	if err := ctx.Err(); err != nil {
		return store.Page{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list(last, limit), nil
}

func (s *Store) list(last []byte, limit int) store.Page {
	ids := slices.SortedFunc(maps.Keys(s.records), func(a, b store.ID) int { return bytes.Compare(a[:], b[:]) })
	var page store.Page
	for i, id := range ids {
		sighting := s.sighting(id)
		if bytes.Compare(id[:], last) <= 0 || sighting.Record.State == store.Absent {
			continue
		}
		page.Records = append(page.Records, sighting)
		if len(page.Records) == limit && i < len(ids)-1 {
			page.Next = id.String()
			break
		}
	}
	return page
}

func (s *Store) sighting(id store.ID) store.Sighting {
	now := s.now()
	rec := s.records[id].Live(now)
	rec.Answer = store.Answer{Codec: rec.Answer.Codec, Omitted: rec.Answer.Omitted}
	return store.Sighting{ID: id, Record: rec, Now: now}
}
