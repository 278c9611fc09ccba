package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
	"github.com/reprise-go/reprise/store/redisstore"
)

// backend is the store of idempotency records, and what is to be closed with it.
type backend struct {
	store store.Store
	name  string // as the READY line says it
	close func() error
}

// openBackend makes the store that -redis asks for. It does not dial: Redis may
// come up later than the service.
func openBackend(c config) (*backend, error) {
	switch c.redis {
	case "memory":
		return openMemory()
	case "embedded":
		return openEmbedded(c.namespace)
	}
	rdb, name, err := newClient(c.redis)
	if err != nil {
		return nil, fmt.Errorf("%w: -redis: %w", errUsage, err)
	}
	return onRedis(rdb, name, c.namespace, c.safeguards()...)
}

func openMemory() (*backend, error) {
	records, err := memstore.New()
	if err != nil {
		return nil, err
	}
	return &backend{records, "memory", func() error { return nil }}, nil
}

// acknowledgeWithin is for how long a request waits for replicas.
const acknowledgeWithin = 200 * time.Millisecond

// safeguards are against a Redis that forgets what it has acknowledged.
func (c *config) safeguards() []redisstore.Option {
	var options []redisstore.Option
	if c.minReplicas > 0 {
		options = append(options, redisstore.MinReplicas(c.minReplicas, acknowledgeWithin))
	}
	if c.memoryGuard > 0 {
		options = append(options, redisstore.MemoryGuard(c.memoryGuard))
	}
	return options
}

func onRedis(rdb redis.UniversalClient, name, namespace string, options ...redisstore.Option) (*backend, error) {
	records, err := redisstore.New(rdb, append(options, redisstore.Namespace(namespace))...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errUsage, err), rdb.Close())
	}
	return &backend{records, name, func() error { return errors.Join(records.Close(), rdb.Close()) }}, nil
}

// openEmbedded runs a Redis inside the process, for a first look at the service.
// What it holds ends with the process.
func openEmbedded(namespace string) (*backend, error) {
	server := miniredis.NewMiniRedis()
	server.ClockTTL(true) // keys expire as time passes, as in Redis
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("embedded Redis: %w", err)
	}
	b, err := onRedis(redis.NewClient(&redis.Options{
		Addr:                  server.Addr(),
		ContextTimeoutEnabled: true,
	}), "embedded", namespace)
	if err != nil {
		server.Close()
		return nil, err
	}
	closeClient := b.close
	b.close = func() error {
		defer server.Close()
		return closeClient()
	}
	return b, nil
}

// logger is the guard's. Of the embedded Redis it would tell what that cannot be
// asked about itself, which is of no use to anybody.
func (b *backend) logger(log *slog.Logger) *slog.Logger {
	if b.name == "embedded" {
		return slog.New(warnings{log.Handler()})
	}
	return log
}

// warnings lets pass what is at least a warning.
type warnings struct{ slog.Handler }

// Enabled implements [slog.Handler].
func (warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// reloadInterval bounds how long a cluster's client goes on asking a master that
// has been replaced. The default of go-redis is a minute.
const reloadInterval = 5 * time.Second

// newClient reads a Redis URL. The parameter master_name makes it one of
// Sentinels, the parameter addr without it one of a cluster. The library wants
// its deadlines heeded, which in go-redis is an option.
func newClient(rawURL string) (client redis.UniversalClient, name string, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, "", withoutURL(err)
	}
	switch query := u.Query(); {
	case query.Has("master_name"):
		opt, err := redis.ParseFailoverURL(rawURL)
		if err != nil {
			return nil, "", withoutURL(err)
		}
		opt.ContextTimeoutEnabled = true
		return redis.NewFailoverClient(opt), "sentinel", nil
	case query.Has("addr"):
		opt, err := redis.ParseClusterURL(rawURL)
		if err != nil {
			return nil, "", withoutURL(err)
		}
		opt.ContextTimeoutEnabled = true
		opt.ClusterStateReloadInterval = reloadInterval
		return redis.NewClusterClient(opt), "cluster", nil
	default:
		opt, err := redis.ParseURL(rawURL)
		if err != nil {
			return nil, "", withoutURL(err)
		}
		opt.ContextTimeoutEnabled = true
		return redis.NewClient(opt), "redis", nil
	}
}

// withoutURL keeps a password out of an error message, and says what is wanted.
func withoutURL(err error) error {
	if inURL, ok := errors.AsType[*url.Error](err); ok {
		err = inURL.Err
	}
	return fmt.Errorf("not embedded, memory or redis://host:port/db: %w", err)
}

// redisLog sends go-redis's own messages to the service's log.
type redisLog struct{ log *slog.Logger }

// Printf implements go-redis's logger.
func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.InfoContext(ctx, "redis client", "message", fmt.Sprintf(format, v...))
}
