package redislock

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"
)

// The defaults of [New].
const (
	DefaultNamespace = "reprise-lock"
	DefaultTrace     = 10 * time.Second
)

// Option configures a backend.
type Option interface{ apply(*settings) }

type settings struct {
	namespace        string
	trace            time.Duration
	logger           *slog.Logger
	noContextTimeout bool
}

type option func(*settings)

func (o option) apply(s *settings) { o(s) }

// Namespace sets what the names of all keys and channels begin with, so that
// several applications can share a Redis: 1 to 64 letters, digits, dots,
// underscores and hyphens. The default is [DefaultNamespace].
func Namespace(name string) Option {
	return option(func(s *settings) { s.namespace = name })
}

// Trace sets for how long a lock is remembered after its release or the lapse of
// its lease, at about 250 bytes each. Within that time tokens grow even if the
// server's clock is set back, and claims that arrive after their release are
// refused. From 1 s to 24 h; the default is [DefaultTrace].
func Trace(d time.Duration) Option {
	return option(func(s *settings) { s.trace = d })
}

// Logger sets where the backend tells of what it had to work around. No line
// holds a key. The default, and nil, is silence.
func Logger(logger *slog.Logger) Option {
	return option(func(s *settings) { s.logger = logger })
}

// AllowNoContextTimeout accepts a client whose ContextTimeoutEnabled is false.
// Deadlines then do not end a call to a server that hangs: it takes the client's
// ReadTimeout (5 seconds if not set), times its retries. Say this only where those
// are set to what a call may cost.
func AllowNoContextTimeout() Option {
	return option(func(s *settings) { s.noContextTimeout = true })
}

func newSettings(opts []Option) (settings, error) {
	set := settings{namespace: DefaultNamespace, trace: DefaultTrace}
	for _, o := range opts {
		if o == nil {
			return settings{}, errors.New("redislock: nil option")
		}
		o.apply(&set)
	}
	if set.logger == nil {
		set.logger = slog.New(slog.DiscardHandler)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`).MatchString(set.namespace) {
		return settings{}, fmt.Errorf(
			"redislock: Namespace %q is not 1 to 64 letters, digits, dots, underscores and hyphens", set.namespace)
	}
	if set.trace < time.Second || set.trace > 24*time.Hour {
		return settings{}, fmt.Errorf("redislock: Trace %v is not between 1s and 24h", set.trace)
	}
	return set, nil
}

// checkClient refuses what can be seen to be wrong without a connection.
func checkClient(rdb redis.UniversalClient, set settings) error {
	timeouts := true
	switch c := rdb.(type) {
	case nil:
		return errors.New("redislock: no client")
	case *redis.Client:
		if c == nil {
			return errors.New("redislock: no client (a nil *redis.Client)")
		}
		timeouts = c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		if c == nil {
			return errors.New("redislock: no client (a nil *redis.ClusterClient)")
		}
		timeouts = c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return errors.New("redislock: a *redis.Ring cannot keep locks: when a shard misses its heartbeat, " +
			"its keys move to another shard, where nothing is known of their holders; use a *redis.ClusterClient")
	}
	if !timeouts && !set.noContextTimeout {
		return errors.New("redislock: the client's ContextTimeoutEnabled is false, so that no deadline " +
			"ends a call to a Redis that hangs; set it, or say AllowNoContextTimeout")
	}
	return nil
}
