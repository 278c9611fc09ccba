package storetest

import (
	"fmt"

	"github.com/reprise-go/reprise/store"
)

// Crowd and rounds of the cases that look for races.
const (
	crowd  = 32
	rounds = 8
)

func raceRules() []rule {
	return []rule{
		{
			name:  "race/one claim wins",
			rule:  "of many claims of one absent or released record at once exactly one is claimed; the others are told of the winner",
			why:   "the claim is the lock",
			check: raceClaim,
		},
		{
			name:  "race/one take-over wins",
			rule:  "of many claims that may take over an unknown outcome exactly one does; the others are told of the winner",
			why:   "a take-over that reads and then writes starts the operation as often as it is read",
			check: raceTakeOver,
		},
		{
			name:  "race/one end wins",
			rule:  "of many ends of one attempt at once, completion, release and settlements, exactly one is in effect",
			why:   "two callers would be told that theirs is the recorded answer",
			check: raceEnd,
		},
	}
}

func raceClaim(c *check) {
	for range rounds {
		c.fresh("")
		c.oneWinner(1, false)
	}
	for range rounds {
		c.fresh("")
		released(c)
		c.oneWinner(2, false)
	}
}

func raceTakeOver(c *check) {
	for _, s := range unknowns() {
		for range rounds / 2 {
			c.fresh("on a record that is " + s.name)
			s.create(c)
			c.oneWinner(2, true)
		}
	}
}

// oneWinner sends a crowd of claims at once.
func (c *check) oneWinner(attempt int, tookOver bool) {
	replies := make([]store.Reply, crowd)
	errs := make([]error, crowd)
	claims := make([]store.Claim, crowd)
	for i := range claims {
		claims[i] = c.stranger().claim()
	}
	together(crowd, func(i int) {
		replies[i], errs[i] = c.h.Store.Apply(c.ctx, c.id, claims[i])
	})
	winner := -1
	for i, reply := range replies {
		if errs[i] != nil {
			c.fatalf("claim %d: %v", i, errs[i])
		}
		if reply.Verdict != store.Claimed {
			continue
		}
		if winner >= 0 {
			c.fatalf("two of %d claims at once were both claimed, with tokens %d and %d",
				crowd, replies[winner].Token, reply.Token)
		}
		winner = i
	}
	if winner < 0 {
		c.fatalf("none of %d claims at once was claimed", crowd)
	}
	won := replies[winner]
	c.is("Attempt of the winner", won.Attempt, attempt)
	c.is("TookOver of the winner", won.TookOver, tookOver)
	c.is("Owner of the record", c.record().Owner, claims[winner].Owner)
	for _, reply := range replies {
		if reply.Verdict != store.Claimed && (reply.Verdict != store.InProgress || reply.Token != won.Token) {
			c.errorf("a loser is told %s, want in progress with token %d", outcome(reply, nil), won.Token)
		}
	}
}

func raceEnd(c *check) {
	for range rounds {
		c.fresh("")
		owner := running(c)
		ends := []store.Event{
			owner.complete(answer("own")),
			store.Release{Attempt: owner.attempt()},
		}
		for i := len(ends); i < crowd/2; i++ {
			verdict := answer(fmt.Sprint("settled ", i))
			event := settle(owner.token, &verdict)
			event.Running = true
			ends = append(ends, event)
		}
		c.oneEnd(ends)
	}
}

// oneEnd sends the ends of one attempt at once. A release that comes after the
// completion is done as well, and counts for nothing.
func (c *check) oneEnd(ends []store.Event) {
	replies := make([]store.Reply, len(ends))
	errs := make([]error, len(ends))
	together(len(ends), func(i int) {
		replies[i], errs[i] = c.h.Store.Apply(c.ctx, c.id, ends[i])
	})
	rec := c.record()
	for i, reply := range replies {
		if errs[i] != nil {
			c.fatalf("%s: %v", ends[i].Name(), errs[i])
		}
		var recorded bool
		switch event := ends[i].(type) {
		case store.Complete:
			recorded = rec.State == store.Completed && rec.Owner == event.Owner
		case store.Settle:
			recorded = rec.State == store.Completed && rec.Owner == event.Owner
		default:
			continue
		}
		if told := reply.Verdict == store.Done; told != recorded {
			c.errorf("a %s is told %q, and the record is %s by owner %v", ends[i].Name(), reply.Verdict, rec.State, rec.Owner)
		}
	}
}
