package memstore_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// What a listing gives is storetest's to say. Here is what it costs this store,
// and what becomes of it when the records are written anew beneath it.

func page(t testing.TB, s *memstore.Store, cursor string, limit int) store.Page {
	t.Helper()
	page, err := s.List(t.Context(), cursor, limit)
	require.NoError(t, err)
	require.LessOrEqual(t, len(page.Records), limit)
	return page
}

// listed goes through all pages and counts the records by their IDs.
func listed(t testing.TB, s *memstore.Store, limit int, between func(seen int)) map[store.ID]int {
	t.Helper()
	seen := make(map[store.ID]int)
	for cursor := ""; ; {
		page := page(t, s, cursor, limit)
		for _, sighting := range page.Records {
			seen[sighting.ID]++
		}
		if page.Next == "" {
			return seen
		}
		cursor = page.Next
		between(len(seen))
	}
}

func TestListGivesEveryRecordOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const records = 2500
	for n := range records {
		apply(t, s, n, claim(n))
	}
	for _, limit := range []int{1, 7, 999, store.MaxList} {
		seen := listed(t, s, limit, func(int) {})
		assert.Len(t, seen, records, "limit %d", limit)
		for id, times := range seen {
			assert.Equal(t, 1, times, id)
		}
	}
}

func TestListOfAnEmptyStoreIsOnePage(t *testing.T) {
	t.Parallel()
	assert.Empty(t, listed(t, newStore(t), 10, func(int) { t.Error("a second page") }))
}

// Half of the records expire and the roll is compacted while pages are turned.
func TestListKeepsItsPlaceWhenRecordsGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		const records = 3000
		for n := range records {
			apply(t, s, n, claim(n))
			if n%3 != 0 {
				apply(t, s, n, complete(n, "goes after an hour"))
			}
		}
		gone := false
		seen := listed(t, s, 10, func(seen int) {
			if seen >= 500 && !gone {
				gone = true
				time.Sleep(keep)
				for range records / 16 {
					_, err := s.Lookup(t.Context(), id(0)) // each frees some
					require.NoError(t, err)
				}
			}
		})
		require.True(t, gone)
		for n := 0; n < records; n += 3 {
			require.Equal(t, 1, seen[id(n)], "record %d", n)
		}
		assert.Less(t, len(seen), records/2, "expired records are listed")
	})
}

func TestListEndsHoweverFastRecordsCome(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for n := range 10 {
		apply(t, s, n, claim(n))
	}
	next := 10
	seen := listed(t, s, 1, func(int) {
		for range 5 {
			apply(t, s, next, claim(next))
			next++
		}
	})
	assert.Len(t, seen, 10)
}

// A record that expires and comes again is another one: it may be missed, and
// what stays is not listed twice for it.
func TestRecordThatComesAgainTakesANewPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		apply(t, s, 1, claim(1))
		apply(t, s, 1, complete(1, "goes after an hour"))
		apply(t, s, 2, claim(2))
		time.Sleep(keep)
		apply(t, s, 1, claim(1))
		first := page(t, s, "", 10)
		require.Len(t, first.Records, 2)
		assert.Equal(t, id(2), first.Records[0].ID)
		assert.Equal(t, id(1), first.Records[1].ID)
		assert.Empty(t, first.Next)
	})
}

func TestCursorsOfAnotherMakeAreRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for n := range 3 {
		apply(t, s, n, claim(n))
	}
	given := page(t, s, "", 1).Next
	require.NotEmpty(t, given)
	_, err := s.List(t.Context(), given, 1)
	require.NoError(t, err)
	for _, cursor := range []string{
		"x", "0", "-", "1-", "-1", "0-3", "3-3", "3-2", "01-3", "+1-3", "1-3 ", " 1-3", "1-3-", "1-0x3", "1-4", "2-1000",
		"99999999999999999999999-3", given + given, strings.Repeat("1", 1<<16),
	} {
		_, err := s.List(t.Context(), cursor, 1)
		require.ErrorIs(t, err, store.ErrInvalid, "cursor %.20q", cursor)
	}
	_, err = newStore(t).List(t.Context(), given, 1)
	require.ErrorIs(t, err, store.ErrInvalid, "another store's cursor")
}

// A page is as cheap in a large store as in a small one.
func BenchmarkListPage(b *testing.B) {
	for _, records := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("%d records", records), func(b *testing.B) {
			s := newStore(b, memstore.MaxRecords(records))
			for n := range records {
				apply(b, s, n, claim(n))
			}
			b.ReportAllocs()
			cursor := ""
			for b.Loop() {
				cursor = page(b, s, cursor, 100).Next
			}
		})
	}
}
