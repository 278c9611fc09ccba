package main

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The first console block of the README is what this service answers.
func TestReadmeShowsWhatTheServiceAnswers(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, block, found := strings.Cut(string(readme), "```console\n")
	require.True(t, found)
	block, _, _ = strings.Cut(block, "```")
	shown := regexp.MustCompile(`(?m)^\$ pay (\d+).*$`).FindAllStringSubmatchIndex(block, -1)
	require.Len(t, shown, 3)

	service := launch(t)
	for i, at := range shown {
		end := len(block)
		if i+1 < len(shown) {
			end = shown[i+1][0]
		}
		want := strings.TrimSpace(block[at[1]:end])
		resp := service.send(t, request{
			method: "POST", path: "/v1/payments", tenant: "acme", key: "order-1001",
			body: fmt.Sprintf(`{"amount":%s,"currency":"EUR","source":"tok_visa"}`, block[at[2]:at[3]]),
		})
		assert.Equal(t, masked(want), masked(transcript(resp)))
	}
}

// transcript writes an answer as curl -i shows it, without what differs by day.
func transcript(r response) string {
	lines := []string{fmt.Sprintf("HTTP/1.1 %d %s", r.status, http.StatusText(r.status))}
	var names []string
	for name := range r.header {
		if name != "Date" && name != "Content-Length" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		lines = append(lines, name+": "+r.header.Get(name))
	}
	return strings.Join(lines, "\n") + "\n\n" + strings.TrimSpace(r.body)
}

// masked replaces what is drawn anew for every payment.
func masked(s string) string {
	for pattern, name := range map[string]string{
		`pay_[A-Z2-7]{26}`:        "pay_…",
		`"[0-9a-f]{16}"`:          "etag",
		`\d{4}-\d\d-\d\dT[\d:]+Z`: "time",
	} {
		s = regexp.MustCompile(pattern).ReplaceAllString(s, name)
	}
	return s
}
