package storetest

import (
	"context"
	"errors"

	"github.com/reprise-go/reprise/store"
)

func inspectRules() []rule {
	return []rule{
		{
			name:  "inspect/every field",
			rule:  "inspecting gives the record's ID and every field as a lookup does, all but the answer, whatever its state, and changes nothing",
			why:   "operators settle by what they see",
			needs: inspects,
			check: inspectEveryField,
		},
		{
			name:  "inspect/leaves the answer out",
			rule:  "of an answer, small, large or without a body, only the codec and the reason of an omission are given",
			why:   "whoever looks after records is not thereby entitled to read what customers were answered; and large answers would not be cheap",
			needs: inspects,
			check: inspectAnswer,
		},
		{
			name:  "inspect/absent",
			rule:  "a record that is not there, or has expired, is the zero record at the store's time and no error, and none is created",
			why:   "status pages ask for keys that nobody used",
			needs: inspects,
			check: inspectAbsent,
		},
		{
			name:  "inspect/time",
			rule:  "a sighting's time is the store's at the moment of the call",
			why:   "the reader's clock is another, and by it a living attempt may look like an orphan",
			needs: inspects,
			check: inspectTime,
		},
		{
			name:  "inspect/lapsed",
			rule:  "a record whose lease lapsed is given as it is stored, running, and its sighting reads as unknown; one that holds its lease reads as running",
			why:   "the orphan is what an operator is looking for",
			needs: inspects,
			check: inspectLapsed,
		},
		{
			name:  "inspect/ended context",
			rule:  "with a context that has ended Inspect and List return an error that wraps ErrUnavailable",
			why:   "callers bound their waiting by it",
			needs: inspects,
			check: inspectEnded,
		},
	}
}

func (c *check) inspector() store.Inspector {
	return c.h.Store.(store.Inspector) //nolint:errcheck // a capability of the case
}

// sighting inspects the record.
func (c *check) sighting() store.Sighting {
	seen, err := c.inspector().Inspect(c.ctx, c.id)
	if err != nil {
		c.fatalf("inspect: %v", err)
	}
	c.note("inspect -> %s", seen.Record.State)
	c.is("ID of the sighting", seen.ID, c.id)
	return seen
}

// discreet returns what may be seen of a record.
func discreet(rec store.Record) store.Record {
	rec.Answer = store.Answer{Codec: rec.Answer.Codec, Omitted: rec.Answer.Omitted}
	return rec
}

func inspectEveryField(c *check) {
	for name, events := range lives(c) {
		c.fresh("a record that is " + name)
		for _, event := range events {
			reply, err := c.h.Store.Apply(c.ctx, c.id, event)
			c.note("%s -> %s", event.Name(), outcome(reply, err))
			if err != nil {
				c.fatalf("%s: %v", event.Name(), err)
			}
		}
		c.unchanged(func() {
			c.sameRecord("the record inspected", c.sighting().Record, discreet(c.record()))
		})
	}
}

func inspectAnswer(c *check) {
	for name, a := range map[string]store.Answer{
		"small":          answer("secret"),
		"large":          largeAnswer(11),
		"empty":          {Codec: "b"},
		"without a body": {Codec: "http1", Meta: []byte("201"), Omitted: store.BodySecret},
	} {
		c.fresh("an answer that is " + name)
		owner := running(c)
		c.expect(owner.name, owner.complete(a), store.Done)
		want := store.Answer{Codec: a.Codec, Omitted: a.Omitted}
		if diff := diffAnswers(plainAnswer(c.sighting().Record.Answer), want); diff != "" {
			c.errorf("the answer inspected: %s", diff)
		}
		c.given(a)
	}
}

func inspectAbsent(c *check) {
	nothing := func() {
		seen := c.sighting()
		c.sameRecord("the absent record", seen.Record, store.Record{})
		c.is("the state", seen.State(), store.Absent)
		if seen.Now <= 0 {
			c.errorf("Now is not set")
		}
	}
	nothing()
	c.caller("first").claims(store.Claimed)
	c.inState(store.Running)

	c.fresh("expired")
	owner := running(c)
	owner.retention = short
	owner.completes(store.Done, "first")
	c.sighting()
	c.advance(short + slack)
	nothing()
}

func inspectTime(c *check) {
	for range 2 {
		before := c.nowHere()
		seen := c.sighting().Now
		c.between("Now", seen, before, c.nowHere())
		c.advance(2*slack + slack/2)
	}
}

// nowHere asks the store for its time, by way of this record.
func (c *check) nowHere() store.Instant {
	return c.expect("clock", store.Mark{Owner: store.NewOwner()}, store.Lost).Now
}

// between reports a time of the store's that is not between two others.
func (c *check) between(what string, at, before, after store.Instant) {
	if at < before.Add(-slack) || at > after.Add(slack) {
		c.errorf("%s is %v after the answer that came before it (if negative: before it), and the call took %v",
			what, at.Sub(before), after.Sub(before))
	}
}

func inspectLapsed(c *check) {
	for want, situations := range map[store.State][]situation{
		store.Unknown:   unknowns(),
		store.Running:   {{"running", running}},
		store.Completed: {{"completed", completed}},
		store.Released:  {{"released", released}},
	} {
		c.each(situations, func(*caller) {
			seen := c.sighting()
			c.is("the state at that time", seen.State(), want)
			c.is("the state as stored", seen.Record.State, c.record().State)
		})
	}
}

func inspectEnded(c *check) {
	running(c)
	ended, cancel := context.WithCancel(c.ctx)
	cancel()
	if _, err := c.inspector().Inspect(ended, c.id); !errors.Is(err, store.ErrUnavailable) {
		c.errorf("Inspect: error %v, want one that wraps ErrUnavailable", err)
	}
	if _, err := c.inspector().List(ended, "", 10); !errors.Is(err, store.ErrUnavailable) {
		c.errorf("List: error %v, want one that wraps ErrUnavailable", err)
	}
}
