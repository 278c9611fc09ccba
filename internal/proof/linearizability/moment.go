package linearizability

import (
	"fmt"
	"math"
	"strconv"

	"github.com/reprise-go/reprise/store"
)

// moment is a point of server time that is known, or known within bounds
// because an unanswered event wrote it.
type moment struct{ least, most store.Instant }

// never is a bound that excludes nothing.
const never = store.Instant(math.MaxInt64 / 4)

func exactly(t store.Instant) moment { return moment{t, t} }

func (m moment) empty() bool { return m.least > m.most }

// within keeps what lies between two instants.
func (m moment) within(least, most store.Instant) moment {
	return moment{max(m.least, least), min(m.most, most)}
}

// observe notes that a point of time has been seen. False if it cannot be this.
func (m *moment) observe(at store.Instant) bool {
	if m.within(at, at).empty() {
		return false
	}
	*m = exactly(at)
	return true
}

// plus returns the moment a length of time later.
func (m moment) plus(d store.Instant) moment { return moment{m.least + d, m.most + d} }

// atLeast returns the later of two moments.
func (m moment) atLeast(other moment) moment {
	return moment{max(m.least, other.least), max(m.most, other.most)}
}

// String gives the instant, or its bounds.
func (m moment) String() string {
	if m.least == m.most {
		return strconv.FormatInt(int64(m.least), 10)
	}
	return fmt.Sprintf("%d…%d", int64(m.least), int64(m.most))
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

// instants are all points of time of one record.
type instants [points]store.Instant

func instantsOf(rec *store.Record) instants {
	return instants{
		token:     store.Instant(rec.Token),
		leaseEnd:  rec.LeaseEnd,
		notBefore: rec.NotBefore,
		created:   rec.Created,
		started:   rec.Started,
		finished:  rec.Finished,
	}
}

func (at *instants) write(rec *store.Record) {
	rec.Token = store.Token(at[token])
	rec.LeaseEnd, rec.NotBefore = at[leaseEnd], at[notBefore]
	rec.Created, rec.Started, rec.Finished = at[created], at[started], at[finished]
}
