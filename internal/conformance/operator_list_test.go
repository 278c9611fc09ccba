package conformance_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
)

// Among many records and many more foreign keys, no question makes the server
// stop for long: never KEYS, only SCANs of a bounded size, a bounded number of
// them for one page.
func TestX5_ListIsFilteredAndPagedInSmallSteps(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.Args("--slowlog-max-len", "100000"))
	rdb := srv.Client(t)
	const records, foreign, perPage = 1500, 20_000, 50
	ns := namespaceOf(t)
	want := fillRecords(t, openRedis(t, rdb, ns), records, "")
	pipe := rdb.Pipeline()
	for n := range foreign {
		pipe.Set(t.Context(), fmt.Sprint("session:", n), "x", 0)
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	s := newService(t, setup{redis: rdb, namespace: ns})
	admin := newAdmin(t, s)
	srv.Config("slowlog-log-slower-than", "0") // every command

	scope := store.NewScopeDigest("umbra")
	for _, test := range []struct {
		name  string
		query url.Values
		wants func(listed) bool
	}{
		{"all", url.Values{}, func(listed) bool { return true }},
		{"operation", url.Values{"operation": {"POST /refunds"}}, func(l listed) bool { return l.operation == "POST /refunds" }},
		{"state", url.Values{"state": {"unknown"}}, func(l listed) bool { return l.state == store.Unknown }},
		{"scope", url.Values{"scope": {fmt.Sprintf("%x", scope)}}, func(l listed) bool { return l.scope == "umbra" }},
		{"age", url.Values{"older_than": {"1h"}}, func(listed) bool { return false }},
		{"younger", url.Values{"younger_than": {"1h"}, "state": {"completed"}}, func(l listed) bool { return l.state == store.Completed }},
	} {
		srv.Do("slowlog", "reset")
		before := srv.CommandCounts()
		test.query.Set("limit", fmt.Sprint(perPage))
		ids, pages := allPages(t, admin, test.query)
		did := srv.CommandCounts().Since(before)

		expected := make(map[string]bool)
		for id, l := range want {
			if test.wants(l) {
				expected[id.String()] = true
			}
		}
		assert.Equal(t, expected, ids, test.name)
		assert.Zero(t, did["keys"], test.name)
		assert.LessOrEqual(t, did["scan"], 100*pages, "%s: %d pages", test.name, pages)
		require.Positive(t, did["scan"])
		assertSmallScans(t, rdb, test.name)
	}
}

// Three lots of records, two seconds apart: each bound has some on both sides.
func TestX5_ListIsFilteredByAge(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	rdb := shared.Server(t).Client(t)
	st := openRedis(t, rdb, ns)
	const lot, apart = 40, 2 * time.Second
	var lots []map[store.ID]listed
	var between []time.Time
	for n := range 3 {
		if n > 0 {
			time.Sleep(apart / 2) // the records' own clock is the server's
			between = append(between, time.Now())
			time.Sleep(apart / 2)
		}
		lots = append(lots, fillRecords(t, st, lot, fmt.Sprint("lot ", n)))
	}
	admin := newAdmin(t, newService(t, setup{redis: rdb, namespace: ns}))
	ago := func(n int) []string { return []string{time.Since(between[n]).String()} }
	for _, test := range []struct {
		name  string
		query func() url.Values // made when it is asked
		want  []int
	}{
		{"older than the younger bound", func() url.Values { return url.Values{"older_than": ago(1)} }, []int{0, 1}},
		{"older than the older bound", func() url.Values { return url.Values{"older_than": ago(0)} }, []int{0}},
		{"younger than the younger bound", func() url.Values { return url.Values{"younger_than": ago(1)} }, []int{2}},
		{"younger than the older bound", func() url.Values { return url.Values{"younger_than": ago(0)} }, []int{1, 2}},
		{"between", func() url.Values { return url.Values{"older_than": ago(1), "younger_than": ago(0)} }, []int{1}},
	} {
		query := test.query()
		query.Set("limit", "500")
		ids, _ := allPages(t, admin, query)
		expected := make(map[string]bool)
		for _, n := range test.want {
			for id := range lots[n] {
				expected[id.String()] = true
			}
		}
		assert.Equal(t, expected, ids, test.name)
	}
}

// listed is what a record of the listing is.
type listed struct {
	operation, scope string
	state            store.State
}

// fillRecords makes records of two operations, two scopes and two states.
func fillRecords(t *testing.T, st store.Store, count int, prefix string) map[store.ID]listed {
	t.Helper()
	made := make(map[store.ID]listed)
	for n := range count {
		l := listed{"POST /orders", "acme", store.Completed}
		if n%3 == 0 {
			l.operation = "POST /refunds"
		}
		if n%5 == 0 {
			l.scope = "umbra"
		}
		id := store.NewID(l.scope, l.operation, prefix+fmt.Sprint(n))
		claim := store.Claim{
			Owner: store.NewOwner(), Fingerprint: store.Fingerprint{Algorithm: store.NoFingerprint},
			Scope: store.NewScopeDigest(l.scope), Operation: l.operation, Lease: time.Minute, Retention: time.Hour,
		}
		reply, err := st.Apply(t.Context(), id, claim)
		require.NoError(t, err)
		attempt := store.Attempt{
			Owner: claim.Owner, Token: reply.Token, Number: 1, Started: reply.Started, Lease: claim.Lease,
			Retention: claim.Retention, Fingerprint: claim.Fingerprint, Scope: claim.Scope, Operation: l.operation,
		}
		var end store.Event = store.Complete{Attempt: attempt, Answer: store.Answer{Codec: "test"}}
		if n%50 == 0 {
			end, l.state = store.Fail{Attempt: attempt}, store.Unknown
		}
		_, err = st.Apply(t.Context(), id, end)
		require.NoError(t, err)
		made[id] = l
	}
	return made
}

// allPages goes through a whole listing.
func allPages(t *testing.T, admin string, query url.Values) (ids map[string]bool, pages int) {
	t.Helper()
	ids = make(map[string]bool)
	for {
		var page struct {
			Records    []seenRecord `json:"records"`
			Unreadable int          `json:"unreadable"`
			Next       string       `json:"next"`
		}
		require.Equal(t, 200, operate(t, admin+"/records?"+query.Encode(), nil, &page))
		assert.Zero(t, page.Unreadable)
		assert.LessOrEqual(t, len(page.Records), 500)
		for _, r := range page.Records {
			ids[r.ID] = true
		}
		pages++
		require.Less(t, pages, 1000)
		if page.Next == "" {
			return ids, pages
		}
		query.Set("cursor", page.Next)
	}
}

// assertSmallScans looks at the arguments that the server was sent.
func assertSmallScans(t *testing.T, rdb *redis.Client, name string) {
	t.Helper()
	log, err := rdb.SlowLogGet(t.Context(), -1).Result()
	require.NoError(t, err)
	for _, entry := range log {
		if !strings.EqualFold(entry.Args[0], "scan") {
			continue
		}
		count := 0
		for i, word := range entry.Args {
			if strings.EqualFold(word, "count") {
				_, err := fmt.Sscan(entry.Args[i+1], &count)
				require.NoError(t, err)
			}
		}
		assert.Positive(t, count, name)
		assert.LessOrEqual(t, count, store.MaxList, name)
		assert.Less(t, entry.Duration, 100*time.Millisecond, name)
	}
}
