package browser_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/paytest"
)

// patience bounds one test with its browser.
const patience = 90 * time.Second

// openBrowser starts a Chromium for this test alone, with a profile of its own,
// and returns the context of its tab. The test's cleanup ends it.
func openBrowser(t *testing.T, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	path := chromium(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it refuses to have one as root
	}
	options = append(options, flags...)
	limited, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	allocator, end := chromedp.NewExecAllocator(limited, options...)
	t.Cleanup(end)
	tab, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(closeTab)
	do(t, tab)
	return tab
}

// chromium finds the browser, or ends the test.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const message = "NOT TESTED: no Chromium on the PATH; install the Debian package chromium (or run make test)"
	if os.Getenv("REPRISE_REQUIRE_SERVERS") == "1" {
		t.Fatal(message + "; REPRISE_REQUIRE_SERVERS=1 makes that a failure")
	}
	t.Skip(message)
	return ""
}

func do(t *testing.T, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	require.NoError(t, chromedp.Do(tab, steps...))
}

// read runs an action that finds something out.
func read[T any](t *testing.T, tab context.Context, action chromedp.Action[T]) T {
	t.Helper()
	value, err := chromedp.Run(tab, action)
	require.NoError(t, err)
	return value
}

// evaluate asks the page, past its policy against scripts.
func evaluate[T any](t *testing.T, tab context.Context, expression string) T {
	t.Helper()
	return read(t, tab, chromedp.Evaluate[T](expression))
}

// visit opens a page and waits for it.
func visit(t *testing.T, tab context.Context, url string) {
	t.Helper()
	do(t, tab, chromedp.Navigate(url), chromedp.WaitReady(chromedp.CSS("body")))
}

// look emulates a screen.
func look(t *testing.T, tab context.Context, width int64, scheme string) {
	t.Helper()
	do(t, tab, chromedp.EmulateViewport(width, 900))
	_, err := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(t, err)
}

// bottom is where an element ends on the page.
func bottom(t *testing.T, tab context.Context, selector string) float64 {
	t.Helper()
	return evaluate[float64](t, tab, fmt.Sprintf("document.querySelector(%q).getBoundingClientRect().bottom", selector))
}

// desk is the reference service with its operator's page.
type desk struct {
	*paytest.Process
	Admin string
}

var adminLine = regexp.MustCompile(`operator's page at (http://\S+/)`)

func openDesk(t *testing.T, args ...string) *desk {
	t.Helper()
	chromium(t) // before anything is built
	args = append([]string{
		"-redis", shared.Server(t).URL(), "-namespace", strings.ToLower(t.Name()), "-admin", "127.0.0.1:0",
	}, args...)
	d := &desk{Process: payments.Start(t, args...)}
	said := adminLine.FindStringSubmatch(d.Log()) // before the READY line
	require.NotNil(t, said, d.Log())
	d.Admin = said[1]
	return d
}

// answer is what a client gets.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// pay makes a payment whose source decides what happens.
func (d *desk) pay(t *testing.T, key, source string) answer {
	t.Helper()
	body := fmt.Sprintf(`{"amount":1999,"currency":"EUR","source":%q}`, source)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer sk_test_acme")
	r.Header.Set("Idempotency-Key", key)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(got)}
}
