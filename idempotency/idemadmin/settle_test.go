package idemadmin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemadmin"
	"github.com/reprise-go/reprise/store"
)

// forms are the posted words of a decision about a key, complete and right.
func (d *desk) form(key, decision string) url.Values {
	return url.Values{
		"decision": {decision}, "token": {fmt.Sprint(int64(d.token(key)))}, "by": {"Ada"}, "reason": {"asked the bank"},
		"status": {"201"}, "content_type": {"text/plain"}, "location": {"/pay/7"}, "body": {"line 1\r\nline 2"},
	}
}

func (d *desk) settlePath(key string) string { return "/records/" + d.id(key).String() + "/settle" }

func (d *desk) state(key string) store.State {
	d.t.Helper()
	seen, err := d.guard.Lookup(d.t.Context(), d.id(key))
	require.NoError(d.t, err)
	return seen.State
}

func TestReadOnlyPageDecidesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post("k", "unknown")
	w := d.submit(d.settlePath("k"), d.form("k", "release"))
	assert.Equal(t, 403, w.Code)
	assert.Contains(t, w.Body.String(), "read-only")
	w, body := d.call("POST", d.settlePath("k"), `{"decision":"release","token":1,"by":"b","reason":"r"}`)
	assert.Equal(t, 403, w.Code)
	assert.Equal(t, "read_only", body["code"])
	assert.Equal(t, store.Unknown, d.state("k"))
}

func TestReleasedByFormRunsAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("k", "unknown")
	assert.Equal(t, "unknown", d.post("k", "unknown").Header().Get("Idempotency-Status"))
	page := d.follow(d.settlePath("k"), d.submit(d.settlePath("k"), d.form("k", "release"))).Body.String()
	assert.Contains(t, page, `role="status"`)
	assert.Contains(t, page, `class="state released"`)
	d.post("k", "unknown")
	assert.Equal(t, 2, d.runs)
}

func TestAnswerSuppliedByFormIsReplayed(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("k", "unknown")
	page := d.follow(d.settlePath("k"), d.submit(d.settlePath("k"), d.form("k", "complete"))).Body.String()
	assert.Contains(t, page, "supplied answer")
	again := d.post("k", "unknown")
	assert.Equal(t, 201, again.Code)
	assert.Equal(t, "line 1\nline 2", again.Body.String(), "browsers write CR LF")
	assert.Equal(t, "text/plain", again.Header().Get("Content-Type"))
	assert.Equal(t, "/pay/7", again.Header().Get("Location"))
	assert.Equal(t, "true", again.Header().Get("Idempotent-Replayed"))
	assert.Equal(t, 1, d.runs)
}

func TestPurgedAnswerIsGone(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("k", "")
	assert.Contains(t, d.browse("/records/"+d.id("k").String()).Body.String(), "Erase the answer")
	page := d.follow(d.settlePath("k"), d.submit(d.settlePath("k"), d.form("k", "purge"))).Body.String()
	assert.Contains(t, page, "Purged")
	assert.NotContains(t, page, "Decide", "nothing is left to decide")
	d.post("k", "")
	assert.Equal(t, 2, d.runs)
}

func TestDecisionsAsJSON(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("k", "unknown")
	w, body := d.call("POST", d.settlePath("k"), fmt.Sprintf(`{"decision":"complete","token":%d,"by":"Ada","reason":"r",
		"answer":{"status":200,"header":{"Content-Type":["application/octet-stream"]},"body_base64":"AAH/"}}`, d.token("k")))
	require.Equal(t, 200, w.Code, body)
	assert.Equal(t, "completed", body["state"])
	assert.Equal(t, "\x00\x01\xff", d.post("k", "unknown").Body.String())
	w, body = d.call("POST", d.settlePath("k"), fmt.Sprintf(`{"decision":"purge","token":%d,"by":"Ada","reason":"r"}`, d.token("k")))
	require.Equal(t, 200, w.Code, body)
	assert.Equal(t, "released", body["state"])
}

// A decision is made on what was seen: another attempt since makes it void.
func TestDecisionOnAnEarlierAttemptIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("k", "unknown")
	stale := d.form("k", "complete")
	stale.Set("attempt", "1")
	stale.Set("state", "running")
	require.Equal(t, 303, d.submit(d.settlePath("k"), d.form("k", "release")).Code)
	d.post("k", "unknown")
	w := d.submit(d.settlePath("k"), stale)
	assert.Equal(t, 409, w.Code)
	page := w.Body.String()
	assert.Contains(t, page, "no longer")
	assert.Contains(t, page, "Since then: attempt 1 → 2, state running → unknown. This is what it is now.")
	assert.Contains(t, page, `name="attempt" value="2"`)
	assert.Contains(t, page, `name="state" value="unknown"`)
	assert.Contains(t, page, `class="state unknown"`, "what it is now")
	assert.Contains(t, page, "asked the bank", "what was typed is not lost")
	assert.Contains(t, page, "line 1\nline 2")
	assert.NotContains(t, page, stale.Get("token"), "but the next decision is about the new attempt")
	assert.Equal(t, store.Unknown, d.state("k"))

	w, body := d.call("POST", d.settlePath("k"), fmt.Sprintf(`{"decision":"release","token":%s,"by":"b","reason":"r"}`, stale.Get("token")))
	assert.Equal(t, 409, w.Code)
	assert.Equal(t, "settle_refused", body["code"])
	assert.Contains(t, body["detail"], "This is what it is now.")
	now := body["record"].(map[string]any)
	assert.Equal(t, "unknown", now["state"])
	assert.InDelta(t, 2, now["attempt"], 0)
	assert.InDelta(t, float64(d.token("k")), now["token"], 0)
}

func TestRunningAttemptIsTakenAwayOnlyWhenSaid(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	started, goOn := make(chan context.Context), make(chan struct{})
	op, err := d.guard.Operation("slow")
	require.NoError(t, err)
	answered := make(chan bool, 1)
	go func() { answered <- d.execute(op, started, goOn) }()
	ctx := <-started
	id := d.guard.ID("slow", "acme", "k")
	path := "/records/" + id.String()
	page := d.browse(path).Body.String()
	assert.Contains(t, page, "still holds its lease")
	assert.Contains(t, page, `name="running"`)
	seen, err := d.guard.Lookup(t.Context(), id)
	require.NoError(t, err)

	form := url.Values{"decision": {"release"}, "token": {fmt.Sprint(int64(seen.Token))}, "by": {"Ada"}, "reason": {"stuck"}}
	assert.Equal(t, 409, d.submit(path+"/settle", form).Code)
	form.Set("running", "1")
	assert.Equal(t, 303, d.submit(path+"/settle", form).Code)
	assert.NoError(t, ctx.Err(), "it hears of it with the next renewal")
	close(goOn)
	assert.False(t, <-answered, "its answer is not recorded")
}

func TestDecisionsNeedANameAndAReason(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("k", "unknown")
	for _, test := range []struct{ field, value, says string }{
		{"by", "", "Who decides"},
		{"by", "  ", "Who decides"},
		{"by", strings.Repeat("x", 201), "Who decides"},
		{"reason", "", "Why?"},
		{"reason", strings.Repeat("x", 1001), "Why?"},
		{"token", "", "token"},
		{"token", "abc", "token"},
		{"decision", "", "The decision is"},
		{"decision", "forget", "The decision is"},
		{"status", "", "status 0"},
		{"status", "100", "status 100"},
		{"location", "/a\nSet-Cookie: b", "Location"},
	} {
		form := d.form("k", "complete")
		form.Set(test.field, test.value)
		w := d.submit(d.settlePath("k"), form)
		assert.Equal(t, 400, w.Code, test)
		assert.Contains(t, w.Body.String(), test.says, test)
	}
	for body, says := range map[string]string{
		`{"decision":"complete","token":1,"by":"b","reason":"r"}`:                                                         "missing",
		`{"decision":"release","token":1,"by":"b","reason":"r","answer":{"status":200}}`:                                  "Only a completion",
		`{"decision":"complete","token":1,"by":"b","reason":"r","answer":{"status":200,"body":"a","body_base64":"YQ=="}}`: "both",
		`{"decision":"complete","token":1,"by":"b","reason":"r","answer":{"status":200,"body_base64":"?"}}`:               "base64",
		`{"decision":"complete","token":1,"by":"b","reason":"r","answer":{"status":200,"header":{"Set-Cookie":["a=b"]}}}`: "Set-Cookie",
		`{"decision":"release","token":"1","by":"b","reason":"r"}`:                                                        "token",
	} {
		w, got := d.call("POST", d.settlePath("k"), body)
		assert.Equal(t, 400, w.Code, body)
		assert.Contains(t, got["detail"], says, body)
	}
	assert.Equal(t, store.Unknown, d.state("k"))
}

func TestOperatorsNameComesFromTheRequest(t *testing.T) {
	t.Parallel()
	user := func(r *http.Request) string { return r.Header.Get("X-User") }
	d := newDesk(t, idemadmin.AllowSettling(), idemadmin.Operator(user))
	d.post("k", "unknown")
	page := d.browse("/records/" + d.id("k").String()).Body.String()
	assert.NotContains(t, page, `name="by"`)
	form := d.form("k", "release") // by: Ada
	assert.Equal(t, 403, d.submit(d.settlePath("k"), form).Code, "nobody is signed in")
	assert.Equal(t, store.Unknown, d.state("k"))

	r := httptest.NewRequest("POST", "/ops"+d.settlePath("k"), strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-User", "Grace")
	assert.Equal(t, 303, d.serve(r).Code)
	settled := d.settledBy()
	require.Len(t, settled, 1)
	assert.Equal(t, "Grace", settled[0].By)
	assert.Equal(t, "asked the bank", settled[0].Reason)
}

// Who is signed in decides: the name is on every page, and a program that says
// another one is mistaken.
func TestSignedInOperatorIsNamedAndNotContradicted(t *testing.T) {
	t.Parallel()
	user := func(r *http.Request) string { return r.Header.Get("X-User") }
	d := newDesk(t, idemadmin.AllowSettling(), idemadmin.Operator(user))
	d.post("k", "unknown")
	ask := func(method, path, name, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/ops"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-User", name)
		if method == http.MethodGet {
			r.Header.Set("Accept", "text/html")
		}
		return d.serve(r)
	}
	for _, path := range []string{"/", "/records/" + d.id("k").String(), "/?state=odd"} {
		page := ask("GET", path, "Grace", "").Body.String()
		assert.Contains(t, page, "signed in as <strong>Grace</strong>")
		assert.NotContains(t, page, "no authentication of its own")
		assert.Contains(t, ask("GET", path, "", "").Body.String(), "nobody is signed in")
	}
	decision := func(by string) string {
		return fmt.Sprintf(`{"decision":"release","token":%d,"reason":"r"%s}`, d.token("k"), by)
	}
	w := ask("POST", d.settlePath("k"), "Grace", decision(`,"by":"Ada"`))
	assert.Equal(t, 400, w.Code)
	assert.Contains(t, w.Body.String(), "by is not who is signed in")
	assert.Equal(t, store.Unknown, d.state("k"))
	assert.Equal(t, 200, ask("POST", d.settlePath("k"), "Grace", decision(`,"by":"Grace"`)).Code)
	require.Len(t, d.settledBy(), 1)
	assert.Equal(t, "Grace", d.settledBy()[0].By)
}

// What the operator cannot change must not keep the operator from deciding.
func TestOperatorsNameIsCutAndNotRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, user, by string
		status         int
	}{
		{"longest", strings.Repeat("x", 200), strings.Repeat("x", 200), 303},
		{"longer", strings.Repeat("x", 201), strings.Repeat("x", 200), 303},
		{"not half a character", strings.Repeat("x", 199) + "üü", strings.Repeat("x", 199), 303},
		{"not a space at the end", strings.Repeat("x", 199) + " y", strings.Repeat("x", 199), 303},
		{"spaces around", "  Grace\t", "Grace", 303},
		{"no UTF-8", "Gra\xffce", "Grace", 303},
		{"spaces alone are nobody", "   ", "", 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			user := func(*http.Request) string { return test.user }
			d := newDesk(t, idemadmin.AllowSettling(), idemadmin.Operator(user))
			d.post("k", "unknown")
			assert.Equal(t, test.status, d.submit(d.settlePath("k"), d.form("k", "release")).Code)
			if test.by == "" {
				assert.Empty(t, d.settledBy())
				return
			}
			require.Len(t, d.settledBy(), 1)
			assert.Equal(t, test.by, d.settledBy()[0].By)
		})
	}
}

func TestPostsOfAnotherKindOrSizeAreRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("k", "unknown")
	for _, path := range []string{"/find", d.settlePath("k")} {
		r := httptest.NewRequest("POST", "/ops"+path, strings.NewReader(d.form("k", "release").Encode()))
		r.Header.Set("Content-Type", "text/plain")
		assert.Equal(t, 415, d.serve(r).Code)
		for kind, body := range map[string]string{
			"application/json":                  `{"by":"` + strings.Repeat("x", 2<<20) + `"}`,
			"application/x-www-form-urlencoded": "by=" + strings.Repeat("x", 2<<20),
		} {
			r := httptest.NewRequest("POST", "/ops"+path, strings.NewReader(body))
			r.Header.Set("Content-Type", kind)
			assert.Equal(t, 413, d.serve(r).Code, "%s %s", path, kind)
		}
		assert.Equal(t, 405, d.browse(path).Code)
	}
	assert.Equal(t, store.Unknown, d.state("k"))
}
