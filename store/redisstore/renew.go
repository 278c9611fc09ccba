package redisstore

import (
	"context"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/store"
)

// Renew implements [store.Store]: on a single server one round trip for each
// 128 renewals; on a cluster one for each node, side by side.
func (s *Store) Renew(ctx context.Context, renewals []store.Renewal) []store.RenewResult {
	results := make([]store.RenewResult, len(renewals))
	valid := make([]int, 0, len(renewals))
	down := s.ready(ctx)
	for i, r := range renewals {
		err := store.Validate(r.Renew)
		if err == nil && down != nil {
			err = s.unavailable(ctx, r.Name(), r.ID, down)
		}
		if err == nil {
			valid = append(valid, i)
		}
		results[i].Err = err
	}
	send := s.renewEach
	switch s.renewals.(type) {
	case *redis.Client:
		send = s.renewTogether
	case *redis.ClusterClient:
		if s.replicas.asked {
			send = s.renewByMaster
		}
	}
	for batch := range slices.Chunk(valid, store.MaxRenewals) {
		send(ctx, renewals, batch, results)
	}
	return results
}

// renewTogether renews a batch by one script. It needs all records on one
// server.
func (s *Store) renewTogether(ctx context.Context, renewals []store.Renewal, batch []int, results []store.RenewResult) {
	keys := make([]string, 0, len(batch))
	orders := make([]byte, 0, renewOrderSize*len(batch))
	for _, i := range batch {
		keys = append(keys, s.key(renewals[i].ID))
		orders = appendRenewOrder(orders, renewals[i])
	}
	got := s.sendTo(ctx, s.renewals, packet{
		script: s.scripts.renew, keys: keys, args: []any{orders}, wait: s.replicas.asked,
	}, false)
	s.renewed(ctx, renewals, batch, results, got.reply)
	s.confirmRenewals(ctx, renewals, batch, results, got.acks)
}

// confirmRenewals takes back what too few replicas have acknowledged: a renewal
// that a new master does not know must not keep a handler going. A claim that is
// lost stays lost.
func (s *Store) confirmRenewals(
	ctx context.Context, renewals []store.Renewal, batch []int, results []store.RenewResult, acks *redis.Cmd,
) {
	done := func(i int) bool { return results[i].Err == nil && results[i].Reply.Verdict == store.Done }
	if !slices.ContainsFunc(batch, done) {
		return
	}
	err := s.acknowledged(acks)
	if err == nil {
		return
	}
	for _, i := range batch {
		if done(i) {
			results[i] = store.RenewResult{Err: s.unavailable(ctx, renewals[i].Name(), renewals[i].ID, err)}
		}
	}
}

// renewEach renews a batch by a script each, in one pipeline, which a cluster
// client splits by node.
func (s *Store) renewEach(ctx context.Context, renewals []store.Renewal, batch []int, results []store.RenewResult) {
	cmds, _ := s.pipeRenew(ctx, s.renewals.Pipeline(), evalSha, renewals, batch)
	var unknown []int
	for n, i := range batch {
		if redisconn.NoScript(cmds[n].Err()) {
			unknown = append(unknown, i)
			continue
		}
		s.renewed(ctx, renewals, []int{i}, results, cmds[n])
	}
	if len(unknown) == 0 {
		return
	}
	s.counters.scriptLoads.Add(1)
	cmds, _ = s.pipeRenew(ctx, s.renewals.Pipeline(), eval, renewals, unknown)
	for n, i := range unknown {
		s.renewed(ctx, renewals, []int{i}, results, cmds[n])
	}
}

// pipeRenew renews a batch by one pipeline. If replicas have to confirm, its last
// command is WAIT.
func (s *Store) pipeRenew(
	ctx context.Context, pipe redis.Pipeliner, run runner, renewals []store.Renewal, batch []int,
) (cmds []*redis.Cmd, acks *redis.Cmd) {
	cmds = make([]*redis.Cmd, len(batch))
	for n, i := range batch {
		cmds[n] = run(ctx, pipe, s.scripts.renew, []string{s.key(renewals[i].ID)}, appendRenewOrder(nil, renewals[i]))
	}
	if s.replicas.asked {
		acks = s.replicas.wait(ctx, pipe)
	}
	redisconn.Exec(ctx, pipe)
	return cmds, acks
}

// renewed reads what the script returned about a batch.
func (s *Store) renewed(
	ctx context.Context, renewals []store.Renewal, batch []int, results []store.RenewResult, cmd *redis.Cmd,
) {
	text, err := cmd.Text()
	var now store.Instant
	if err == nil {
		now, text, err = parseRenewed(text)
	}
	for _, i := range batch {
		r := renewals[i]
		if err != nil {
			results[i].Err = s.failed(ctx, r.Name(), r.ID, err)
			continue
		}
		var line string
		line, text, _ = strings.Cut(text, "\n")
		reply, bad := parseRenewal(now, line, r.Owner)
		results[i] = store.RenewResult{Reply: reply, Err: s.misread(ctx, r.Name(), r.ID, bad)}
	}
}
