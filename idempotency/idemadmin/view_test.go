package idemadmin

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestRelativeTimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 19, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		0:                                     "just now",
		999 * time.Millisecond:                "just now",
		-999 * time.Millisecond:               "just now",
		time.Second:                           "1 s ago",
		59*time.Second + 999*time.Millisecond: "59 s ago",
		time.Minute:                           "1 min ago",
		90 * time.Second:                      "1 min 30 s ago",
		-10*time.Minute - 5*time.Second:       "in 10 min",
		3*time.Hour + 5*time.Minute:           "3 h 5 min ago",
		-47 * time.Hour:                       "in 1 d 23 h",
		20 * 24 * time.Hour:                   "20 d ago",
	} {
		assert.Equal(t, want, momentOf(now.Add(-ago), now).Relative(), ago.String())
	}
	assert.Nil(t, momentOf(time.Time{}, now))
	assert.Equal(t, "2026-11-22 19:00:00 UTC", momentOf(now, now).Clock())
}

func TestExactDurations(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0:                          "0 s",
		250 * time.Millisecond:     "250 ms",
		1500 * time.Millisecond:    "1 s 500 ms",
		90 * time.Second:           "1 min 30 s",
		24 * time.Hour:             "1 d",
		25*time.Hour + time.Second: "1 d 1 h 1 s",
	} {
		assert.Equal(t, want, exact(d), d.String())
	}
}

func TestOnlyTextIsShownAsText(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		"": true, "plain\r\n\ttext": true, "{\"a\":\"ü\"}": true,
		"\x00": false, "\xff\xfe": false, "\x1b[31m": false,
	} {
		assert.Equal(t, want, readable([]byte(body)), "%q", body)
	}
	long := shownBody{Body: strings.Repeat("x", mostShown-1) + "ü!"}
	assert.True(t, long.Cut())
	assert.Len(t, long.Text(), mostShown-1, "not half a character")
}
