package redisstore

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"

	"github.com/redis/go-redis/v9"
)

// DefaultNamespace begins the names of all keys unless [Namespace] says
// otherwise.
const DefaultNamespace = "reprise"

const maxNamespace = 64

// Option configures a store.
type Option interface{ apply(*settings) }

type settings struct {
	namespace        string
	logger           *slog.Logger
	noContextTimeout bool
	replicas         replicas
	guard            guard
	together         bool
	cache            cacheSize
}

type option func(*settings)

func (o option) apply(s *settings) { o(s) }

// Namespace sets what the names of all keys and channels begin with, so that
// several applications can share a Redis: 1 to 64 letters, digits, dots,
// underscores and hyphens. Braces are left out because they would decide the
// cluster slot. The default is [DefaultNamespace].
func Namespace(name string) Option {
	return option(func(s *settings) { s.namespace = name })
}

// Logger sets where the store tells of what it had to work around: a large
// answer that took the slow path, a cluster's map loaded anew. No record
// contains a key, a scope or anything of an answer. The default, and nil, is
// silence.
func Logger(logger *slog.Logger) Option {
	return option(func(s *settings) { s.logger = logger })
}

// AllowNoContextTimeout accepts a client whose ContextTimeoutEnabled is false.
// Deadlines then do not end a call to a server that hangs: it takes the
// client's ReadTimeout (5 seconds if not set), times its retries. Say this only
// where those are set to what a request may cost.
func AllowNoContextTimeout() Option {
	return option(func(s *settings) { s.noContextTimeout = true })
}

func newSettings(opts []Option) (settings, error) {
	set := settings{namespace: DefaultNamespace}
	for _, o := range opts {
		if o == nil {
			return settings{}, errors.New("redisstore: nil option")
		}
		o.apply(&set)
	}
	if set.logger == nil {
		set.logger = slog.New(slog.DiscardHandler)
	}
	if len(set.namespace) > maxNamespace || !regexp.MustCompile(`^[A-Za-z0-9._-]+$`).MatchString(set.namespace) {
		return settings{}, fmt.Errorf(
			"redisstore: namespace %q is not 1 to %d letters, digits, dots, underscores and hyphens", set.namespace, maxNamespace)
	}
	if err := set.replicas.validate(); err != nil {
		return settings{}, err
	}
	if err := set.cache.validate(); err != nil {
		return settings{}, err
	}
	return set, set.guard.validate()
}

// checkClient refuses what can be seen to be wrong without a connection.
func checkClient(rdb redis.UniversalClient, set settings) error {
	timeouts := true
	switch c := rdb.(type) {
	case nil:
		return errors.New("redisstore: no client")
	case *redis.Client:
		if c == nil {
			return errors.New("redisstore: no client (a nil *redis.Client)")
		}
		timeouts = c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		if c == nil {
			return errors.New("redisstore: no client (a nil *redis.ClusterClient)")
		}
		timeouts = c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return errors.New("redisstore: a *redis.Ring cannot keep records: when a shard misses its heartbeat, " +
			"its keys move to another shard, where nothing is known of running attempts; use a *redis.ClusterClient")
	}
	if !timeouts && !set.noContextTimeout {
		return errors.New("redisstore: the client's ContextTimeoutEnabled is false, so that no deadline " +
			"ends a call to a Redis that hangs; set it, or say AllowNoContextTimeout")
	}
	if err := set.replicas.checkClient(rdb); err != nil {
		return err
	}
	return set.guard.checkClient(rdb)
}
