package idemadmin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// All that the page answers is under its prefix, whatever path is asked for.
func TestNoAnswerLeavesThePrefix(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post("k", "")
	bare := http.StripPrefix("/ops", d.bare) // no mux around it that cleans paths
	for _, test := range []struct {
		path   string
		status int
	}{
		{"/", 200},
		{"/records", 200},
		{"/records/" + d.id("k").String(), 200},
		{"//", 404},
		{"//records", 404},
		{"/records//", 404},
		{"/records//x", 404},
		{"/./records", 404},
		{"/records/../records", 404},
		{"/records/..", 404},
		{"/records/x%2Fy%2Fz", 404},
		{"/records/%2E%2E", 404},
		{"/%2Frecords", 404},
		{"s", 404},
	} {
		t.Run(test.path, func(t *testing.T) {
			t.Parallel()
			for _, accept := range []string{"text/html", "application/json"} {
				r := httptest.NewRequest(http.MethodGet, "/ops"+test.path, nil)
				r.Header.Set("Accept", accept)
				w := httptest.NewRecorder()
				bare.ServeHTTP(w, r)
				assert.Equal(t, test.status, w.Code)
				assert.Empty(t, w.Header().Get("Location"))
				assert.NotEmpty(t, w.Header().Get("Content-Security-Policy"))
			}
		})
	}
}

func TestWayBackIsRightUnderAnyPath(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, path := range []string{"/?state=odd", "/records/x", "/records/x%2Fy%2Fz", "/records/x%2F"} {
		page := d.browse(path).Body.String()
		link := regexp.MustCompile(`class="brand" href="([^"]+)"`).FindStringSubmatch(page)
		require.Len(t, link, 2, path)
		base, err := url.Parse("/ops" + path)
		require.NoError(t, err)
		to, err := base.Parse(link[1])
		require.NoError(t, err)
		assert.Equal(t, "/ops/", to.Path, path)
	}
}
