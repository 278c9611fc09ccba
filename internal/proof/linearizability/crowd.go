package linearizability

import "math/bits"

// crowd is how many states may stand side by side before those that differ in
// points of time only are joined.
const crowd = 24

// thin drops what occurs twice, joins states where there are many, and drops
// those in which nothing is possible that is not possible in another.
func thin(states []state) []state {
	states = unique(states)
	if len(states) > crowd {
		states = join(states)
	}
	if len(states) > crowd {
		states = undominated(states)
	}
	return states
}

func unique(states []state) []state {
	seen := make(map[state]bool, len(states))
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
	facts    facts
	executed uint64
	answered int
}

// join widens the bounds of states of one kind until one state stands for all.
// It can do whatever they could.
func join(states []state) []state {
	at := make(map[kind]int, len(states))
	joined := states[:0:0]
	for _, s := range states {
		k := kind{s.facts, s.executed, s.answered}
		i, ok := at[k]
		if !ok {
			at[k] = len(joined)
			joined = append(joined, s)
			continue
		}
		j := &joined[i]
		j.now = min(j.now, s.now)
		for p, m := range s.moments {
			j.moments[p] = moment{min(j.moments[p].least, m.least), max(j.moments[p].most, m.most)}
		}
	}
	return joined
}

// undominated keeps the states that no other one stands for.
func undominated(states []state) []state {
	byFacts := make(map[facts][]state, len(states))
	for _, s := range states {
		byFacts[s.facts] = append(byFacts[s.facts], s)
	}
	kept := states[:0:0]
	for _, s := range states {
		if !dominated(s, byFacts[s.facts]) {
			kept = append(kept, s)
		}
	}
	return kept
}

// dominated reports whether one of the others has executed fewer events to get
// as far, within bounds as wide.
func dominated(s state, others []state) bool {
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
