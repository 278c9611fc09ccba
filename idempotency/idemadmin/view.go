package idemadmin

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// recordView is one record as JSON has it, and as the templates show it.
type recordView struct {
	ID        string     `json:"id"`
	State     string     `json:"state"`
	Operation string     `json:"operation,omitempty"`
	Scope     string     `json:"scope,omitempty"` // a digest
	Token     int64      `json:"token,omitempty"`
	Attempt   int        `json:"attempt,omitempty"`
	Marked    bool       `json:"marked"`
	Waiters   bool       `json:"waiters"`
	FirstSeen *moment    `json:"first_seen,omitempty"`
	Started   *moment    `json:"started,omitempty"`
	Finished  *moment    `json:"finished,omitempty"`
	LeaseEnd  *moment    `json:"lease_end,omitempty"`
	Expires   *moment    `json:"expires,omitempty"`
	Now       *moment    `json:"now,omitempty"`
	Lease     string     `json:"lease,omitempty"`
	Codec     string     `json:"codec,omitempty"`
	Omitted   string     `json:"omitted,omitempty"`
	Note      string     `json:"note,omitempty"`
	Answer    *shownBody `json:"answer,omitempty"`

	lease time.Duration
}

func viewOf(s idempotency.Status) recordView {
	v := recordView{ID: s.ID.String(), State: s.State.String()}
	if s.State == store.Absent {
		return v
	}
	at := func(t time.Time) *moment { return momentOf(t, s.Now) }
	v.Operation, v.Scope = s.Operation, hex.EncodeToString(s.Scope[:])
	v.Token, v.Attempt, v.Marked, v.Waiters = int64(s.Token), s.Attempt, s.Marked, s.Waiters
	v.FirstSeen, v.Started, v.Finished, v.Expires, v.Now = at(s.Created), at(s.Started), at(s.Finished), at(s.Expires), at(s.Now)
	v.Lease, v.lease = s.Lease.String(), s.Lease
	if s.State == store.Running || s.State == store.Unknown && s.Finished.IsZero() {
		v.LeaseEnd = at(s.LeaseEnd)
	}
	if s.State == store.Completed {
		v.Codec = s.Codec
	}
	if s.Omitted != store.BodyKept {
		v.Omitted = s.Omitted.String()
	}
	return v
}

// Short is enough to tell records apart, and what logs have.
func (v recordView) Short() string { return v.ID[:8] }

// ShortScope tells scopes apart on one page.
func (v recordView) ShortScope() string { return v.Scope[:min(8, len(v.Scope))] }

// Lapsed says that the attempt is of unknown outcome because its lease ended.
func (v recordView) Lapsed() bool { return v.State == "unknown" && v.Finished == nil }

// LeaseLength is for people.
func (v recordView) LeaseLength() string { return exact(v.lease) }

func (v recordView) started() time.Time {
	if v.Started == nil {
		return time.Time{}
	}
	return v.Started.at
}

// moment is a time of the store's clock, seen from another one.
type moment struct{ at, now time.Time }

// momentOf leaves out what has not happened.
func momentOf(t, now time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	return &moment{t.UTC(), now.UTC()}
}

func (m moment) age() time.Duration { return m.now.Sub(m.at) }

// MarshalJSON writes the time alone.
func (m moment) MarshalJSON() ([]byte, error) { return m.at.MarshalJSON() }

// Machine is for the datetime attribute.
func (m moment) Machine() string { return m.at.Format(time.RFC3339Nano) }

// Clock is the absolute time.
func (m moment) Clock() string { return m.at.Format("2006-01-02 15:04:05 UTC") }

// Relative is how long ago it was, or in what time it will be.
func (m moment) Relative() string {
	d := m.age()
	switch {
	case d <= -time.Second:
		return "in " + span(-d)
	case d < time.Second:
		return "just now"
	}
	return span(d) + " ago"
}

// exact writes a duration to the millisecond, in the units of [span].
func exact(d time.Duration) string {
	var parts []string
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if n := d / unit.size; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, unit.name))
			d %= unit.size
		}
	}
	if parts == nil {
		return "0 s"
	}
	return strings.Join(parts, " ")
}

// span writes a duration of a second or more in at most two units.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return twoUnits(d, time.Minute, "min", time.Second, "s")
	case d < day:
		return twoUnits(d, time.Hour, "h", time.Minute, "min")
	}
	return twoUnits(d, day, "d", time.Hour, "h")
}

func twoUnits(d, large time.Duration, largeName string, small time.Duration, smallName string) string {
	whole := fmt.Sprintf("%d %s", d/large, largeName)
	if rest := d % large / small; rest > 0 && d < 10*large {
		return fmt.Sprintf("%s %d %s", whole, rest, smallName)
	}
	return whole
}

// visible writes characters that are not seen, or that change the order in which
// others are, as escapes: what a client or a handler has written must not look
// like something else. Lines and tabs stay.
func visible(text string) string {
	var out strings.Builder
	for _, c := range text {
		switch {
		case c == '\n' || c == '\r' || c == '\t' || !unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			out.WriteRune(c)
		default:
			fmt.Fprintf(&out, `\u{%04X}`, c)
		}
	}
	return out.String()
}
