package conformance_test

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
)

// TestF77_RecordsTakeNoMoreMemoryThanIsPublished measures what the page about
// operation says of records in Redis, so that capacity can be planned with it.
func TestF77_RecordsTakeNoMoreMemoryThanIsPublished(t *testing.T) {
	t.Parallel()
	published := regexp.MustCompile(`(?m)^\| (running|completed, (?:no body|body of (\d+) (B|KiB))) \| ([\d,]+) \|$`)
	rows := published.FindAllStringSubmatch(docPages(t)["operating.md"], -1)
	require.Len(t, rows, 6)

	srv := redistest.Start(t)
	handler, started, goOn := blocking(t)
	const pattern = "POST /v1/payments/all" // 21 bytes
	s := newService(t, setup{redis: srv.Client(t), namespace: "reprise", pattern: pattern,
		handler: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Size") == "" {
				handler(w, r)
				return
			}
			size, _ := strconv.Atoi(r.Header.Get("X-Size"))
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Location", "/v1/payments/pay_UY5TN5JTTUZRJHBZP7G3HZP6IO")
			w.Header().Set("ETag", `"d3b67ac66fd673ff"`)
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, strings.Repeat("x", size))
		}})
	url := s.Server.URL + strings.TrimPrefix(pattern, "POST ")
	for _, row := range rows {
		key := newKey()
		size, _ := strconv.Atoi(row[2])
		if row[3] == "KiB" {
			size <<= 10
		}
		if row[1] == "running" {
			running := background(t, url, call{key: key})
			<-started
			defer func() { <-running }()
			defer close(goOn)
		} else {
			requireExecuted(t, send(t, url, call{key: key, header: http.Header{"X-Size": {strconv.Itoa(size)}}}))
		}
		want, err := strconv.Atoi(strings.ReplaceAll(row[4], ",", ""))
		require.NoError(t, err)
		name := recordName("reprise", store.NewID("tenant-", pattern, key))
		assert.InEpsilon(t, want, srv.Do("memory", "usage", name), 0.1, row[1])
	}
}
