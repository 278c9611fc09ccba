package storetest_test

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

// inspecting changes what an inspection gives.
func inspecting(change func(s *broken.Store, seen *store.Sighting, err *error)) func() (store.Store, *broken.Store) {
	return wrap(wrapper{inspect: func(s *broken.Store, ctx context.Context, id store.ID) (store.Sighting, error) {
		seen, err := s.Inspect(ctx, id)
		change(s, &seen, &err)
		return seen, err
	}})
}

// stored returns the whole record of a sighting.
func stored(s *broken.Store, seen store.Sighting) store.Record {
	rec, err := s.Lookup(context.Background(), seen.ID)
	if err != nil {
		panic(err)
	}
	return rec
}

func inspectFaults() []fault {
	return []fault{
		{"an inspection shows the answer", inspecting(func(s *broken.Store, seen *store.Sighting, _ *error) {
			seen.Record.Answer = stored(s, *seen).Answer
		}), []string{"inspect/every field", "inspect/leaves the answer out"}},
		{"an inspection shows what is in small answers", inspecting(func(s *broken.Store, seen *store.Sighting, _ *error) {
			if rec := stored(s, *seen); len(rec.Answer.Body) < 4096 {
				seen.Record.Answer.Meta = rec.Answer.Meta
			}
		}), []string{"inspect/leaves the answer out"}},
		{"an inspection knows no codec", inspecting(func(_ *broken.Store, seen *store.Sighting, _ *error) {
			seen.Record.Answer = store.Answer{}
		}), []string{"inspect/every field", "inspect/leaves the answer out"}},
		{"an inspection does not say of what", inspecting(func(_ *broken.Store, seen *store.Sighting, _ *error) {
			seen.ID = store.ID{}
		}), []string{"inspect/every field", "inspect/absent"}},
		{"an inspection leaves out who waits", inspecting(func(_ *broken.Store, seen *store.Sighting, _ *error) {
			seen.Record.Waiters = false
		}), []string{"inspect/every field"}},
		{"an inspection marks", wrap(wrapper{inspect: func(s *broken.Store, ctx context.Context, id store.ID) (store.Sighting, error) {
			seen, err := s.Inspect(ctx, id)
			if err == nil {
				_, err = s.Apply(ctx, id, store.Mark{Owner: seen.Record.Owner})
			}
			return seen, ignored(err)
		}}), []string{"inspect/every field"}},
		{"an inspection of nothing is an error", inspecting(func(_ *broken.Store, seen *store.Sighting, err *error) {
			if seen.Record.State == store.Absent {
				*err = errors.Join(*err, store.ErrUnreadable)
			}
		}), []string{"inspect/absent"}},
		{"an inspection has no time", inspecting(func(_ *broken.Store, seen *store.Sighting, _ *error) { seen.Now = 0 }),
			[]string{"inspect/time", "inspect/absent", "inspect/lapsed"}},
		{"an inspection's time is the record's", inspecting(func(_ *broken.Store, seen *store.Sighting, _ *error) {
			seen.Now = max(seen.Record.Started, 1)
		}), []string{"inspect/time", "inspect/lapsed"}},
		{"an inspection reads the lapse", inspecting(func(_ *broken.Store, seen *store.Sighting, _ *error) {
			seen.Record.State = seen.State()
		}), []string{"inspect/lapsed"}},
		{"the context of an inspection is ignored", wrap(wrapper{
			inspect: func(s *broken.Store, ctx context.Context, id store.ID) (store.Sighting, error) {
				return s.Inspect(context.WithoutCancel(ctx), id)
			},
		}), []string{"inspect/ended context"}},
		{"the context of a listing is ignored", wrap(wrapper{
			list: func(s *broken.Store, ctx context.Context, cursor string, limit int) (store.Page, error) {
				return s.List(context.WithoutCancel(ctx), cursor, limit)
			},
		}), []string{"inspect/ended context"}},
	}
}

// ignored passes on what is no fault of an event.
func ignored(err error) error {
	if errors.Is(err, store.ErrInvalid) { // an absent record has no owner
		return nil
	}
	return err
}

// listing changes the pages of a listing.
func listing(change func(s *broken.Store, page *store.Page, limit int)) func() (store.Store, *broken.Store) {
	return wrap(wrapper{list: func(s *broken.Store, ctx context.Context, cursor string, limit int) (store.Page, error) {
		page, err := s.List(ctx, cursor, limit)
		change(s, &page, limit)
		return page, err
	}})
}

func listFaults() []fault {
	return []fault{
		{"a listing skips the last of a page", listing(func(_ *broken.Store, page *store.Page, limit int) {
			if limit > 1 && len(page.Records) > 0 {
				page.Records = page.Records[:len(page.Records)-1]
			}
		}), []string{"list/every record"}},
		{"the first page is the last", listing(func(_ *broken.Store, page *store.Page, _ int) { page.Next = "" }),
			[]string{"list/every record", "list/while records come and go"}},
		{"an empty page is the last", listing(func(_ *broken.Store, page *store.Page, limit int) {
			if limit == 1 && len(page.Records) > 0 && page.Records[0].Record.State == store.Released {
				*page = store.Page{}
			}
		}), []string{"list/every record"}},
		{"a listing never ends", listing(func(_ *broken.Store, page *store.Page, _ int) {
			page.Next = store.ID{}.String()
		}), []string{"list/every record"}},
		{"a page holds everything", wrap(wrapper{
			list: func(s *broken.Store, ctx context.Context, cursor string, limit int) (store.Page, error) {
				_, err := s.List(ctx, cursor, limit)
				if err != nil {
					return store.Page{}, err
				}
				return s.List(ctx, cursor, store.MaxList)
			},
		}), []string{"list/every record"}},
		{"a listing shows answers", listing(func(s *broken.Store, page *store.Page, _ int) {
			for i, seen := range page.Records {
				page.Records[i].Record = stored(s, seen)
			}
		}), []string{"list/what is seen"}},
		{"a listing has no time", listing(func(_ *broken.Store, page *store.Page, _ int) {
			for i := range page.Records {
				page.Records[i].Now = 0
			}
		}), []string{"list/what is seen"}},
		{"a listing is what it was the first time", cachedList, []string{"list/expired"}},
		{"a cursor counts records", wrap(wrapper{list: byOffset}), []string{"list/while records come and go"}},
		{"limits are cut to what is allowed", wrap(wrapper{
			list: func(s *broken.Store, ctx context.Context, cursor string, limit int) (store.Page, error) {
				return s.List(ctx, cursor, min(max(limit, 1), store.MaxList))
			},
		}), []string{"list/limits and cursors"}},
		{"a wrong cursor is the beginning", wrap(wrapper{
			list: func(s *broken.Store, ctx context.Context, cursor string, limit int) (store.Page, error) {
				page, err := s.List(ctx, cursor, limit)
				if errors.Is(err, store.ErrInvalid) && cursor != "" {
					return s.List(ctx, "", limit)
				}
				return page, err
			},
		}), []string{"list/limits and cursors"}},
	}
}

func cachedList() (store.Store, *broken.Store) {
	type key struct {
		cursor string
		limit  int
	}
	var mu sync.Mutex
	pages := make(map[key]store.Page)
	return wrap(wrapper{list: func(s *broken.Store, ctx context.Context, cursor string, limit int) (store.Page, error) {
		mu.Lock()
		defer mu.Unlock()
		if page, ok := pages[key{cursor, limit}]; ok {
			return page, nil
		}
		page, err := s.List(ctx, cursor, limit)
		if err == nil {
			pages[key{cursor, limit}] = page
		}
		return page, err
	}})()
}

// byOffset skips as many records as the pages before have held.
func byOffset(s *broken.Store, ctx context.Context, cursor string, limit int) (store.Page, error) {
	begin := 0
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if err != nil {
			return store.Page{}, store.ErrInvalid
		}
		begin = n
	}
	page, err := s.List(ctx, "", limit)
	if err != nil {
		return page, err
	}
	page, err = s.List(ctx, "", store.MaxList)
	all := page.Records
	begin = min(begin, len(all))
	page.Records = all[begin:min(begin+limit, len(all))]
	page.Next = ""
	if begin+limit < len(all) {
		page.Next = strconv.Itoa(begin + limit)
	}
	return page, err
}
