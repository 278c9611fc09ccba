package redisstore

import (
	"context"
	"log/slog"
	"regexp"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/store"
)

// Watch implements [store.Notifier]. All watches of a store share one
// connection, and those of one record one subscription on it. The connection is
// opened by the store's only goroutine for that when the first watch comes, so
// Watch and Close cost no round trip and wait for none. It is closed again, with
// everything that belongs to it, three seconds after the last watch.
//
// A connection that breaks, or says nothing for about two seconds, is replaced,
// and then every watch gets a signal. While Redis cannot be reached, or does
// not permit SUBSCRIBE, watches are silent: whoever waits has to look again by
// itself now and then. The first failure of a row is logged, and
// [Stats].ListenFailures counts all.
//
// On a cluster the connection leads to one node, and the nodes tell each other
// what is published. Watches of a store that is closed never signal.
func (s *Store) Watch(id store.ID) store.Watch { return s.listener.Watch(s.key(id)) }

// unheard takes note that watches hear nothing, for the reason err.
func (s *Store) unheard(ctx context.Context, err error, first bool) {
	s.counters.listenFailures.Add(1)
	if first {
		s.log.WarnContext(ctx, "notifications are not heard: whoever waits looks again now and then",
			slog.String("error", brief(err)))
	}
	if !redisconn.Denied(err) {
		s.clusters.Suspect(ctx, err, s.log)
	}
}

// brief returns an error's text with digests cut to the part that is for logs.
func brief(err error) string {
	digests := regexp.MustCompile(`[0-9a-f]{64}`)
	return digests.ReplaceAllStringFunc(discreet(store.ID{}, err), func(digest string) string { return digest[:8] })
}
