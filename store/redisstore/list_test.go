package redisstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// listing is what going through all pages brought.
type listing struct {
	seen       map[store.ID]int
	pages      int
	empty      int // pages
	unreadable int
}

// listAll goes through all pages. between, if not nil, is called after each.
func listAll(t *testing.T, s *redisstore.Store, limit int, between func(page int)) listing {
	t.Helper()
	l := listing{seen: make(map[store.ID]int)}
	for cursor := ""; ; {
		page, err := s.List(t.Context(), cursor, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Records), 2*limit)
		inPage := make(map[store.ID]bool)
		for _, seen := range page.Records {
			require.False(t, inPage[seen.ID], "twice on a page")
			inPage[seen.ID] = true
			require.NotZero(t, seen.Now)
			require.NotEqual(t, store.Absent, seen.Record.State)
			l.seen[seen.ID]++
		}
		l.pages++
		l.unreadable += page.Unreadable
		if len(page.Records) == 0 {
			l.empty++
		}
		if page.Next == "" {
			return l
		}
		require.Less(t, l.pages, 100_000, "it does not end")
		if between != nil {
			between(l.pages)
		}
		cursor = page.Next
	}
}

func (l listing) requires(t *testing.T, ids []store.ID) {
	t.Helper()
	for _, id := range ids {
		require.Positive(t, l.seen[id], "one is missing of %d; %d were seen", len(ids), len(l.seen))
	}
	require.Len(t, l.seen, len(ids))
}

// records writes so many completed records, with bodies of that size, as other
// processes did.
func records(t testing.TB, rdb redis.UniversalClient, namespace string, n, size int) []store.ID {
	t.Helper()
	ids := make([]store.ID, n)
	for from := 0; from < n; from += 1000 {
		pipe := rdb.Pipeline()
		for i := from; i < min(n, from+1000); i++ {
			rec := goldenRecord()
			rec.Answer.Body = make([]byte, size)
			ids[i] = store.NewID(namespace, t.Name(), fmt.Sprint(size, " ", i, " ", time.Now().UnixNano()))
			pipe.Set(t.Context(), recordKey(namespace, ids[i]), redisstore.Encode(ids[i], &rec), time.Hour)
		}
		_, err := pipe.Exec(t.Context())
		require.NoError(t, err)
	}
	return ids
}

// foreign writes keys that look more or less like a record's.
func foreign(t *testing.T, rdb *redis.Client, n int) {
	t.Helper()
	digest := strings.Repeat("ab", 32)
	pipe := rdb.Pipeline()
	for i := range n {
		tail := fmt.Sprintf("%s%d", digest[:60-len(fmt.Sprint(i))], i)
		for _, name := range []string{
			"session:" + tail,
			"reprise:{" + tail + "}",                                    // too short
			"reprise:{" + digest + "}:" + tail,                          // an answer on its way
			"reprise:{" + strings.ToUpper(digest[:4]) + tail + "}",      // capital letters
			"reprise:{" + strings.Repeat("x", 64) + fmt.Sprint(i) + "}", // not hex
			"reprise-other:{" + digest[:4] + tail + "}",                 // another namespace
		} {
			pipe.Set(t.Context(), name, "foreign", time.Hour)
		}
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
}

// 5,000 records among foreign keys, some of them large, some not to be read:
// each is listed, none of its answer is moved, and no command looks at
// all keys at once.
func TestListFindsEveryRecordAmongForeignKeys(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t)
	proxy := faultproxy.Start(t, srv.Addr())
	s := newStore(t, srv.Client(t, func(o *redis.Options) { o.Addr = proxy.Addr() }))
	const namespace = redisstore.DefaultNamespace
	ids := append(records(t, rdb, namespace, 4980, 10), records(t, rdb, namespace, 20, 256<<10)...)
	foreign(t, rdb, 500)
	spoilt := records(t, rdb, namespace, 7, 1)
	for i, id := range spoilt {
		key := recordKey(namespace, id)
		if i < 3 {
			require.NoError(t, rdb.Del(t.Context(), key).Err())
			require.NoError(t, rdb.HSet(t.Context(), key, "a", "b").Err())
			continue
		}
		require.NoError(t, rdb.SetRange(t.Context(), key, 4, "?").Err())
	}
	for _, limit := range []int{7, 100, 1000} {
		before := srv.CommandCounts()
		proxy.ResetCounts()
		l := listAll(t, s, limit, nil)
		l.requires(t, ids)
		assert.Equal(t, len(spoilt), l.unreadable, limit)
		sent := proxy.Requests()
		for command := range sent {
			assert.Contains(t, []string{"scan", "evalsha", "eval"}, command, limit)
		}
		// A call is one SCAN that finds something, as a rule, and one pipeline.
		assert.LessOrEqual(t, len(proxy.Packets()), 2*l.pages+l.pages/10+10, limit)
		for _, heavy := range []string{"keys", "get", "mget", "dump"} {
			assert.NotContains(t, srv.CommandCounts().Since(before), heavy, limit)
		}
	}
}

// One record among many foreign keys is found by a bounded number of keys that
// each call looks at.
func TestListLooksAtABoundedNumberOfKeys(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t)
	foreign(t, rdb, 5000)
	ids := records(t, rdb, redisstore.DefaultNamespace, 1, 1)
	proxy := faultproxy.Start(t, srv.Addr())
	s := newStore(t, srv.Client(t, func(o *redis.Options) { o.Addr = proxy.Addr() }))
	l := listAll(t, s, 1, func(int) {
		require.LessOrEqual(t, proxy.Requests()["scan"], 10)
		proxy.ResetCounts()
	})
	l.requires(t, ids)
	require.Greater(t, l.pages, 10)
	require.Equal(t, l.pages-1, l.empty)
}

func TestListOfAnEmptyServerIsOneEmptyPage(t *testing.T) {
	t.Parallel()
	s, _ := own(t)
	page, err := s.List(t.Context(), "", 10)
	require.NoError(t, err)
	require.Equal(t, store.Page{}, page)
}

// SCAN may return more than it was asked for, in the extreme all that there is:
// nothing gets lost of what does not fit on the page.
func TestListKeepsWhatDoesNotFitOnAPage(t *testing.T) {
	t.Parallel()
	mr := miniredis.RunT(t) // ignores COUNT
	rdb := redis.NewClient(&redis.Options{Addr: mr.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	s := newStore(t, rdb)
	ids := records(t, rdb, redisstore.DefaultNamespace, 50, 1)
	for limit, pages := range map[int]int{1: 25, 3: 9, 24: 2, 25: 1, 1000: 1} {
		l := listAll(t, s, limit, nil)
		l.requires(t, ids)
		require.Equal(t, pages, l.pages, limit)
	}

	// What goes meanwhile is left out, though the cursor names it.
	l := listAll(t, s, 5, func(page int) {
		if page == 1 {
			mr.FlushAll()
		}
	})
	require.Len(t, l.seen, 10)
}

// The server's table may grow or shrink under a listing: what is there all the
// time is listed.
func TestListSurvivesAGrowingAndShrinkingServer(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 20} {
		srv := redistest.Start(t)
		rdb := srv.Client(t)
		s := newStore(t, rdb)
		ids := records(t, rdb, redisstore.DefaultNamespace, 200, 1)
		var more []store.ID
		l := listAll(t, s, limit, func(page int) {
			switch page {
			case 3:
				more = records(t, rdb, redisstore.DefaultNamespace, 5000, 1)
			case 30:
				pipe := rdb.Pipeline()
				for _, id := range more {
					pipe.Del(t.Context(), recordKey(redisstore.DefaultNamespace, id))
				}
				_, err := pipe.Exec(t.Context())
				require.NoError(t, err)
			}
		})
		for _, id := range ids {
			require.Positive(t, l.seen[id], limit)
		}
	}
}

func TestListRefusesWhatItDidNotGive(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("cursors"))
	other := newStore(t, rdb, redisstore.Namespace("cursors-other"))
	records(t, rdb, "cursors", 50, 1)
	records(t, rdb, "cursors-other", 50, 1)
	page, err := s.List(t.Context(), "", 1)
	require.NoError(t, err)
	require.NotEmpty(t, page.Next)
	foreign, err := other.List(t.Context(), "", 1)
	require.NoError(t, err)
	require.NotEmpty(t, foreign.Next)

	tests := map[string]string{
		"text":                "x",
		"dots":                "....",
		"cut short":           page.Next[:len(page.Next)-1],
		"longer":              page.Next + "0",
		"altered":             "1" + page.Next,
		"another namespace's": foreign.Next,
		"a bare number":       "17",
	}
	for name, cursor := range tests {
		_, err := s.List(t.Context(), cursor, 1)
		require.ErrorIs(t, err, store.ErrInvalid, name)
		require.NotErrorIs(t, err, store.ErrUnavailable, name)
	}
	for _, limit := range []int{-1, 0, store.MaxList + 1} {
		_, err := s.List(t.Context(), "", limit)
		require.ErrorIs(t, err, store.ErrInvalid, limit)
	}
	_, err = s.List(t.Context(), page.Next, store.MaxList)
	require.NoError(t, err)
}
