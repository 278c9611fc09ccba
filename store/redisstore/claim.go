package redisstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/store"
)

// claim sends the claim together with a GET, so that a replay needs no second
// round trip and an answer never passes through Lua. What LocalCache has
// kept is not asked for.
func (s *Store) claim(ctx context.Context, id store.ID, ev store.Claim) (store.Reply, error) {
	if reply, ok := s.cache.find(id, ev); ok {
		return reply, nil
	}
	reply, err := s.claimOnce(ctx, id, ev)
	if !errors.Is(err, errMoved) {
		return reply, err
	}
	// The recorded answer expired, or was replaced, between the two commands.
	// The same owner may ask again.
	s.counters.claimsRepeated.Add(1)
	reply, err = s.claimOnce(ctx, id, ev)
	if errors.Is(err, errMoved) {
		return store.Reply{}, s.unavailable(ctx, ev.Name(), id, errMoved)
	}
	return reply, err
}

func (s *Store) claimOnce(ctx context.Context, id store.ID, ev store.Claim) (store.Reply, error) {
	asked := s.cache.ask()
	got := s.sendClaim(ctx, packet{
		script: s.scripts.claim,
		keys:   []string{s.key(id)},
		args:   []any{claimOrder(id, ev)},
		life:   s.cache != nil,
		get:    true,
		check:  s.guard.on,
		wait:   s.replicas.asked,
	})
	reply, err := s.replyTo(ctx, ev.Name(), id, ev.Owner, got.reply)
	switch {
	case err != nil:
		return store.Reply{}, err
	case reply.Verdict == store.Claimed:
		return s.upheld(ctx, ev.Name(), id, reply, got)
	case reply.Verdict == store.Recorded:
		reply, err = s.withAnswer(ctx, ev.Name(), id, reply, got.body)
		s.cache.keep(asked, id, ev.Fingerprint, reply, got.life)
		return reply, err
	}
	return reply, nil
}

// sendClaim sends a claim. While replicas lag it goes without WAIT first, and once
// more with it if it was won: the same owner may ask again, and that writes, too.
// Those that start nothing, which are most when many retry, would else each keep a
// connection busy until the time for acknowledgements is over.
func (s *Store) sendClaim(ctx context.Context, p packet) answers {
	if !p.wait || !s.lagging.Load() {
		return s.send(ctx, p)
	}
	p.wait = false
	got := s.send(ctx, p)
	if value, err := got.reply.Result(); err != nil || !startsAttempt(value) {
		return got
	}
	p.wait = true
	return s.send(ctx, p)
}

// upheld returns the reply to a claim that was won, if that will still be so
// after the loss of a master.
func (s *Store) upheld(
	ctx context.Context, event string, id store.ID, reply store.Reply, got answers,
) (store.Reply, error) {
	err := s.sameMemory(ctx, got.check)
	if err == nil {
		err = s.acknowledged(got.acks)
	}
	if err != nil {
		return store.Reply{}, s.unavailable(ctx, event, id, err)
	}
	return reply, nil
}

// withAnswer adds the answer that the GET brought, if it is the one that the
// script spoke of.
func (s *Store) withAnswer(
	ctx context.Context, event string, id store.ID, reply store.Reply, body *redis.StringCmd,
) (store.Reply, error) {
	raw, err := body.Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return store.Reply{}, errMoved
	case err != nil:
		return store.Reply{}, s.failed(ctx, event, id, err)
	}
	rec, err := decode(id, raw)
	if err != nil {
		return store.Reply{}, unreadableRecord(event, id, err)
	}
	if rec.State != store.Completed || rec.Token != reply.Token {
		return store.Reply{}, errMoved
	}
	reply.Attempt, reply.Started, reply.Finished, reply.Answer = rec.Attempt, rec.Started, rec.Finished, rec.Answer
	return reply, nil
}

// replyTo reads a script's reply to an event on one record.
func (s *Store) replyTo(
	ctx context.Context, event string, id store.ID, owner store.Owner, cmd *redis.Cmd,
) (store.Reply, error) {
	value, err := cmd.Result()
	if err != nil {
		return store.Reply{}, s.failed(ctx, event, id, err)
	}
	reply, err := parseReply(value, event, owner)
	return reply, s.misread(ctx, event, id, err)
}

// misread tells what is wrong with a reply, or with the record that it speaks of.
func (s *Store) misread(ctx context.Context, event string, id store.ID, err error) error {
	field := unreadable("")
	switch {
	case err == nil:
		return nil
	case errors.As(err, &field):
		return unreadableRecord(event, id, field)
	}
	return s.unavailable(ctx, event, id, err)
}

func flagWord(flag bool) string { return string(digitOf(flag)) }
