package linearizability

import "math/bits"

// crowd is how many states may stand side by side before those that differ in
// points of time only are joined.
const crowd = 24

// alternative is one of the things that a record can be, as far as anybody knows.
type alternative[S any] interface {
	comparable
	// content is what it holds beside its points of time.
	content() any
	times() span
	withTimes(t span) S
}

// thin drops what occurs twice, joins states where there are many, and drops
// those in which nothing is possible that is not possible in another.
func thin[S alternative[S]](states []S) []S {
	states = unique(states)
	if len(states) > crowd {
		states = join(states)
	}
	if len(states) > crowd {
		states = undominated(states)
	}
	return states
}

func unique[S comparable](states []S) []S {
	seen := make(map[S]bool, len(states))
	kept := states[:0:0]
	for _, s := range states {
		if !seen[s] {
			seen[s] = true
			kept = append(kept, s)
		}
	}
	return kept
}

// kind is what joined states have in common.
type kind struct {
	content  any
	executed uint64
	answered int
}

// join widens the bounds of states of one kind until one state stands for all.
// It can do whatever they could.
func join[S alternative[S]](states []S) []S {
	at := make(map[kind]int, len(states))
	joined := states[:0:0]
	for _, s := range states {
		t := s.times()
		k := kind{s.content(), t.executed, t.answered}
		i, ok := at[k]
		if !ok {
			at[k] = len(joined)
			joined = append(joined, s)
			continue
		}
		wide := joined[i].times()
		wide.include(&t)
		joined[i] = joined[i].withTimes(wide)
	}
	return joined
}

func (s *span) include(other *span) {
	s.now = min(s.now, other.now)
	for p, m := range other.moments {
		s.moments[p] = moment{min(s.moments[p].least, m.least), max(s.moments[p].most, m.most)}
	}
}

// undominated keeps the states that no other one stands for.
func undominated[S alternative[S]](states []S) []S {
	alike := make(map[any][]span, len(states))
	for _, s := range states {
		alike[s.content()] = append(alike[s.content()], s.times())
	}
	kept := states[:0:0]
	for _, s := range states {
		if t := s.times(); !t.dominated(alike[s.content()]) {
			kept = append(kept, s)
		}
	}
	return kept
}

// dominated reports whether one of the others has executed fewer events to get
// as far, within bounds as wide.
func (s *span) dominated(others []span) bool {
	for i := range others {
		o := &others[i]
		if bits.OnesCount64(o.executed) < bits.OnesCount64(s.executed) && o.executed&^s.executed == 0 &&
			o.now <= s.now && o.moments.contain(&s.moments) {
			return true
		}
	}
	return false
}

func (m *moments) contain(other *moments) bool {
	for p := range m {
		if other[p].least < m[p].least || other[p].most > m[p].most {
			return false
		}
	}
	return true
}
