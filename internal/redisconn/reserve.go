package redisconn

import (
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Bounds of the reserved client. A caller's deadline is usually shorter; these
// end a call without one. Repeating is left to the caller, who knows how much
// of the lease is left.
const (
	reservedConnections = 4 // to a single server, or to each node of a cluster
	reservedTimeout     = 2 * time.Second
	reservedRedirects   = 3
)

// Reserve makes a client with a few connections of its own, for renewals, from
// another's options. It does not connect. Own says that it is the caller's to
// close; what cannot be taken apart, such as a wrapper, is shared.
func Reserve(rdb redis.UniversalClient) (client redis.UniversalClient, own bool) {
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
