package storetest

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

const operation = "storetest.operation"

// caller plays one request: an owner, what its claim asks for, and what it
// learned from the claims that it won. Each verb sends one event and ends the
// case unless the verdict is the wanted one.
type caller struct {
	c    *check
	name string

	owner       store.Owner
	fingerprint store.Fingerprint
	lease       time.Duration
	retention   time.Duration
	takeOver    store.TakeOver
	wait        bool
	within      time.Duration // adoption

	token     store.Token
	number    int
	started   store.Instant
	confirmed store.Instant
}

// caller returns a new request with a lease that does not lapse by itself.
func (c *check) caller(name string) *caller {
	return &caller{
		c:           c,
		name:        name,
		owner:       store.NewOwner(),
		fingerprint: fingerprint('1'),
		lease:       long,
		retention:   keep,
		within:      keep,
		number:      1,
	}
}

// stranger returns a request whose claim would take over whatever it may.
func (c *check) stranger() *caller {
	a := c.caller("stranger")
	a.takeOver = store.TakeOverAlways
	return a
}

func fingerprint(fill byte) store.Fingerprint {
	f := store.Fingerprint{Algorithm: "sha256-1"}
	for i := range f.Sum {
		f.Sum[i] = fill
	}
	return f
}

// claim returns the event without sending it.
func (a *caller) claim() store.Claim {
	return store.Claim{
		Owner:       a.owner,
		Fingerprint: a.fingerprint,
		Scope:       a.c.scope,
		Operation:   operation,
		Lease:       a.lease,
		Retention:   a.retention,
		TakeOver:    a.takeOver,
		Wait:        a.wait,
	}
}

func (a *caller) attempt() store.Attempt {
	return store.Attempt{
		Owner:       a.owner,
		Token:       a.token,
		Number:      a.number,
		Lease:       a.lease,
		Fingerprint: a.fingerprint,
		Scope:       a.c.scope,
		Operation:   operation,
		Started:     a.started,
		Retention:   a.retention,
	}
}

func (a *caller) adoption() store.Adoption {
	return store.Adoption{Confirmed: a.confirmed, Within: a.within}
}

func (a *caller) complete(answer store.Answer) store.Complete {
	return store.Complete{Attempt: a.attempt(), Adoption: a.adoption(), Answer: answer}
}

func (a *caller) fail() store.Fail {
	return store.Fail{Attempt: a.attempt(), Adoption: a.adoption()}
}

// learn keeps what an engine would keep of a claim that it won.
func (a *caller) learn(reply store.Reply) {
	if reply.Verdict != store.Claimed {
		return
	}
	a.token, a.number = reply.Token, reply.Attempt
	a.started, a.confirmed = reply.Started, reply.Now
}

func (a *caller) claims(want store.Verdict) store.Reply {
	reply := a.c.expect(a.name, a.claim(), want)
	a.learn(reply)
	return reply
}

func (a *caller) renews(want store.Verdict) store.Reply {
	return a.c.expect(a.name, store.Renew{Owner: a.owner, Lease: a.lease, Retention: a.retention}, want)
}

func (a *caller) marks(want store.Verdict) {
	a.c.expect(a.name, store.Mark{Owner: a.owner}, want)
}

func (a *caller) completes(want store.Verdict, body string) store.Reply {
	return a.c.expect(a.name, a.complete(answer(body)), want)
}

func (a *caller) fails(want store.Verdict) store.Reply {
	return a.c.expect(a.name, a.fail(), want)
}

func (a *caller) releases(want store.Verdict) store.Reply {
	return a.c.expect(a.name, store.Release{Attempt: a.attempt()}, want)
}

func (a *caller) voids(want store.Verdict) {
	a.c.expect(a.name, store.Release{Attempt: a.attempt(), Void: true}, want)
}

// replays claims and compares the answer that is given back.
func (a *caller) replays(body string) store.Reply {
	reply := a.claims(store.Recorded)
	if got := string(reply.Answer.Body); got != body {
		a.c.errorf("%s is given the body %s, want %s", a.name, brief(got), brief(body))
	}
	return reply
}

func answer(body string) store.Answer {
	return store.Answer{Codec: "http1", Meta: []byte("201 Created"), Body: []byte(body)}
}

// settle returns a decision about what a claim was told.
func settle(token store.Token, answer *store.Answer) store.Settle {
	return store.Settle{Owner: store.NewOwner(), Token: token, Retention: keep, Answer: answer}
}
