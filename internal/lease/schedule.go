package lease

import (
	"container/heap"
	"math"
	"time"
)

// never is later than every event.
const never time.Duration = math.MaxInt64

// node is a lease's place in one schedule.
type node[T any] struct {
	lease *Lease[T]
	at    time.Duration
	place int32 // index in the schedule plus one; 0 when not in it
}

// schedule is a heap of events, the earliest first. Setting and dropping take
// O(log n).
type schedule[T any] []*node[T]

// next returns the time of the earliest event, or never.
func (s *schedule[T]) next() time.Duration {
	if len(*s) == 0 {
		return never
	}
	return (*s)[0].at
}

// set puts the node into the schedule or moves it.
func (s *schedule[T]) set(n *node[T], at time.Duration) {
	n.at = at
	if n.place == 0 {
		heap.Push(s, n)
		return
	}
	heap.Fix(s, int(n.place-1))
}

// drop takes the node out, if it is in.
func (s *schedule[T]) drop(n *node[T]) {
	if n.place != 0 {
		heap.Remove(s, int(n.place-1))
	}
}

// Len implements [heap.Interface].
func (s *schedule[T]) Len() int { return len(*s) }

// Less implements [heap.Interface].
func (s *schedule[T]) Less(i, j int) bool { return (*s)[i].at < (*s)[j].at }

// Swap implements [heap.Interface].
func (s *schedule[T]) Swap(i, j int) {
	q := *s
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = int32(i+1), int32(j+1)
}

// Push implements [heap.Interface].
func (s *schedule[T]) Push(x any) {
	n, _ := x.(*node[T])
	*s = append(*s, n)
	n.place = int32(len(*s))
}

// Pop implements [heap.Interface].
func (s *schedule[T]) Pop() any {
	q := *s
	last := len(q) - 1
	n := q[last]
	q[last] = nil
	*s = q[:last]
	n.place = 0
	return n
}
