package memstore

import (
	"sort"

	"github.com/reprise-go/reprise/store"
)

// compactFrom is the length below which a roll is not worth compacting.
const compactFrom = 64

// roll lists the entries of a table in the order in which they came. A place on
// it is a number that is never given again, so a reader who comes back with one
// finds what follows, whatever has come and gone meanwhile.
type roll struct {
	lines []line
	gone  int
	next  uint64 // the number of the next entry
}

// line is an entry and its number; the entry is nil when it has gone.
type line struct {
	number uint64
	entry  *entry
}

func (r *roll) add(e *entry) {
	e.number = r.next
	r.lines = append(r.lines, line{number: r.next, entry: e})
	r.next++
}

// remove strikes an entry out. The list is written anew when half of it has
// gone, so a removal costs O(1) on the average, on top of finding the line.
func (r *roll) remove(e *entry) {
	r.lines[r.at(e.number)].entry = nil
	r.gone++
	if r.gone < compactFrom || r.gone < len(r.lines)/2 {
		return
	}
	kept := make([]line, 0, len(r.lines)-r.gone)
	for _, l := range r.lines {
		if l.entry != nil {
			kept = append(kept, l)
		}
	}
	r.lines, r.gone = kept, 0
}

// at returns the index of the first line whose number is at least that.
func (r *roll) at(number uint64) int {
	return sort.Search(len(r.lines), func(i int) bool { return r.lines[i].number >= number })
}

// from returns at most n lines, from a place on.
func (r *roll) from(p place, n int) []line {
	begin := r.at(p.next)
	lines := r.lines[begin:min(begin+n, len(r.lines))]
	for len(lines) > 0 && lines[len(lines)-1].number >= p.end {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// live returns the entry's record, or the absent one when it has gone.
func (l line) live(now store.Instant) store.Record {
	if l.entry == nil {
		return store.Record{}
	}
	return l.entry.record.Live(now)
}
