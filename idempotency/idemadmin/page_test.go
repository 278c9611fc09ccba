package idemadmin_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemadmin"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

func TestMistakesAreFoundAtConstruction(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	_, err := idemadmin.New(nil)
	require.ErrorContains(t, err, "guard is nil")
	_, err = idemadmin.New(d.guard, nil)
	require.ErrorContains(t, err, "nil option")
	_, err = idemadmin.New(d.guard, idemadmin.Operator(nil))
	require.ErrorContains(t, err, "Operator")

	records, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(blind{records})
	require.NoError(t, err)
	t.Cleanup(func() { _ = guard.Shutdown(t.Context()) })
	_, err = idemadmin.New(guard)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// Every answer, errors included, tells the browser to do nothing but show it.
func TestEveryAnswerIsLockedDown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post("k", "")
	for _, path := range []string{"/", "/records", "/records/" + d.id("k").String(), "/records/nonsense", "/nowhere", "/?state=odd"} {
		for _, accept := range []string{"text/html", "application/json"} {
			r := httptest.NewRequest(http.MethodGet, "/ops"+path, nil)
			r.Header.Set("Accept", accept)
			h := d.serve(r).Header()
			policy := h.Get("Content-Security-Policy")
			assert.Contains(t, policy, "default-src 'none'", path)
			assert.Contains(t, policy, "frame-ancestors 'none'", path)
			assert.Contains(t, policy, "form-action 'self'", path)
			assert.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
			assert.Equal(t, "same-origin", h.Get("Referrer-Policy"), path)
			assert.Equal(t, "no-store", h.Get("Cache-Control"), path)
			assert.Equal(t, "Accept", h.Get("Vary"), path)
		}
	}
}

// The policy lets only this very style in, and the page has nothing else that a
// policy would have to let in.
func TestStyleIsNamedByItsDigestAndThereIsNoScript(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("k", "unknown")
	for _, path := range []string{"/", "/records/" + d.id("k").String(), "/nowhere?", "/?state=odd"} {
		w := d.browse(path)
		page := w.Body.String()
		if path == "/nowhere?" {
			continue // the mux's own words
		}
		style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(page)
		require.Len(t, style, 2, path)
		sum := sha256.Sum256([]byte(style[1]))
		assert.Contains(t, w.Header().Get("Content-Security-Policy"), "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
		assert.NotContains(t, page, "<script")
		assert.NotContains(t, page, "style=")
		assert.NotRegexp(t, ` on[a-z]+=`, page)
		assert.NotRegexp(t, `(href|src|action)="(/|https?:)`, page, "links are relative")
		assert.Contains(t, page, "no authentication of its own")
	}
}

func TestPrefixWithoutSlashLeadsToThePage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.serve(httptest.NewRequest(http.MethodGet, "/ops", nil))
	require.Equal(t, http.StatusSeeOther, w.Code)
	base, _ := url.Parse("/ops")
	to, err := base.Parse(w.Header().Get("Location"))
	require.NoError(t, err)
	assert.Equal(t, "/ops/", to.Path)
}

func TestFieldsHaveLabels(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("k", "unknown")
	for _, path := range []string{"/", "/records/" + d.id("k").String()} {
		page := d.browse(path).Body.String()
		unlabelled := regexp.MustCompile(`(?s)<label.*?</label>`).ReplaceAllString(page, "")
		for _, field := range regexp.MustCompile(`<(input|select|textarea)[^>]*>`).FindAllString(unlabelled, -1) {
			assert.Contains(t, field, `type="hidden"`, path)
		}
		assert.Equal(t, 1, strings.Count(page, "<h1"), path)
	}
}

func TestPostsFromAnotherOriginAreRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("k", "unknown")
	form := url.Values{"decision": {"release"}, "token": {fmt.Sprint(int64(d.token("k")))}, "by": {"b"}, "reason": {"r"}}
	for _, path := range []string{"/find", "/records/" + d.id("k").String() + "/settle"} {
		for name, header := range map[string][2]string{
			"by fetch metadata": {"Sec-Fetch-Site", "cross-site"},
			"same site":         {"Sec-Fetch-Site", "same-site"},
			"by origin":         {"Origin", "https://evil.example"},
		} {
			for _, kind := range []string{"application/x-www-form-urlencoded", "application/json", "text/plain"} {
				r := httptest.NewRequest(http.MethodPost, "/ops"+path, strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", kind)
				r.Header.Set(header[0], header[1])
				w := d.serve(r)
				assert.Equal(t, 403, w.Code, "%s %s %s", path, name, kind)
				assert.Contains(t, w.Body.String(), "cross_origin")
			}
		}
	}
	seen, err := d.guard.Lookup(t.Context(), d.id("k"))
	require.NoError(t, err)
	assert.Equal(t, store.Unknown, seen.State)
}

func TestStoreThatDoesNotAnswerIsNoPanicAndNoFalseEmptyList(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		err  error
		code string
	}{
		{"down", fmt.Errorf("%w: redis://user:hunter2@h refused", store.ErrUnavailable), "store_unavailable"},
		{"unreadable", fmt.Errorf("%w: format 9", store.ErrUnreadable), "record_unreadable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			records, err := memstore.New()
			require.NoError(t, err)
			d := newDeskOn(t, broken{records, test.err}, idemadmin.AllowSettling())
			for _, path := range []string{"/", "/records/" + d.id("k").String()} {
				w := d.browse(path)
				assert.Equal(t, 503, w.Code)
				assert.Contains(t, w.Body.String(), `role="alert"`)
				assert.NotContains(t, w.Body.String(), "hunter2")
				assert.NotContains(t, w.Body.String(), "in effect", "nothing was decided")
			}
			_, asked := d.call("POST", "/find", `{"operation":"x","key":"k"}`)
			assert.NotContains(t, asked["detail"], "in effect")
			w, body := d.call("GET", "/records", "")
			assert.Equal(t, 503, w.Code)
			assert.Equal(t, test.code, body["code"])
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			w, body = d.call("POST", "/records/"+d.id("k").String()+"/settle", `{"decision":"release","token":1,"by":"b","reason":"r"}`)
			assert.Equal(t, 503, w.Code)
			if test.code == "store_unavailable" {
				assert.Contains(t, body["detail"], "may be in effect")
			}
		})
	}
}

// Whoever reads only that the store is away would decide again.
func TestDecisionIsToldAlthoughTheRecordCannotBeShown(t *testing.T) {
	t.Parallel()
	records, err := memstore.New()
	require.NoError(t, err)
	looks := 0
	d := newDeskOn(t, fading{records, &looks}, idemadmin.AllowSettling())
	d.post("k", "unknown")
	decision := fmt.Sprintf(`{"decision":"release","token":%d,"by":"b","reason":"r"}`, d.token("k"))
	looks = 2 // one before the decision, none after it
	w, body := d.call("POST", d.settlePath("k"), decision)
	assert.Equal(t, 503, w.Code)
	assert.Contains(t, body["detail"], "The decision is in effect")
	assert.Equal(t, store.Released, d.state("k"))
}
