package redisstore

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/reprise-go/reprise/store"
)

// Bounds of the reserved client. A caller's deadline is usually shorter; these
// end a call without one. Repeating is left to the caller, who knows how much
// of the lease is left.
const (
	reservedConnections = 4 // to a single server, or to each node of a cluster
	reservedTimeout     = 2 * time.Second
	reservedRedirects   = 3
)

// reserve makes the client for renewals from another's options. It does not
// connect. What it cannot take apart is shared.
func reserve(rdb redis.UniversalClient) (client redis.UniversalClient, own bool) {
	switch c := rdb.(type) {
	case *redis.Client:
		return redis.NewClient(reservedOptions(*c.Options())), true
	case *redis.ClusterClient:
		return redis.NewClusterClient(reservedClusterOptions(*c.Options())), true
	}
	return rdb, false
}

// reservedOptions keeps where and how to connect (a Sentinel client's dialer
// included) and replaces what decides how long things take.
func reservedOptions(o redis.Options) *redis.Options {
	o.PoolSize, o.PipelinePoolSize, o.MaxConcurrentDials = reservedConnections, -1, 0
	o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = 0, 0, 0
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = reservedTimeout, reservedTimeout, reservedTimeout
	o.PoolTimeout, o.DialerRetries = reservedTimeout, 1
	o.MaxRetries, o.ContextTimeoutEnabled = -1, true
	o.Limiter = nil
	o.ClientSideCacheConfig, o.ClientSideCache = nil, nil
	// A hand-over announced by the server would relax the timeouts.
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.PushNotificationProcessor = nil
	o.Dialer = undeterred(dialerOf(&o))
	return &o
}

func reservedClusterOptions(o redis.ClusterOptions) *redis.ClusterOptions {
	o.PoolSize, o.PipelinePoolSize, o.MaxConcurrentDials = reservedConnections, -1, 0
	o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = 0, 0, 0
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = reservedTimeout, reservedTimeout, reservedTimeout
	o.PoolTimeout, o.DialerRetries = reservedTimeout, 1
	o.MaxRetries, o.MaxRedirects, o.ContextTimeoutEnabled = -1, reservedRedirects, true
	o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.PushNotificationProcessor = nil
	o.Dialer = undeterred(dialerOf(&redis.Options{
		Dialer: o.Dialer, DialTimeout: o.DialTimeout, TLSConfig: o.TLSConfig,
	}))
	return &o
}

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
	if _, single := s.renewals.(*redis.Client); single {
		send = s.renewTogether
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
	args := make([]any, 0, 3*len(batch))
	for _, i := range batch {
		keys = append(keys, s.key(renewals[i].ID))
		args = append(args, renewArgs(renewals[i])...)
	}
	answers, err := s.run(ctx, s.renewals, s.scripts.renew, keys, args...).Slice()
	if err == nil && len(answers) != len(batch) {
		err = errReply
	}
	for n, i := range batch {
		if err != nil {
			results[i].Err = s.failed(ctx, renewals[i].Name(), renewals[i].ID, err)
			continue
		}
		results[i] = s.renewResult(ctx, renewals[i], answers[n])
	}
}

// renewEach renews a batch by a script each, in one pipeline, which a cluster
// client splits by node.
func (s *Store) renewEach(ctx context.Context, renewals []store.Renewal, batch []int, results []store.RenewResult) {
	cmds := s.pipeRenew(ctx, s.scripts.renew.EvalSha, renewals, batch)
	var unknown []int
	for n, i := range batch {
		if noScript(cmds[n].Err()) {
			unknown = append(unknown, i)
			continue
		}
		results[i] = s.oneRenewed(ctx, renewals[i], cmds[n])
	}
	if len(unknown) == 0 {
		return
	}
	s.counters.scriptLoads.Add(1)
	cmds = s.pipeRenew(ctx, s.scripts.renew.Eval, renewals, unknown)
	for n, i := range unknown {
		results[i] = s.oneRenewed(ctx, renewals[i], cmds[n])
	}
}

func (s *Store) pipeRenew(ctx context.Context, run runner, renewals []store.Renewal, batch []int) []*redis.Cmd {
	pipe := s.renewals.Pipeline()
	cmds := make([]*redis.Cmd, len(batch))
	for n, i := range batch {
		cmds[n] = run(ctx, pipe, []string{s.key(renewals[i].ID)}, renewArgs(renewals[i])...)
	}
	exec(ctx, pipe)
	return cmds
}

func (s *Store) oneRenewed(ctx context.Context, r store.Renewal, cmd *redis.Cmd) store.RenewResult {
	answers, err := cmd.Slice()
	if err == nil && len(answers) != 1 {
		err = errReply
	}
	if err != nil {
		return store.RenewResult{Err: s.failed(ctx, r.Name(), r.ID, err)}
	}
	return s.renewResult(ctx, r, answers[0])
}

func (s *Store) renewResult(ctx context.Context, r store.Renewal, value any) store.RenewResult {
	reply, err := s.replyFrom(ctx, r.Name(), r.ID, r.Owner, value)
	return store.RenewResult{Reply: reply, Err: err}
}

func renewArgs(r store.Renewal) []any {
	return []any{r.Owner.String(), micros(r.Lease), millis(store.RunningTTL(r.Lease, r.Retention))}
}
