package quorumlock

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/lock/redislock"
)

// DefaultNodeTimeout bounds the call of one master.
const DefaultNodeTimeout = 200 * time.Millisecond

const fewestMasters = 3

// Option configures a backend.
type Option interface{ apply(*settings) }

type settings struct {
	timeout time.Duration
	nodes   []redislock.Option
}

type option func(*settings)

func (o option) apply(s *settings) { o(s) }

// NodeTimeout sets how long one master may take to answer: what a call costs at
// most when no majority can. Leave room for setting up a connection, which takes three
// round trips, and stay below the locker's call timeout. From 1 ms to 10 s; the default is [DefaultNodeTimeout].
func NodeTimeout(d time.Duration) Option {
	return option(func(s *settings) { s.timeout = d })
}

// Namespace sets what the names of all keys begin with; see [redislock.Namespace].
// The default is that package's.
func Namespace(name string) Option {
	return option(func(s *settings) { s.nodes = append(s.nodes, redislock.Namespace(name)) })
}

// Logger sets where the backend tells of what it had to work around. No line holds
// a key. The default is silence.
func Logger(logger *slog.Logger) Option {
	return option(func(s *settings) { s.nodes = append(s.nodes, redislock.Logger(logger)) })
}

// AllowNoContextTimeout accepts clients whose ContextTimeoutEnabled is false. Then
// a master that hangs costs its client's ReadTimeout times its retries, in the
// background while a majority answers.
func AllowNoContextTimeout() Option {
	return option(func(s *settings) { s.nodes = append(s.nodes, redislock.AllowNoContextTimeout()) })
}

func newSettings(opts []Option) (settings, error) {
	set := settings{timeout: DefaultNodeTimeout}
	for _, o := range opts {
		if o == nil {
			return settings{}, errors.New("quorumlock: nil option")
		}
		o.apply(&set)
	}
	if set.timeout < time.Millisecond || set.timeout > 10*time.Second {
		return settings{}, fmt.Errorf("quorumlock: NodeTimeout %v is not between 1ms and 10s", set.timeout)
	}
	return set, nil
}

// checkMasters refuses what cannot be a quorum of independent servers.
func checkMasters(masters []redis.UniversalClient) error {
	if len(masters) < fewestMasters {
		return fmt.Errorf("quorumlock: %d masters are no quorum that outlasts one; it takes %d or more, or the package redislock",
			len(masters), fewestMasters)
	}
	clients, addresses := make(map[redis.UniversalClient]bool), make(map[string]bool)
	for i, m := range masters {
		if clients[m] {
			return fmt.Errorf("quorumlock: master %d is the same client as an earlier one", i)
		}
		clients[m] = true
		c, ok := m.(*redis.Client)
		if !ok || c == nil {
			continue
		}
		at := c.Options().Addr
		// Clients that follow Sentinel all have the same text instead of an address.
		if addresses[at] && at != "FailoverClient" {
			return fmt.Errorf("quorumlock: master %d is the same server as an earlier one: %s", i, at)
		}
		addresses[at] = true
	}
	return nil
}
