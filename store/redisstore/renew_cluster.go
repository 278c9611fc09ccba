package redisstore

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/store"
)

// renewByMaster renews a batch on a cluster whose replicas have to confirm: one
// pipeline for each master, side by side, each with a WAIT of its own.
func (s *Store) renewByMaster(ctx context.Context, renewals []store.Renewal, batch []int, results []store.RenewResult) {
	cluster, _ := s.renewals.(*redis.ClusterClient) // Renew has looked
	byMaster := make(map[*redis.Client][]int)
	for _, i := range batch {
		master, err := cluster.MasterForKey(ctx, s.key(renewals[i].ID))
		if err != nil {
			results[i].Err = s.failed(ctx, renewals[i].Name(), renewals[i].ID, err)
			continue
		}
		byMaster[master] = append(byMaster[master], i)
	}
	var calls sync.WaitGroup
	for master, part := range byMaster {
		calls.Go(func() { s.renewAt(ctx, cluster, master, renewals, part, results) })
	}
	calls.Wait()
}

// renewAt renews what one master has. What it does not have any more, or cannot
// run for want of the script, is sent by itself.
func (s *Store) renewAt(
	ctx context.Context, cluster *redis.ClusterClient, master *redis.Client,
	renewals []store.Renewal, part []int, results []store.RenewResult,
) {
	cmds, acks := s.pipeRenew(ctx, master.Pipeline(), evalSha, renewals, part)
	var again []int
	for n, i := range part {
		err := cmds[n].Err()
		if _, _, redirected := redirection(err); redirected || redisconn.NoScript(err) {
			again = append(again, i)
			results[i].Err = err
			continue
		}
		s.renewed(ctx, renewals, []int{i}, results, cmds[n])
	}
	s.confirmRenewals(ctx, renewals, part, results, acks)
	for _, i := range again {
		got := s.sendToMaster(ctx, cluster, packet{
			script: s.scripts.renew,
			keys:   []string{s.key(renewals[i].ID)},
			args:   []any{appendRenewOrder(nil, renewals[i])},
			wait:   true,
		})
		s.renewed(ctx, renewals, []int{i}, results, got.reply)
		s.confirmRenewals(ctx, renewals, []int{i}, results, got.acks)
	}
}
