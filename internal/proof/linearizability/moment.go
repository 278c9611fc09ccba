package linearizability

import (
	"math"

	"github.com/reprise-go/reprise/store"
)

// moment is a point of server time that is known, or known within bounds
// because an unanswered event wrote it.
type moment struct {
	least, most store.Instant
	// after is how long after its event's execution the moment is; it matters
	// while open.
	after store.Instant
	open  bool
}

// never is a bound that excludes nothing.
const never = store.Instant(math.MaxInt64 / 4)

func exactly(t store.Instant) moment { return moment{least: t, most: t} }

func (m moment) empty() bool { return m.least > m.most }

// within keeps what lies between two instants.
func (m moment) within(least, most store.Instant) moment {
	m.least, m.most = max(m.least, least), min(m.most, most)
	return m
}

// before ends the doubt about events executed before an instant.
func (m moment) before(now store.Instant) moment {
	if m.open {
		m.most = min(m.most, now-1+m.after)
	}
	return m
}

// The points of time in a record.
const (
	token = iota
	leaseEnd
	notBefore
	created
	started
	finished
	points
)

type moments [points]moment

// read returns the points of time of a record.
func read(rec *store.Record) [points]store.Instant {
	return [points]store.Instant{
		token:     store.Instant(rec.Token),
		leaseEnd:  rec.LeaseEnd,
		notBefore: rec.NotBefore,
		created:   rec.Created,
		started:   rec.Started,
		finished:  rec.Finished,
	}
}

// write sets them.
func write(rec *store.Record, at [points]store.Instant) {
	rec.Token = store.Token(at[token])
	rec.LeaseEnd, rec.NotBefore = at[leaseEnd], at[notBefore]
	rec.Created, rec.Started, rec.Finished = at[created], at[started], at[finished]
}
