package redisconn

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// reloadPause is the least time between two requests for a cluster's map. A
// failing node makes many calls fail at once, and one look at the map serves
// them all.
const reloadPause = 200 * time.Millisecond

// Clusters asks for a cluster's map of slots when a node fails. go-redis itself
// does not do that when a connection is refused: after the crash of a master it
// would go on trying the dead one until the next periodic reload, a minute by
// default, though its replica was promoted after seconds.
type Clusters struct {
	clients []*redis.ClusterClient
	started time.Time
	last    *atomic.Int64 // of a reload, since started
	reloads *atomic.Int64
}

// NewClusters returns what asks the clients for their maps, those of them that are
// of a cluster.
func NewClusters(clients ...redis.UniversalClient) Clusters {
	c := Clusters{started: time.Now(), last: new(atomic.Int64), reloads: new(atomic.Int64)}
	for _, client := range clients {
		if cluster, ok := client.(*redis.ClusterClient); ok {
			c.clients = append(c.clients, cluster)
		}
	}
	return c
}

// Suspect has the map loaded again, in the background, if err may come from a
// node that is gone or was demoted. It may be called concurrently.
func (c *Clusters) Suspect(ctx context.Context, err error, log *slog.Logger) {
	if len(c.clients) == 0 || !nodeTrouble(err) {
		return
	}
	now, last := int64(time.Since(c.started)), c.last.Load()
	if last != 0 && now-last < int64(reloadPause) || !c.last.CompareAndSwap(last, now) {
		return
	}
	c.reloads.Add(1)
	log.InfoContext(ctx, "asking the redis cluster for its map again after a failed call")
	for _, client := range c.clients {
		client.ReloadState(ctx)
	}
}

// Reloads counts how often the maps were asked for.
func (c *Clusters) Reloads() int64 { return c.reloads.Load() }

// nodeTrouble reports an error of the way to a node, or one by which a node says
// that it is not, or no longer, the one to ask.
func nodeTrouble(err error) bool {
	for _, code := range [...]string{"CLUSTERDOWN", "READONLY", "MASTERDOWN", "LOADING"} {
		if redis.HasErrorPrefix(err, code) {
			return true
		}
	}
	return !IsReply(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, redis.ErrPoolTimeout)
}
