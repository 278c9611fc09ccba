package storetest

import "github.com/reprise-go/reprise/store"

// situation brings a fresh record into a state and returns the owner that the
// record names.
type situation struct {
	name   string
	create func(c *check) *caller
}

// each does the same on a fresh record in every situation.
func (c *check) each(all []situation, do func(owner *caller)) {
	for _, s := range all {
		c.fresh("on a record that is " + s.name)
		do(s.create(c))
	}
	c.about = ""
}

// unknowns are the two ways of not knowing an outcome.
func unknowns() []situation {
	return []situation{{"unknown by fail", failed}, {"running and lapsed", lapsed}}
}

// finished are the records that say that an attempt is over.
func finished() []situation {
	return []situation{{"completed", completed}, {"unknown by fail", failed}, {"released", released}}
}

// existing are all the records that there can be.
func existing() []situation {
	return append([]situation{
		{"running", running},
		{"running and lapsed", lapsed},
		{"a tombstone", tombstoned},
	}, finished()...)
}

func running(c *check) *caller {
	owner := c.caller("owner")
	owner.claims(store.Claimed)
	return owner
}

func lapsed(c *check) *caller {
	owner := c.caller("owner")
	owner.lease = short
	owner.claims(store.Claimed)
	c.lapse()
	return owner
}

func failed(c *check) *caller {
	owner := running(c)
	owner.fails(store.Done)
	return owner
}

func completed(c *check) *caller {
	owner := running(c)
	owner.completes(store.Done, "first")
	return owner
}

func released(c *check) *caller {
	owner := running(c)
	owner.releases(store.Done)
	return owner
}

func tombstoned(c *check) *caller {
	owner := c.caller("owner")
	owner.releases(store.Done)
	return owner
}

// now asks the store for its time, by way of another record.
func (c *check) now() store.Instant {
	here := c.id
	c.id = newID()
	reply := c.caller("clock").claims(store.Claimed)
	c.id = here
	return reply.Now
}

// unclaimed returns a caller that won a claim in the past, of which the store
// knows nothing: the record was lost.
func (c *check) unclaimed(name string) *caller {
	a := c.caller(name)
	now := c.now()
	a.started = now - store.Instant(long.Microseconds())
	a.token = store.Token(a.started)
	a.number = 3
	a.confirmed = now
	return a
}
