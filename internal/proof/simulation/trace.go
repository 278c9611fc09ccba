package simulation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// entry is one line of a trace. Owners are numbered as they appear, and tokens
// count from the world's beginning, so that the same seed gives the same trace.
type entry struct {
	at            time.Duration
	process, key  int
	what, verdict string
	owner         int
	token         int64
	note          string
}

// trace is what happened in a world, in order.
type trace struct {
	began   time.Time
	entries []entry
}

func (t *trace) add(e entry) {
	e.at = time.Since(t.began)
	t.entries = append(t.entries, e)
}

// sort orders entries of the same nanosecond by what they say: who came first is
// the scheduler's choice.
func (t *trace) sort() {
	slices.SortStableFunc(t.entries, func(a, b entry) int {
		return cmp.Or(
			cmp.Compare(a.at, b.at),
			cmp.Compare(a.process, b.process),
			cmp.Compare(a.owner, b.owner),
			cmp.Compare(a.what, b.what),
		)
	})
}

// hash returns a digest of the trace (FNV-1a).
func (t *trace) hash() uint64 {
	h := uint64(14695981039346656037)
	number := func(n uint64) {
		h = (h ^ n) * 1099511628211
	}
	text := func(s string) {
		for i := range len(s) {
			number(uint64(s[i]))
		}
	}
	for i := range t.entries {
		e := &t.entries[i]
		for _, n := range [...]int64{int64(e.at), int64(e.process), int64(e.key), int64(e.owner), e.token} {
			number(uint64(n))
		}
		text(e.what)
		text(e.verdict)
		text(e.note)
	}
	return h
}

// String returns one line for each entry.
func (t *trace) String() string {
	var b strings.Builder
	for i := range t.entries {
		e := &t.entries[i]
		fmt.Fprintf(&b, "%14v  process %d  key %d  %-22s %-16s", e.at, e.process, e.key, e.what, e.verdict)
		if e.owner != 0 {
			fmt.Fprintf(&b, "  owner %d  token %d", e.owner, e.token)
		}
		if e.note != "" {
			b.WriteString("  " + e.note)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
