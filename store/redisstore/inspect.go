package redisstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/store"
)

const inspect = "inspect"

// Inspect implements [store.Inspector], by one script in one round trip that
// brings less than a KiB: the server cuts the record off where the longest name
// of an operation would end. So a damaged answer is not noticed; [Store.Lookup]
// does. Expires is as Lookup has it.
func (s *Store) Inspect(ctx context.Context, id store.ID) (store.Sighting, error) {
	if err := s.ready(ctx); err != nil {
		return store.Sighting{}, s.unavailable(ctx, inspect, id, err)
	}
	return s.sighting(ctx, id, s.run(ctx, s.rdb, s.scripts.inspect, []string{s.key(id)}))
}

// sighting reads what the script returned about one record.
func (s *Store) sighting(ctx context.Context, id store.ID, cmd *redis.Cmd) (store.Sighting, error) {
	parts, err := cmd.Slice()
	if err == nil && len(parts) != 3 {
		err = errReply
	}
	if err != nil {
		return store.Sighting{}, s.failed(ctx, inspect, id, err)
	}
	now, ok1 := parts[0].(int64)
	left, ok2 := parts[1].(int64)
	raw, ok3 := parts[2].(string)
	if !ok1 || !ok2 || !ok3 {
		return store.Sighting{}, s.unavailable(ctx, inspect, id, errReply)
	}
	seen := store.Sighting{ID: id, Now: store.Instant(now)}
	if left == -2 {
		return seen, nil
	}
	rec, err := decodeStart(id, []byte(raw))
	if err != nil {
		return store.Sighting{}, unreadableRecord(inspect, id, err)
	}
	if rec.Expires, err = expiry(seen.Now, left); err != nil {
		return store.Sighting{}, s.unavailable(ctx, inspect, id, err)
	}
	seen.Record = rec.Live(seen.Now)
	return seen, nil
}

// sightings inspects many records. Those that are gone are left out, those that
// cannot be read are counted.
func (s *Store) sightings(ctx context.Context, ids []store.ID) (page store.Page, err error) {
	cmds := s.inspectAll(ctx, ids)
	for i, id := range ids {
		seen, err := s.sighting(ctx, id, cmds[i])
		switch {
		case errors.Is(err, store.ErrUnreadable):
			page.Unreadable++
		case err != nil:
			return store.Page{}, err
		case seen.Record.State != store.Absent:
			page.Records = append(page.Records, seen)
		}
	}
	return page, nil
}

// inspectAll runs the script for many records in one pipeline, which a cluster
// client splits by node, and once more where a server did not know it.
func (s *Store) inspectAll(ctx context.Context, ids []store.ID) []*redis.Cmd {
	cmds := s.pipeInspect(ctx, evalSha, ids)
	var unknown []store.ID
	for i, id := range ids {
		if redisconn.NoScript(cmds[i].Err()) {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) == 0 {
		return cmds
	}
	s.counters.scriptLoads.Add(1)
	again := s.pipeInspect(ctx, eval, unknown)
	for i, cmd := range cmds {
		if redisconn.NoScript(cmd.Err()) {
			cmds[i], again = again[0], again[1:]
		}
	}
	return cmds
}

func (s *Store) pipeInspect(ctx context.Context, run runner, ids []store.ID) []*redis.Cmd {
	if len(ids) == 0 {
		return nil
	}
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(ids))
	for i, id := range ids {
		cmds[i] = run(ctx, pipe, s.scripts.inspect, []string{s.key(id)})
	}
	redisconn.Exec(ctx, pipe)
	return cmds
}
