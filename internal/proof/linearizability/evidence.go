package linearizability

import (
	"cmp"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/reprise-go/reprise/store"
)

// evidence is what the answers of a history say about the times at which
// unanswered events can have been executed. It says nothing that the model would
// not find out by trying; it spares the trying.
type evidence struct {
	// starts are the windows in which an attempt can have started: an answer that
	// tells the token of the latest start tells that none came after it.
	starts []moment
	// running is when an attempt, by its token, was last seen to run.
	running map[store.Instant]store.Instant
	// open is when the record was last seen not to be completed.
	open store.Instant
	// finished is when it was completed, or 0 if nobody saw that.
	finished store.Instant
}

func gather(answered []porcupine.Operation, unanswered []sent) evidence {
	e := evidence{running: make(map[store.Instant]store.Instant)}
	adopted := adoptions(answered, unanswered)
	var quiet []moment // no start after the first instant, up to the second
	for _, op := range answered {
		reply := op.Output.(Output).Reply //nolint:forcetypeassert // by construction
		at := store.Instant(reply.Token)
		switch reply.Verdict {
		case store.Claimed, store.InProgress:
			e.running[at] = max(e.running[at], reply.Now)
			e.open = max(e.open, reply.Now)
			quiet = append(quiet, moment{at, reply.Now})
			continue
		case store.OutcomeUnknown:
			e.open = max(e.open, reply.Now)
		case store.Recorded:
			e.finished = reply.Finished
		default:
			continue
		}
		if since, ok := adopted[at]; !ok || reply.Now < since {
			quiet = append(quiet, moment{at, reply.Now})
		}
	}
	e.starts = between(quiet)
	return e
}

// adoptions returns, by token, since when an ending of that attempt may have
// been executed. It may have been adopted in the place of a later attempt that
// never started, and then its token is not the latest start's.
func adoptions(answered []porcupine.Operation, unanswered []sent) map[store.Instant]store.Instant {
	since := make(map[store.Instant]store.Instant)
	note := func(event store.Event, at store.Instant) {
		if _, settles := event.(store.Settle); settles {
			return
		}
		if token, ok := asksForToken(event); ok {
			if old, seen := since[token]; !seen || at < old {
				since[token] = at
			}
		}
	}
	for _, op := range answered {
		note(op.Input.(Input).Event, op.Output.(Output).Reply.Now) //nolint:forcetypeassert // by construction
	}
	for _, s := range unanswered {
		note(s.Event, s.Floor)
	}
	return since
}

// between returns what is left of all time without the quiet stretches, their
// first instants excepted.
func between(quiet []moment) []moment {
	slices.SortFunc(quiet, func(a, b moment) int { return cmp.Compare(a.least, b.least) })
	var windows []moment
	from := store.Instant(0)
	for _, q := range quiet {
		if from <= q.least {
			windows = append(windows, moment{from, q.least})
		}
		from = max(from, q.most+1)
	}
	return append(windows, moment{from, never})
}

// windows returns when, within c.when, an execution that leads to next can have
// been.
func (e *evidence) windows(c cases, next state) []moment {
	when := c.when
	before := c.state.moments[token]
	if next.state == store.Completed {
		when = when.within(e.open+1, never)
		if e.finished != 0 {
			when = when.within(e.finished, e.finished)
		}
	}
	if c.state.state == store.Running && next.state != store.Running && before.least == before.most {
		when = when.within(e.running[before.least]+1, never)
	}
	if next.state != store.Running || next.owner == c.state.owner {
		return []moment{when}
	}
	var all []moment
	for _, w := range e.starts {
		if w = w.within(when.least, when.most); !w.empty() {
			all = append(all, w)
		}
	}
	return all
}
