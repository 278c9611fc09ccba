package storetest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/reprise-go/reprise/store"
)

func callRules() []rule {
	return []rule{
		{
			name:  "call/invalid events",
			rule:  "an event that store.Validate rejects is answered with ErrInvalid naming the field, and changes nothing",
			why:   "a field that is out of range would be cut off or misread by a fixed-width record",
			check: callInvalid,
		},
		{
			name:  "call/unknown events",
			rule:  "what is not one of the seven event types is answered with ErrInvalid and changes nothing: nil, pointers, types that embed an event (store.Renewal is one)",
			why:   "they compile, as methods are promoted; a type switch without a default would write an empty record",
			check: callForeign,
		},
		{
			name:  "call/ended context",
			rule:  "with a context that has ended a call returns promptly, with an error that wraps ErrUnavailable",
			why:   "callers bound their waiting by it, and treat every error of this kind as: the store could not say",
			check: callEnded,
		},
	}
}

// invalids are events with one field out of range, by that field's name.
func invalids(a *caller) map[string][]store.Event {
	claim, complete, fail := a.claim(), a.complete(answer("x")), a.fail()
	renew := store.Renew{Owner: a.owner, Lease: long, Retention: keep}
	release := store.Release{Attempt: a.attempt()}
	decided := answer("x")
	decision := settle(a.token, &decided)
	badAnswer := complete
	badAnswer.Answer.Omitted = store.BodyStreamed + 1
	badCodec := complete
	badCodec.Answer.Codec = "too long."
	return map[string][]store.Event{
		"Owner": {
			with(claim, func(e *store.Claim) { e.Owner = store.Owner{} }),
			with(renew, func(e *store.Renew) { e.Owner = store.Owner{} }),
			store.Mark{},
			with(complete, func(e *store.Complete) { e.Owner = store.Owner{} }),
			with(fail, func(e *store.Fail) { e.Owner = store.Owner{} }),
			with(release, func(e *store.Release) { e.Owner = store.Owner{} }),
			with(decision, func(e *store.Settle) { e.Owner = store.Owner{} }),
		},
		"Operation": {
			with(claim, func(e *store.Claim) { e.Operation = "" }),
			with(claim, func(e *store.Claim) { e.Operation = strings.Repeat("x", store.MaxOperationName+1) }),
			with(complete, func(e *store.Complete) { e.Operation = "" }),
			with(release, func(e *store.Release) { e.Operation = "" }),
		},
		"Algorithm": {
			with(claim, func(e *store.Claim) { e.Fingerprint.Algorithm = "" }),
			with(claim, func(e *store.Claim) { e.Fingerprint.Algorithm = "too long." }),
			with(claim, func(e *store.Claim) { e.Fingerprint.Algorithm = "a b" }),
			with(fail, func(e *store.Fail) { e.Fingerprint.Algorithm = "\x00" }),
		},
		"Lease": {
			with(claim, func(e *store.Claim) { e.Lease = 0 }),
			with(claim, func(e *store.Claim) { e.Lease = -long }),
			with(renew, func(e *store.Renew) { e.Lease = time.Microsecond }),
		},
		"Retention": {
			with(claim, func(e *store.Claim) { e.Retention = 0 }),
			with(renew, func(e *store.Renew) { e.Retention = 100 * 365 * 24 * time.Hour }),
			with(complete, func(e *store.Complete) { e.Retention = 0 }),
			with(fail, func(e *store.Fail) { e.Retention = -1 }),
			with(release, func(e *store.Release) { e.Retention = 0 }),
			with(decision, func(e *store.Settle) { e.Retention = 0 }),
		},
		"TakeOver": {with(claim, func(e *store.Claim) { e.TakeOver = store.TakeOverAlways + 1 })},
		"Backoff":  {with(fail, func(e *store.Fail) { e.Backoff = -1 })},
		"Codec":    {badCodec, with(decision, func(e *store.Settle) { e.Answer = &store.Answer{} })},
		"Erase":    {with(decision, func(e *store.Settle) { e.Erase = true })},
		"Omitted":  {badAnswer, with(decision, func(e *store.Settle) { e.Answer = &badAnswer.Answer })},
	}
}

// with returns a changed copy of an event.
func with[E store.Event](event E, change func(*E)) store.Event {
	change(&event)
	return event
}

func callInvalid(c *check) {
	owner := running(c)
	c.unchanged(func() {
		for field, events := range invalids(owner) {
			for _, event := range events {
				c.rejected(event, field)
			}
		}
	})
	c.fresh("on an absent record")
	for field, events := range invalids(c.caller("nobody")) {
		for _, event := range events {
			c.rejected(event, field)
		}
	}
	c.inState(store.Absent)
}

// rejected applies an event that must be answered with ErrInvalid.
func (c *check) rejected(event store.Event, field string) {
	_, err := c.h.Store.Apply(c.ctx, c.id, event)
	switch {
	case !errors.Is(err, store.ErrInvalid):
		c.errorf("%T with a wrong %s: error %v, want ErrInvalid", event, field, err)
	case !strings.Contains(err.Error(), field):
		c.errorf("%T: error %q does not name %s", event, err, field)
	}
}

func callForeign(c *check) {
	owner := running(c)
	claim, renew := owner.claim(), store.Renew{Owner: owner.owner, Lease: long, Retention: keep}
	c.unchanged(func() {
		c.rejected(nil, "")
		c.rejected(&claim, "")
		c.rejected(&renew, "")
		c.rejected(store.Renewal{ID: c.id, Renew: renew}, "")
		c.rejected(struct{ store.Claim }{claim}, "")
	})
}

func callEnded(c *check) {
	owner := running(c)
	ended, cancel := context.WithCancel(c.ctx)
	cancel()
	calls := map[string]func() error{
		"Apply": func() error {
			_, err := c.h.Store.Apply(ended, newID(), owner.claim())
			return err
		},
		"Lookup": func() error {
			_, err := c.h.Store.Lookup(ended, c.id)
			return err
		},
		"Renew": func() error { return c.renewEnded(ended, owner) },
	}
	for name, call := range calls {
		began := time.Now()
		err := call()
		if !errors.Is(err, store.ErrUnavailable) {
			c.errorf("%s: error %v, want one that wraps ErrUnavailable", name, err)
		}
		if took := time.Since(began); took > time.Second {
			c.errorf("%s returned after %v", name, took)
		}
	}
}

func (c *check) renewEnded(ctx context.Context, owner *caller) error {
	renewals := []store.Renewal{
		{ID: c.id, Renew: store.Renew{Owner: owner.owner, Lease: long, Retention: keep}},
		{ID: newID(), Renew: store.Renew{Owner: owner.owner, Lease: long, Retention: keep}},
	}
	results := c.h.Store.Renew(ctx, renewals)
	if len(results) != len(renewals) {
		c.fatalf("%d renewals have %d answers", len(renewals), len(results))
	}
	for i, result := range results {
		if !errors.Is(result.Err, store.ErrUnavailable) {
			c.errorf("renewal %d: error %v, want one that wraps ErrUnavailable", i, result.Err)
		}
	}
	return results[0].Err
}
