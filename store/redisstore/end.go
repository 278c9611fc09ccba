package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/store"
)

const (
	// largeAnswer is from where handing an answer over by a second key is
	// cheaper than its way through Lua, by the cost of both to server and client.
	largeAnswer = 4 << 10
	// tempTTL is how long an answer on its way into its record is kept when the
	// script that should take it never runs.
	tempTTL = time.Minute
)

func (s *Store) mark(ctx context.Context, id store.ID, ev store.Mark) (store.Reply, error) {
	got := s.send(ctx, packet{
		script: s.scripts.mark,
		keys:   []string{s.key(id)},
		args:   []any{ev.Owner.String()},
		wait:   s.replicas.asked,
	})
	return s.confirmed(ctx, ev.Name(), id, ev.Owner, got)
}

func (s *Store) complete(ctx context.Context, id store.ID, ev store.Complete) (store.Reply, error) {
	if err := checkSize(ev.Answer); err != nil {
		return store.Reply{}, fmt.Errorf("%w: %s: %w", store.ErrInvalid, ev.Name(), err)
	}
	if answerSize(ev.Answer) > largeAnswer {
		got := s.completeLarge(ctx, id, ev)
		if !sendAgain(got.reply) {
			return s.confirmed(ctx, ev.Name(), id, ev.Owner, got)
		}
		s.counters.largeFallbacks.Add(1)
		s.log.WarnContext(ctx, "a large answer takes the slow path", "record", id.Short(), "bytes", answerSize(ev.Answer))
	}
	rec := recordOf(ev.Attempt, ev.Answer)
	got := s.send(ctx, packet{
		script: s.scripts.complete,
		keys:   []string{s.key(id)},
		args:   []any{endOrder(ev.Attempt, ev.Adoption, ev.Retention, 0), encode(id, &rec)},
		wait:   s.replicas.asked,
		apart:  answerSize(ev.Answer) > largeAnswer,
	})
	return s.confirmed(ctx, ev.Name(), id, ev.Owner, got)
}

// completeLarge writes the completed record under a second name and has a
// script rename it, in one round trip. The name holds the owner, so that two
// owners cannot take each other's answer.
func (s *Store) completeLarge(ctx context.Context, id store.ID, ev store.Complete) answers {
	rec := recordOf(ev.Attempt, ev.Answer)
	key := s.key(id)
	return s.send(ctx, packet{
		script: s.scripts.completeLarge,
		keys:   []string{key, key + ":" + ev.Owner.String()},
		args:   []any{endOrder(ev.Attempt, ev.Adoption, ev.Retention, 0)},
		set:    encode(id, &rec),
		wait:   s.replicas.asked,
		apart:  true,
	})
}

// sendAgain reports that a large answer must take the way through Lua: it could
// not be written or was not found, or the two keys are being moved to another
// node and have not both arrived.
func sendAgain(cmd *redis.Cmd) bool {
	if redis.HasErrorPrefix(cmd.Err(), "TRYAGAIN") {
		return true
	}
	text, err := cmd.Text()
	return err == nil && hasVerdict(text, "complete", wordAgain)
}

func (s *Store) fail(ctx context.Context, id store.ID, ev store.Fail) (store.Reply, error) {
	rec := recordOf(ev.Attempt, store.Answer{})
	order := endOrderOf(id, &rec, ev.Attempt, ev.Adoption, store.RunningTTL(ev.Lease, ev.Retention))
	cmd := s.run(ctx, s.rdb, s.scripts.fail, []string{s.key(id)}, order, flagWord(ev.Marked), micros(ev.Backoff))
	return s.replyTo(ctx, ev.Name(), id, ev.Owner, cmd)
}

func (s *Store) release(ctx context.Context, id store.ID, ev store.Release) (store.Reply, error) {
	rec := recordOf(ev.Attempt, store.Answer{})
	cmd := s.run(ctx, s.rdb, s.scripts.release, []string{s.key(id)},
		ev.Owner.String(),
		millis(ev.Retention),
		millis(store.TombstoneTTL),
		flagWord(ev.Void),
		micros(ev.Lease),
		appendRest(nil, id, &rec),
	)
	return s.replyTo(ctx, ev.Name(), id, ev.Owner, cmd)
}

// settle sends an answer of any size through Lua: only the record knows the
// fingerprint and operation that a second key would have to hold, and outcomes
// are rarely settled.
func (s *Store) settle(ctx context.Context, id store.ID, ev store.Settle) (store.Reply, error) {
	s.cache.drop(id) // and once more afterwards, whatever became of it
	defer s.cache.drop(id)
	decision, codec, answer := "release", []byte{}, []byte{}
	if ev.Erase {
		decision = "erase"
	}
	if ev.Answer != nil {
		if err := checkSize(*ev.Answer); err != nil {
			return store.Reply{}, fmt.Errorf("%w: %s: %w", store.ErrInvalid, ev.Name(), err)
		}
		decision, codec, answer = "complete", appendCodec(nil, *ev.Answer), appendAnswer(nil, *ev.Answer)
	}
	cmd := s.run(ctx, s.rdb, s.scripts.settle, []string{s.key(id)},
		ev.Owner.String(), int64(ev.Token), millis(ev.Retention), flagWord(ev.Running), decision, codec, answer)
	return s.replyTo(ctx, ev.Name(), id, ev.Owner, cmd)
}

// recordOf is the record that is written if the store has lost its own. The
// scripts fill in the head.
func recordOf(a store.Attempt, answer store.Answer) store.Record {
	return store.Record{
		State:       store.Completed,
		Owner:       a.Owner,
		Fingerprint: a.Fingerprint,
		Scope:       a.Scope,
		Operation:   a.Operation,
		Answer:      answer,
	}
}

func checkSize(a store.Answer) error {
	if size := answerSize(a); size > maxAnswer {
		return fmt.Errorf("Answer has %d bytes, more than %d", size, maxAnswer)
	}
	return nil
}
