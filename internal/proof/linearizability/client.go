package linearizability

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/store"
)

// client sends events: those of an owner that does all as it should, and those
// of one that was paused, gave up, or comes back.
type client struct {
	*workloadRun
	store   store.Store
	number  int
	rng     *rand.Rand
	holding map[*history]*holding
	events  int
}

// holding is what a client knows of a record.
type holding struct {
	attempt store.Attempt // of its own latest claim
	claimed bool
	seen    store.Token // the latest token that it heard of
	last    store.Event // the latest event without an answer
	fresh   store.Instant
}

func (c *client) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		h := c.next(c.rng.IntN(recordsAtOnce))
		if h == nil {
			return nil
		}
		if err := c.act(ctx, h); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (c *client) act(ctx context.Context, h *history) error {
	know := c.holding[h]
	if know == nil {
		know = &holding{}
		c.holding[h] = know
	}
	c.begin()
	if c.rng.IntN(12) == 0 {
		return c.look(ctx, h)
	}
	return c.send(ctx, h, know, c.choose(know))
}

// choose draws the next event.
func (c *client) choose(know *holding) store.Event {
	if know.last != nil && c.rng.IntN(3) > 0 {
		return know.last // the same again, after an error
	}
	n := c.rng.IntN(20)
	switch {
	case n == 0 && know.seen != 0:
		return c.settle(know)
	case !know.claimed && n < 13, n < 3:
		return c.claim(know)
	}
	return c.own(know)
}

func (c *client) claim(know *holding) store.Event {
	// Now and then the owner asks again: its first packet was late.
	if know.attempt.Owner == (store.Owner{}) || c.rng.IntN(4) > 0 {
		know.attempt = store.Attempt{
			Owner:       store.NewOwner(),
			Lease:       c.Lease/2 + time.Duration(c.rng.Int64N(int64(c.Lease))).Truncate(time.Millisecond),
			Fingerprint: store.Fingerprint{Algorithm: "proof"},
			Operation:   "proof",
			Retention:   time.Hour,
		}
		if c.rng.IntN(25) == 0 {
			know.attempt.Fingerprint.Sum[0] = 1
		}
		know.claimed = false
	}
	return store.Claim{
		Owner:       know.attempt.Owner,
		Fingerprint: know.attempt.Fingerprint,
		Operation:   know.attempt.Operation,
		Lease:       know.attempt.Lease,
		Retention:   know.attempt.Retention,
		TakeOver:    store.TakeOver(c.rng.IntN(3)),
		Wait:        c.rng.IntN(4) == 0,
	}
}

// own draws an event of the client's own latest attempt, whether that was
// granted, or is its own still, or not.
func (c *client) own(know *holding) store.Event {
	if know.attempt.Owner == (store.Owner{}) {
		return c.claim(know)
	}
	adoption := store.Adoption{Confirmed: know.fresh, Within: time.Hour}
	switch n := c.rng.IntN(12); {
	case n < 3:
		return store.Renew{Owner: know.attempt.Owner, Lease: know.attempt.Lease, Retention: know.attempt.Retention}
	case n < 5:
		return store.Mark{Owner: know.attempt.Owner}
	case n < 6:
		return store.Complete{Attempt: know.attempt, Adoption: adoption, Answer: c.answer()}
	case n < 8:
		return store.Fail{
			Attempt: know.attempt, Adoption: adoption, Marked: c.rng.IntN(4) == 0,
			Backoff: time.Duration(c.rng.IntN(2)) * c.Lease,
		}
	}
	return store.Release{Attempt: know.attempt, Void: c.rng.IntN(2) == 0}
}

func (c *client) settle(know *holding) store.Event {
	ev := store.Settle{
		Owner:     store.NewOwner(),
		Token:     know.seen,
		Retention: time.Hour,
		Running:   c.rng.IntN(4) == 0,
	}
	if c.rng.IntN(2) == 0 {
		answer := c.answer()
		ev.Answer = &answer
	}
	return ev
}

// answer returns one that no other client gives. A few are large, as those
// take another way into the record.
func (c *client) answer() store.Answer {
	c.events++
	body := fmt.Appendf(nil, "answer %d of client %d ", c.events, c.number)
	if c.rng.IntN(10) == 0 {
		body = append(body, bytes.Repeat([]byte{'.'}, 5<<10)...)
	}
	return store.Answer{Codec: "proof", Meta: []byte("meta"), Body: body}
}

func (c *client) send(ctx context.Context, h *history, know *holding, event store.Event) error {
	in := Input{Event: event, Floor: c.clock.floor()}
	call := c.clock.now()
	short, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	reply, err := c.store.Apply(short, h.id, event)
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("%s: %w", event.Name(), err)
	}
	if errors.Is(err, store.ErrNotExecuted) {
		c.unsent() // the model would have to know that it was not: it does
		return nil
	}
	if err != nil {
		h.silence(c.number, call, in)
		know.last = event
		return nil
	}
	h.answer(c.clock, c.number, call, in, Output{Reply: reply})
	c.clock.hear(reply.Now)
	know.learn(event, reply)
	return nil
}

// learn notes what a reply tells its owner.
func (k *holding) learn(event store.Event, reply store.Reply) {
	k.last = nil
	if reply.Token != 0 {
		k.seen = reply.Token
	}
	switch event.(type) {
	case store.Claim:
		k.claimed = reply.Verdict == store.Claimed
		if k.claimed {
			k.attempt.Token, k.attempt.Number, k.attempt.Started = reply.Token, reply.Attempt, reply.Started
			k.fresh = reply.Now
		}
	case store.Renew, store.Mark:
		k.claimed = reply.Verdict == store.Done
	default:
		k.claimed = false
	}
}

func (c *client) look(ctx context.Context, h *history) error {
	call := c.clock.now()
	short, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	rec, err := c.store.Lookup(short, h.id)
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("look: %w", err)
	}
	if err == nil {
		h.answer(c.clock, c.number, call, Input{}, Output{Record: rec})
	}
	return nil
}
