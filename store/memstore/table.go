package memstore

import (
	"container/heap"
	"maps"

	"github.com/reprise-go/reprise/store"
)

const (
	// emptyRecord is what a record takes without its names and its answer:
	// the entry, its share of the map, its place in the heap and on the roll.
	emptyRecord = 512
	// sweepAtLeast is how many expired records a call frees. More than one, so
	// that they are freed faster than calls can create others.
	sweepAtLeast = 16
	// shrinkFrom is the size below which a map is not worth rebuilding.
	shrinkFrom = 1 << 10
)

// table is the records by identity, by expiry and by arrival, with what they
// weigh.
type table struct {
	entries map[store.ID]*entry
	queue   queue
	roll    roll
	bytes   int64
	// peak is the most entries that the map has had to hold. Go's maps keep
	// the memory of their largest size, so after a peak it is rebuilt.
	peak int
}

type entry struct {
	id     store.ID
	record store.Record
	place  int    // in the queue
	number uint64 // on the roll
}

func newTable() table { return table{entries: make(map[store.ID]*entry)} }

func (t *table) len() int { return len(t.entries) }

// get returns the record of id, expired or not, or the absent one.
func (t *table) get(id store.ID) store.Record {
	if e := t.entries[id]; e != nil {
		return e.record
	}
	return store.Record{}
}

// put replaces the record of id; the absent one removes it.
func (t *table) put(id store.ID, rec store.Record) {
	e := t.entries[id]
	switch {
	case e == nil && rec.State == store.Absent:
	case e == nil:
		e = &entry{id: id, record: rec}
		t.entries[id] = e
		t.peak = max(t.peak, len(t.entries))
		t.bytes += weight(&rec)
		heap.Push(&t.queue, e)
		t.roll.add(e)
	case rec.State == store.Absent:
		t.remove(e)
	default:
		t.bytes += weight(&rec) - weight(&e.record)
		e.record = rec
		heap.Fix(&t.queue, e.place)
	}
}

// sweep frees a few expired records, and as long as the store is full all that
// there are.
func (t *table) sweep(now store.Instant, full func() bool) {
	for n := 0; len(t.queue) > 0 && (n < sweepAtLeast || full()); n++ {
		first := t.queue[0]
		if now < first.record.Expires {
			return
		}
		t.remove(first)
	}
}

func (t *table) remove(e *entry) {
	heap.Remove(&t.queue, e.place)
	t.roll.remove(e)
	delete(t.entries, e.id)
	t.bytes -= weight(&e.record)
	t.shrink()
}

// shrink gives memory back after a peak. It copies a quarter of what has been
// removed since the last time, so a removal costs O(1) on the average.
func (t *table) shrink() {
	if t.peak < shrinkFrom || len(t.entries) > t.peak/4 {
		return
	}
	t.peak = len(t.entries)
	entries := make(map[store.ID]*entry, len(t.entries))
	maps.Copy(entries, t.entries)
	t.entries = entries
	t.queue = append(make(queue, 0, len(t.queue)), t.queue...)
}

// weight is the memory that a record takes.
func weight(rec *store.Record) int64 {
	names := len(rec.Operation) + len(rec.Fingerprint.Algorithm) + len(rec.Answer.Codec)
	return int64(emptyRecord + names + len(rec.Answer.Meta) + len(rec.Answer.Body))
}

// queue is a heap of entries, the one that expires first in front.
type queue []*entry

// Len implements [heap.Interface].
func (q queue) Len() int { return len(q) }

// Less implements [heap.Interface].
func (q queue) Less(i, j int) bool { return q[i].record.Expires < q[j].record.Expires }

// Swap implements [heap.Interface].
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push implements [heap.Interface].
func (q *queue) Push(x any) {
	e := x.(*entry) //nolint:errcheck // put alone pushes
	e.place = len(*q)
	*q = append(*q, e)
}

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
