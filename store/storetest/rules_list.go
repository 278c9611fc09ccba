package storetest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/reprise-go/reprise/store"
)

// mostPages is where a case gives up on a listing. A store may give a page for
// each of its records, whosever they are.
const mostPages = 100_000

func listRules() []rule {
	return []rule{
		{
			name:  "list/every record",
			rule:  "going through all pages gives every record at least once, whatever the limit, and no page holds more than twice the limit",
			why:   "an orphan that is not on the list is not found",
			needs: inspects,
			check: listEvery,
		},
		{
			name:  "list/what is seen",
			rule:  "a listed record is as Inspect gives it, without its answer, at the store's time",
			why:   "as for inspecting",
			needs: inspects,
			check: listSeen,
		},
		{
			name:  "list/expired",
			rule:  "a record that has expired is not listed",
			why:   "it counts as absent everywhere, and what was to be forgotten must not be shown",
			needs: inspects,
			check: listExpired,
		},
		{
			name:  "list/while records come and go",
			rule:  "a record that is there all the time is listed, however many others come and go between the pages",
			why:   "a place that is counted in records moves when one before it goes",
			needs: inspects,
			check: listMoving,
		},
		{
			name:  "list/limits and cursors",
			rule:  "a limit that is not 1 to MaxList, and a cursor that List did not give, are answered with ErrInvalid",
			why:   "a page without bounds would hold up everybody; a wrong cursor that is taken for the beginning goes round for ever",
			needs: inspects,
			check: listInvalid,
		},
	}
}

// list goes through all pages and gives each to do.
func (c *check) list(limit int, do func(page store.Page)) {
	cursor := ""
	for range mostPages {
		page, err := c.inspector().List(c.ctx, cursor, limit)
		if err != nil {
			c.fatalf("list by %d from %q on: %v", limit, clip(cursor), err)
		}
		if n := len(page.Records); n > 2*limit {
			c.fatalf("a page of at most %d records holds %d", limit, n)
		}
		do(page)
		if page.Next == "" {
			return
		}
		cursor = page.Next
	}
	c.fatalf("list by %d: no end after %d pages", limit, mostPages)
}

// seen goes through all pages and returns the sightings of those records.
func (c *check) seen(limit int, ids map[store.ID]string) map[store.ID][]store.Sighting {
	seen := make(map[store.ID][]store.Sighting)
	c.list(limit, func(page store.Page) {
		for _, s := range page.Records {
			if _, ours := ids[s.ID]; ours {
				seen[s.ID] = append(seen[s.ID], s)
			}
		}
	})
	c.note("list by %d -> %d of %d records", limit, len(seen), len(ids))
	return seen
}

// population creates records of every kind and returns what they are.
func (c *check) population(times int) map[store.ID]string {
	kinds := append(answered(), finished()...)
	kinds = append(kinds, situation{"running", running}, situation{"a tombstone", tombstoned})
	all := make(map[store.ID]string)
	for range times {
		for _, s := range kinds {
			c.fresh("")
			s.create(c)
			all[c.id] = s.name
		}
	}
	return all
}

func listEvery(c *check) {
	ids := c.population(3)
	for _, limit := range []int{1, 7, store.MaxList} {
		seen := c.seen(limit, ids)
		for id, kind := range ids {
			if len(seen[id]) == 0 {
				c.errorf("list by %d: a record that is %s is missing", limit, kind)
			}
		}
	}
}

func listSeen(c *check) {
	ids := c.population(1)
	c.fresh("")
	lapsed(c)
	ids[c.id] = "lapsed"
	before := c.timesOf(ids)
	seen := c.seen(10, ids)
	after := c.timesOf(ids)
	for id, kind := range ids {
		c.id, c.about = id, "a record that is "+kind
		want := c.sighting()
		for _, s := range seen[id] {
			c.sameRecord("the record listed", s.Record, want.Record)
			c.is("its state at that time", s.State(), want.State())
			c.between("Now", s.Now, before[id], after[id])
		}
	}
}

// timesOf asks the store for its time by way of each record, since a store may
// be several servers with a clock each.
func (c *check) timesOf(ids map[store.ID]string) map[store.ID]store.Instant {
	times := make(map[store.ID]store.Instant)
	for c.id = range ids {
		times[c.id] = c.nowHere()
	}
	return times
}

func listExpired(c *check) {
	ids := make(map[store.ID]string)
	for i := range 5 {
		c.fresh("")
		owner := running(c)
		owner.retention = short
		owner.completes(store.Done, "first")
		ids[c.id] = fmt.Sprintf("record %d", i)
	}
	c.seen(10, ids)
	c.advance(short + slack)
	for id := range c.seen(10, ids) {
		c.errorf("%s is listed after its expiry", ids[id])
	}
}

func listMoving(c *check) {
	ids := make(map[store.ID]string)
	for i := range 90 {
		c.fresh("")
		owner := running(c)
		if i%3 > 0 {
			ids[c.id] = fmt.Sprintf("record %d", i)
			continue
		}
		owner.retention = short
		owner.completes(store.Done, "goes soon")
	}
	passed, gone, come := 0, false, 0
	c.list(3, func(page store.Page) {
		for _, s := range page.Records {
			if _, stays := ids[s.ID]; stays {
				passed++
				delete(ids, s.ID)
			}
		}
		switch {
		case passed >= 15 && !gone:
			gone = true
			c.advance(short + slack)
		case gone && come < 30:
			come++
			c.fresh("")
			running(c)
		}
	})
	for _, name := range ids {
		c.errorf("%s, which was there all the time, is missing", name)
	}
}

func listInvalid(c *check) {
	running(c)
	for _, limit := range []int{0, -1, store.MaxList + 1} {
		if _, err := c.inspector().List(c.ctx, "", limit); !errors.Is(err, store.ErrInvalid) {
			c.errorf("limit %d: error %v, want ErrInvalid", limit, err)
		}
	}
	for _, cursor := range []string{"not a cursor", "\x00\xff", " ", strings.Repeat("9", 500)} {
		if _, err := c.inspector().List(c.ctx, cursor, 10); !errors.Is(err, store.ErrInvalid) {
			c.errorf("cursor %q: error %v, want ErrInvalid", clip(cursor), err)
		}
	}
}
