package storetest

import "github.com/reprise-go/reprise/store"

func lookupRules() []rule {
	return []rule{
		{
			name:  "lookup/absent",
			rule:  "a lookup of an absent record is the zero record and no error, and creates none",
			why:   "status pages ask for keys that nobody used",
			check: lookupAbsent,
		},
		{
			name:  "lookup/every field",
			rule:  "a lookup gives every field of the record as the protocol's reference, store.Step, wrote it, whatever its state, and changes nothing",
			why:   "operators settle by what a lookup says",
			check: lookupEveryField,
		},
	}
}

func lookupAbsent(c *check) {
	c.sameRecord("the absent record", c.record(), store.Record{})
	c.caller("first").claims(store.Claimed)
}

func lookupEveryField(c *check) {
	for name, events := range lives(c) {
		c.fresh("a record that is " + name)
		var want store.Record
		for _, event := range events {
			reply, err := c.h.Store.Apply(c.ctx, c.id, event)
			c.note("%s -> %s", event.Name(), outcome(reply, err))
			if err != nil {
				c.fatalf("%s: %v", event.Name(), err)
			}
			want, _ = store.Step(want, event, reply.Now)
		}
		c.sameRecord("the record", c.record(), want)
		c.unchanged(func() {})
	}
}

// lives are sequences of events, each named by the state that it ends in.
func lives(c *check) map[string][]store.Event {
	a, b := c.caller("first"), c.caller("second")
	a.token, a.started, a.confirmed = 1, 1, c.now()
	b.takeOver, b.wait = store.TakeOverAlways, true
	b.lease, b.retention = 2*long, 100*keep
	fail := a.fail()
	fail.Marked, fail.Backoff = true, long
	longest := a.claim()
	longest.Operation = string(patterned(store.MaxOperationName))
	longest.Fingerprint.Algorithm = "12345678"
	return map[string][]store.Event{
		"running":                 {a.claim()},
		"running, longest names":  {longest},
		"running and marked":      {a.claim(), store.Mark{Owner: a.owner}},
		"running and waited for":  {a.claim(), b.claim()},
		"taken over":              {a.claim(), a.fail(), b.claim()},
		"taken over and renewed":  {a.claim(), a.fail(), b.claim(), store.Renew{Owner: b.owner, Lease: long, Retention: keep}},
		"completed":               {a.claim(), b.claim(), a.complete(answer("first"))},
		"unknown and held back":   {a.claim(), fail},
		"released":                {a.claim(), store.Mark{Owner: a.owner}, store.Release{Attempt: a.attempt()}},
		"void":                    {a.claim(), store.Release{Attempt: a.attempt(), Void: true}},
		"a tombstone":             {store.Release{Attempt: a.attempt()}},
		"a void tombstone":        {store.Release{Attempt: a.attempt(), Void: true}},
		"adopted as completed":    {a.complete(answer("first"))},
		"adopted as unknown":      {fail},
		"restored to unknown":     {a.claim(), a.fail(), b.claim(), store.Release{Attempt: b.attempt(), Void: true}},
		"claimed after a release": {a.claim(), store.Release{Attempt: a.attempt()}, b.claim()},
	}
}
