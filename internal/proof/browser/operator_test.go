package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// X4, through the eyes and hands of an operator.
func TestOperatorSettlesAnUnknownPayment(t *testing.T) {
	t.Parallel()
	d := openDesk(t, "-admin-settle")
	require.Equal(t, 504, d.pay(t, "order-1", "tok_ambiguous").Status)
	require.Contains(t, d.pay(t, "order-1", "tok_ambiguous").Body, "outcome_unknown")
	require.Equal(t, 201, d.pay(t, "order-2", "tok_visa").Status)

	tab := openBrowser(t)
	visit(t, tab, d.Admin)
	do(t, tab,
		chromedp.Click(chromedp.Search(`//nav[@aria-label="State"]/a[text()="Unknown"]`)),
		chromedp.WaitVisible(chromedp.CSS(`nav a[aria-current][href*="state=unknown"]`)))
	assert.Equal(t, 1, evaluate[int](t, tab, `document.querySelectorAll("tbody tr").length`), "the one of two")
	assert.Contains(t, read(t, tab, chromedp.Text(chromedp.CSS("tbody tr"))), "unknown")
	do(t, tab,
		chromedp.Click(chromedp.CSS("tbody a")),
		chromedp.WaitVisible(chromedp.CSS("h1 .state.unknown")))

	const complete = `//form[.//button[@value="complete"]]`
	do(t, tab,
		chromedp.SetValue(chromedp.Search(complete+`//input[@name="status"]`), "201"),
		chromedp.SendKeys(chromedp.Search(complete+`//input[@name="location"]`), "/v1/payments/pay_found"),
		chromedp.SendKeys(chromedp.Search(complete+`//textarea`), `{"id":"pay_found"}`),
		chromedp.SendKeys(chromedp.Search(complete+`//input[@name="by"]`), "ada"),
		chromedp.SendKeys(chromedp.Search(complete+`//input[@name="reason"]`), "found at the processor"),
		chromedp.Click(chromedp.Search(complete+`//button`)),
		chromedp.WaitVisible(chromedp.CSS("h1 .state.completed")))
	assert.Contains(t, read(t, tab, chromedp.Text(chromedp.CSS(".notice.good"))), "Completed")

	got := d.pay(t, "order-1", "tok_ambiguous")
	assert.Equal(t, 201, got.Status)
	assert.JSONEq(t, `{"id":"pay_found"}`, got.Body)
	assert.Equal(t, "true", got.Header.Get("Idempotent-Replayed"))
	assert.Equal(t, "/v1/payments/pay_found", got.Header.Get("Location"))
	assert.Equal(t, "application/json", got.Header.Get("Content-Type"))
	assert.Len(t, d.Entries(t), 2, "nothing was charged again")
	assert.Contains(t, d.Log(), "settled by hand")
	assert.Contains(t, d.Log(), "found at the processor")
}

func TestOperatorReleasesAnUnknownPaymentFoundByItsKey(t *testing.T) {
	t.Parallel()
	d := openDesk(t, "-admin-settle", "-orphan", "refuse")
	require.Equal(t, 504, d.pay(t, "order-1", "tok_ambiguous").Status)
	tab := openBrowser(t)
	visit(t, tab, d.Admin)
	do(t, tab,
		chromedp.SendKeys(chromedp.CSS(`form[method=post] input[name=operation]`), "POST /v1/payments"),
		chromedp.SendKeys(chromedp.CSS(`form[method=post] input[name=scope]`), "acme"),
		chromedp.SendKeys(chromedp.CSS(`form[method=post] input[name=key]`), "order-1"),
		chromedp.Click(chromedp.CSS(`form[method=post] button`)),
		chromedp.WaitVisible(chromedp.CSS("h1 .state.unknown")))
	at := read(t, tab, chromedp.Location())
	assert.NotContains(t, at, "order-1")
	assert.NotContains(t, at, "acme")
	text := read(t, tab, chromedp.Text(chromedp.CSS("body")))
	assert.NotContains(t, text, "order-1")
	assert.NotContains(t, text, "acme")

	const release = `//form[.//button[@value="release"]]`
	click := chromedp.Click(chromedp.Search(release + `//button`))
	do(t, tab, click) // without a name: the browser itself refuses to send
	assert.Equal(t, at, read(t, tab, chromedp.Location()))
	do(t, tab,
		chromedp.SendKeys(chromedp.Search(release+`//input[@name="by"]`), "ada"),
		chromedp.SendKeys(chromedp.Search(release+`//input[@name="reason"]`), "the processor has no charge"),
		click,
		chromedp.WaitVisible(chromedp.CSS("h1 .state.released")))
	assert.Equal(t, 504, d.pay(t, "order-1", "tok_ambiguous").Status, "it ran again")
	assert.Len(t, d.Entries(t), 2)
}

// A page elsewhere cannot decide with the hands of an operator who visits it.
func TestCrossOriginPostIsRefused(t *testing.T) {
	t.Parallel()
	d := openDesk(t, "-admin-settle")
	require.Equal(t, 504, d.pay(t, "order-1", "tok_ambiguous").Status)
	tab := openBrowser(t)
	visit(t, tab, d.Admin)
	record, _ := read(t, tab, chromedp.Attributes(chromedp.CSS("tbody a")))["href"]
	visit(t, tab, d.Admin+strings.TrimPrefix(record, "./"))
	token := read(t, tab, chromedp.Attributes(chromedp.CSS(`input[name=token]`)))["value"]
	require.NotEmpty(t, token)

	settle := d.Admin + strings.TrimPrefix(record, "./") + "/settle"
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<form method="post" action="%s"><input name="token" value="%s"><input name="decision" value="release">
			<input name="by" value="eve"><input name="reason" value="fun"><button>A kitten</button></form>`, settle, token)
	}))
	t.Cleanup(evil.Close)
	for name, origin := range map[string]string{
		"another port": evil.URL,
		"another site": strings.Replace(evil.URL, "127.0.0.1", "localhost", 1),
	} {
		visit(t, tab, origin)
		do(t, tab, chromedp.Click(chromedp.CSS("button")), chromedp.WaitVisible(chromedp.CSS(".notice.bad")))
		assert.Contains(t, read(t, tab, chromedp.Text(chromedp.CSS("h1"))), "403", name)
		assert.Contains(t, read(t, tab, chromedp.Text(chromedp.CSS(".notice.bad"))), "another origin", name)
	}
	visit(t, tab, strings.TrimSuffix(settle, "/settle"))
	do(t, tab, chromedp.WaitVisible(chromedp.CSS("h1 .state.unknown")))
	assert.NotContains(t, d.Log(), "settled by hand")
}

// Over plain HTTP and from anywhere but loopback, browsers tell servers less
// about where a form comes from. The address is another name for loopback, to
// this browser.
func TestPageWorksOverPlainHTTPFromAnotherAddress(t *testing.T) {
	t.Parallel()
	d := openDesk(t, "-admin-settle")
	require.Equal(t, 504, d.pay(t, "order-1", "tok_ambiguous").Status)
	const address = "192.0.2.7"
	tab := openBrowser(t, chromedp.Flag("host-resolver-rules", "MAP "+address+" 127.0.0.1"))
	visit(t, tab, strings.Replace(d.Admin, "127.0.0.1", address, 1))
	require.False(t, evaluate[bool](t, tab, `window.isSecureContext`))
	do(t, tab,
		chromedp.SendKeys(chromedp.CSS(`form[method=post] input[name=operation]`), "POST /v1/payments"),
		chromedp.SendKeys(chromedp.CSS(`form[method=post] input[name=scope]`), "acme"),
		chromedp.SendKeys(chromedp.CSS(`form[method=post] input[name=key]`), "order-1"),
		chromedp.Click(chromedp.CSS(`form[method=post] button`)),
		chromedp.WaitVisible(chromedp.CSS("h1 .state, .notice.bad")))
	assert.Equal(t, "unknown", read(t, tab, chromedp.Text(chromedp.CSS("h1 .state"))))
}

// A page elsewhere cannot show this one inside itself, to have its buttons
// clicked unseen.
func TestPageCannotBeFramed(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<iframe src="%s"></iframe>`, map[string]string{"/a": d.Admin, "/b": d.Base + "/healthz"}[r.URL.Path])
	}))
	t.Cleanup(outside.Close)
	tab := openBrowser(t)
	framed := func(path string) string {
		visit(t, tab, outside.URL+path)
		tree, err := chromedp.Call(tab, page.GetFrameTree, cdp.Empty{})
		require.NoError(t, err)
		require.Len(t, tree.FrameTree.ChildFrames, 1)
		return tree.FrameTree.ChildFrames[0].Frame.URL
	}
	assert.Equal(t, d.Base+"/healthz", framed("/b"), "what allows it is shown")
	assert.Contains(t, framed("/a"), "chrome-error:")
}

func TestReadOnlyPageOffersNoDecision(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	require.Equal(t, 504, d.pay(t, "order-1", "tok_ambiguous").Status)
	tab := openBrowser(t)
	visit(t, tab, d.Admin)
	assert.Equal(t, "read-only", read(t, tab, chromedp.Text(chromedp.CSS(".mode"))))
	do(t, tab, chromedp.Click(chromedp.CSS("tbody a")), chromedp.WaitVisible(chromedp.CSS("h1 .state.unknown")))
	assert.Zero(t, evaluate[int](t, tab, `document.forms.length`))
}

// The style is applied, in both schemes, and nothing sticks out of a phone.
func TestPageIsStyledAndFitsAPhone(t *testing.T) {
	t.Parallel()
	d := openDesk(t, "-admin-settle")
	for key, source := range map[string]string{"a": "tok_visa", "b": "tok_ambiguous", "c": "tok_outage", "d": "tok_declined"} {
		d.pay(t, key, source)
	}
	tab := openBrowser(t)
	papers := make(map[string]bool)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{390, 1280} {
			look(t, tab, width, scheme)
			visit(t, tab, d.Admin)
			assertFits(t, tab, width)
			if width > 1000 {
				assert.InDelta(t, bottom(t, tab, "input[name=key]"), bottom(t, tab, "form[method=post] button"), 1, "Find is beside its fields")
			}
			papers[evaluate[string](t, tab, `getComputedStyle(document.body).backgroundColor`)] = true
			for _, state := range []string{"unknown", "completed", "released"} {
				visit(t, tab, d.Admin+"?state="+state)
				assertFits(t, tab, width)
				do(t, tab, chromedp.Click(chromedp.CSS("tbody a")), chromedp.WaitVisible(chromedp.CSS("h1 .state."+state)))
				assertFits(t, tab, width)
			}
			visit(t, tab, d.Admin+"?state=running")
			do(t, tab, chromedp.WaitVisible(chromedp.CSS(".empty")))
			assertFits(t, tab, width)
		}
	}
	assert.Len(t, papers, 2, "one for each scheme: %v", papers)
}
