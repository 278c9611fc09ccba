package redislock

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/lock"
)

// Renew implements [lock.Backend]: on a single server one round trip for each 128
// renewals; on a cluster one for each node, side by side.
func (b *Backend) Renew(ctx context.Context, renewals []lock.Renewal) []lock.RenewResult {
	results := make([]lock.RenewResult, 0, len(renewals))
	send := b.renewEach
	if _, single := b.renewals.(*redis.Client); single {
		send = b.renewTogether
	}
	for batch := range slices.Chunk(renewals, lock.MaxRenewals) {
		if err := b.ready(ctx); err != nil {
			results = append(results, b.failedAll(ctx, batch, err)...)
			continue
		}
		results = append(results, send(ctx, batch)...)
	}
	return results
}

// renewTogether renews a batch by one script. It needs all locks on one server.
func (b *Backend) renewTogether(ctx context.Context, batch []lock.Renewal) []lock.RenewResult {
	keys := make([]string, 0, len(batch))
	args := make([]any, 0, 3*len(batch))
	for _, r := range batch {
		keys = append(keys, b.key(r.ID))
		args = append(args, b.renewArgs(r)...)
	}
	answers, err := redisconn.Run(ctx, b.renewals, &b.loads, b.renew, keys, args...).Slice()
	if err == nil && len(answers) != len(batch) {
		err = errReply
	}
	if err != nil {
		return b.failedAll(ctx, batch, err)
	}
	results := make([]lock.RenewResult, len(batch))
	for i, r := range batch {
		results[i] = b.renewed(ctx, r, answers[i])
	}
	return results
}

// renewEach renews a batch by a script each, in one pipeline, which a cluster
// client splits by node.
func (b *Backend) renewEach(ctx context.Context, batch []lock.Renewal) []lock.RenewResult {
	cmds := b.pipe(ctx, b.renew.EvalSha, batch)
	var unknown []lock.Renewal
	for i, r := range batch {
		if redisconn.NoScript(cmds[i].Err()) {
			unknown = append(unknown, r)
		}
	}
	if len(unknown) > 0 {
		// go-redis does not resend an unknown script inside a pipeline.
		b.loads.Add(1)
		again := b.pipe(ctx, b.renew.Eval, unknown)
		for i := range batch {
			if redisconn.NoScript(cmds[i].Err()) {
				cmds[i], again = again[0], again[1:]
			}
		}
	}
	results := make([]lock.RenewResult, len(batch))
	for i, r := range batch {
		results[i] = b.renewedBy(ctx, r, cmds[i])
	}
	return results
}

type runner func(ctx context.Context, c redis.Scripter, keys []string, args ...any) *redis.Cmd

func (b *Backend) pipe(ctx context.Context, run runner, batch []lock.Renewal) []*redis.Cmd {
	pipe := b.renewals.Pipeline()
	cmds := make([]*redis.Cmd, len(batch))
	for i, r := range batch {
		cmds[i] = run(ctx, pipe, []string{b.key(r.ID)}, b.renewArgs(r)...)
	}
	redisconn.Exec(ctx, pipe)
	return cmds
}

func (b *Backend) renewedBy(ctx context.Context, r lock.Renewal, cmd *redis.Cmd) lock.RenewResult {
	answers, err := cmd.Slice()
	if err == nil && len(answers) != 1 {
		err = errReply
	}
	if err != nil {
		return lock.RenewResult{Err: b.failed(ctx, "renewal", r.ID, err)}
	}
	return b.renewed(ctx, r, answers[0])
}

func (b *Backend) renewed(ctx context.Context, r lock.Renewal, value any) lock.RenewResult {
	text, _ := value.(string)
	a, err := parse(text, r.Owner.String())
	if err == nil && a.word != wordDone && a.word != wordLost {
		err = errReply
	}
	if err != nil {
		return lock.RenewResult{Err: b.failed(ctx, "renewal", r.ID, err)}
	}
	return lock.RenewResult{Lost: a.word == wordLost}
}

func (b *Backend) failedAll(ctx context.Context, batch []lock.Renewal, err error) []lock.RenewResult {
	results := make([]lock.RenewResult, len(batch))
	for i, r := range batch {
		results[i].Err = b.failed(ctx, "renewal", r.ID, err)
	}
	return results
}

func (b *Backend) renewArgs(r lock.Renewal) []any {
	words := b.wordsOf(r.Lease)
	return []any{r.Owner.String(), words.lease, words.life}
}
