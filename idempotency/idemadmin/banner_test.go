package idemadmin_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemadmin"
)

const banner = `role="status"`

// A link that somebody made up puts no words on the page.
func TestSuccessIsNotWhatALinkSays(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	for _, key := range []string{"lost", "freed", "answered"} {
		d.post(key, "unknown")
	}
	require.Equal(t, 303, d.submit(d.settlePath("freed"), d.form("freed", "release")).Code)
	require.Equal(t, 303, d.submit(d.settlePath("answered"), d.form("answered", "complete")).Code)
	token := func(key string) string { return fmt.Sprint(int64(d.token(key))) }
	for _, test := range []struct {
		name, key, decision, token string
		shown                      bool
	}{
		{"no record", "never", "complete", "1", false},
		{"no record and no token", "never", "complete", "0", false},
		{"still unknown, released", "lost", "release", token("lost"), false},
		{"still unknown, completed", "lost", "complete", token("lost"), false},
		{"still unknown, purged", "lost", "purge", token("lost"), false},
		{"released, not completed", "freed", "complete", token("freed"), false},
		{"completed, not released", "answered", "release", token("answered"), false},
		{"completed, not purged", "answered", "purge", token("answered"), false},
		{"another attempt's token", "answered", "complete", token("freed"), false},
		{"no token", "answered", "complete", "", false},
		{"no decision", "answered", "forget", token("answered"), false},
		{"released", "freed", "release", token("freed"), true},
		{"completed", "answered", "complete", token("answered"), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			query := url.Values{"settled": {test.decision}, "token": {test.token}}
			w := d.browse("/records/" + d.id(test.key).String() + "?" + query.Encode())
			require.Equal(t, 200, w.Code)
			if test.shown {
				assert.Contains(t, w.Body.String(), banner)
				return
			}
			assert.NotContains(t, w.Body.String(), banner)
		})
	}
}

func TestReadOnlyPageReportsNoDecision(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post("k", "")
	page := d.browse(fmt.Sprintf("/records/%s?settled=complete&token=%d", d.id("k"), d.token("k"))).Body.String()
	assert.Contains(t, page, `class="state completed"`)
	assert.NotContains(t, page, banner)
}

// A page that is opened again does not report an old decision as a new one.
func TestSuccessIsToldOnceAndNotForDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, idemadmin.AllowSettling())
		d.post("k", "unknown")
		w := d.submit(d.settlePath("k"), d.form("k", "complete"))
		assert.Contains(t, d.follow(d.settlePath("k"), w).Body.String(), banner)
		time.Sleep(10 * time.Minute)
		page := d.follow(d.settlePath("k"), w).Body.String()
		assert.Contains(t, page, `class="state completed"`)
		assert.NotContains(t, page, banner)
	})
}

// What is offered is what can be decided.
func TestDecisionsThatAreOffered(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	for key, fate := range map[string]string{"done": "", "lost": "unknown", "again": "release"} {
		d.post(key, fate)
	}
	for _, test := range []struct {
		key    string
		offers []string
	}{
		{"done", []string{"purge"}},
		{"lost", []string{"release", "complete"}},
		{"again", nil},
		{"never", nil},
	} {
		page := d.browse("/records/" + d.id(test.key).String()).Body.String()
		for _, decision := range []string{"release", "complete", "purge"} {
			button := `name="decision" value="` + decision + `"`
			if slices.Contains(test.offers, decision) {
				assert.Contains(t, page, button, test.key)
				continue
			}
			assert.NotContains(t, page, button, test.key)
		}
	}
}
