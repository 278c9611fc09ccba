package linearizability

import "github.com/reprise-go/reprise/store"

// cases is one of the ways in which points of time that are known within bounds
// can compare with each other.
type cases struct {
	state state
	when  moment // of the execution
	// running says that the lease has not lapsed by then, held that a take-over
	// is held back.
	running, held bool
}

// cases returns all ways that matter to an event. In each, the protocol decides
// the same wherever within the bounds the points are.
func (s state) cases(event store.Event, when moment) []cases {
	all := []cases{{state: s, when: when}}
	switch s.state {
	case store.Running:
		all = split(all, leaseEnd, func(c *cases) *bool { return &c.running })
	case store.Unknown:
		all = split(all, notBefore, func(c *cases) *bool { return &c.held })
	}
	if asked, ok := asksForToken(event); ok {
		all = splitToken(all, asked)
	}
	return all
}

// split tells apart whether a point is reached by the time of the execution.
func split(all []cases, point int, ahead func(*cases) *bool) []cases {
	var next []cases
	for _, c := range all {
		m := c.state.moments[point]
		reached, still := c, c
		reached.when = c.when.within(m.least, never)
		reached.state.moments[point] = m.within(0, reached.when.most)
		*ahead(&reached) = false
		still.when = c.when.within(0, m.most-1)
		still.state.moments[point] = m.within(still.when.least+1, never)
		*ahead(&still) = true
		for _, c := range []cases{reached, still} {
			if !c.when.empty() && !c.state.moments[point].empty() {
				next = append(next, c)
			}
		}
	}
	return next
}

// asksForToken returns the token that the decision about an event compares.
func asksForToken(event store.Event) (store.Instant, bool) {
	switch ev := event.(type) {
	case store.Complete:
		return store.Instant(ev.Token), true
	case store.Fail:
		return store.Instant(ev.Token), true
	case store.Settle:
		return store.Instant(ev.Token), true
	}
	return 0, false
}

// splitToken tells apart whether the record's token is smaller, the same, or
// larger.
func splitToken(all []cases, asked store.Instant) []cases {
	var next []cases
	for _, c := range all {
		m := c.state.moments[token]
		for _, part := range []moment{m.within(0, asked-1), m.within(asked, asked), m.within(asked+1, never)} {
			if !part.empty() {
				c.state.moments[token] = part
				next = append(next, c)
			}
		}
	}
	return next
}

// representative returns points of time that stand for all others of this case,
// for an execution at now.
func (c cases) representative(now store.Instant) instants {
	at := c.state.least()
	if c.running {
		at[leaseEnd] = max(at[leaseEnd], now+1)
	}
	if c.held {
		at[notBefore] = max(at[notBefore], now+1)
	}
	return at
}
