package idemadmin_test

import (
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestEmptyListSaysSo(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.browse("/")
	assert.Equal(t, 200, w.Code)
	assert.Contains(t, w.Body.String(), "No records yet")
	assert.Contains(t, w.Body.String(), "read-only")
	assert.Contains(t, d.browse("/?state=unknown").Body.String(), "No record matches")
	_, body := d.call("GET", "/records", "")
	assert.Equal(t, []any{}, body["records"])
	assert.Empty(t, body["next"])
}

func TestListShowsPoliciesThatWereChangedAtRunTime(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	assert.NotContains(t, d.browse("/").Body.String(), "changed at run time")
	require.NoError(t, d.guard.Override(operation, idempotency.Policy{Wait: time.Second}))
	page := d.browse("/").Body.String()
	assert.Contains(t, page, "<strong>"+operation+"</strong> was changed at run time, in this process: <code>wait=1s</code>")
}

func TestListShowsWhatNeedsAttentionFirst(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for key, fate := range map[string]string{"done": "", "lost": "unknown", "again": "release"} {
		d.post(key, fate)
	}
	page := d.browse("/").Body.String()
	_, page, _ = strings.Cut(page, "<tbody>")
	var at []int
	for _, key := range []string{"lost", "again", "done"} {
		at = append(at, strings.Index(page, "records/"+d.id(key).String()))
	}
	assert.IsIncreasing(t, at)
	assert.Positive(t, at[0])
	assert.Contains(t, page, `class="state unknown"`)
	assert.Contains(t, page, operation)
}

func TestFilters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.post("old", "")
		time.Sleep(time.Hour)
		d.post("young", "")
		d.post("lost", "unknown")
		scope := store.NewScopeDigest("acme")
		for _, test := range []struct {
			name, query string
			want        []string
		}{
			{"all", "", []string{"old", "young", "lost"}},
			{"state", "state=unknown", []string{"lost"}},
			{"another state", "state=running", nil},
			{"operation", "operation=" + url.QueryEscape(operation), []string{"old", "young", "lost"}},
			{"other operation", "operation=other", nil},
			{"older", "older_than=10m", []string{"old"}},
			{"younger", "younger_than=10m", []string{"young", "lost"}},
			{"between", "older_than=10m&younger_than=20m", nil},
			{"scope digest", fmt.Sprintf("scope=%X", scope[:3]), []string{"old", "young", "lost"}},
			{"another scope", "scope=0123456789abcdef", nil},
			{"digits from a log", "id=" + d.id("young").Short(), []string{"young"}},
			{"two at once", "state=completed&older_than=1m", []string{"old"}},
		} {
			_, body := d.call("GET", "/records?"+test.query, "")
			var ids, want []string
			for _, r := range body["records"].([]any) {
				ids = append(ids, r.(map[string]any)["id"].(string))
			}
			for _, key := range test.want {
				want = append(want, d.id(key).String())
			}
			assert.ElementsMatch(t, want, ids, test.name)
		}
	})
}

func TestBadFiltersAreNamed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for query, says := range map[string]string{
		"state=odd": "state", "older_than=soon": "older_than", "younger_than=-1s": "younger_than",
		"limit=0": "limit", "limit=501": "limit", "limit=x": "limit", "scope=xyz": "scope", "id=zz": "id",
		"cursor=nonsense": "The cursor is not one of this store: begin again.",
		"status=unknown":  `no filter "status"`, "Limit=5": `"Limit"`, "id=" + strings.Repeat("a", 65): "id",
	} {
		w, body := d.call("GET", "/records?"+query, "")
		assert.Equal(t, 400, w.Code, query)
		assert.Contains(t, body["detail"], says, query)
		w = d.browse("/?" + query)
		assert.Equal(t, 400, w.Code, query)
		assert.Contains(t, html.UnescapeString(w.Body.String()), says, query)
	}
}

func TestPagesLeadThroughTheWholeList(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	want := make(map[string]bool)
	for n := range 60 {
		key := fmt.Sprint("key-", n)
		d.post(key, "")
		want[d.id(key).String()] = true
	}
	seen := make(map[string]bool)
	query := "limit=7&state=completed"
	for pages := 0; ; pages++ {
		require.Less(t, pages, 60)
		_, body := d.call("GET", "/records?"+query, "")
		for _, r := range body["records"].([]any) {
			seen[r.(map[string]any)["id"].(string)] = true
		}
		next := body["next"].(string)
		if next == "" {
			break
		}
		query = "limit=7&state=completed&cursor=" + url.QueryEscape(next)
	}
	assert.Equal(t, want, seen)

	const order = "This page lists unknown ones first; others may follow."
	assert.Contains(t, d.browse("/?limit=7").Body.String(), order)
	assert.NotContains(t, d.browse("/?limit=100").Body.String(), order, "it is the only page")
	page := d.browse("/?limit=7&state=completed").Body.String()
	assert.NotContains(t, page, order)
	assert.Regexp(t, `href="\?cursor=[^"]+&amp;limit=7&amp;state=completed" rel="next"`, page)
}
