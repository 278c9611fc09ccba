package redisstore

import (
	"context"
	"log/slog"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"

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
func (s *Store) Watch(id store.ID) store.Watch { return s.listener.watch(s.key(id)) }

// unheard takes note that watches hear nothing, for the reason err.
func (s *Store) unheard(ctx context.Context, err error, first bool) {
	s.counters.listenFailures.Add(1)
	if first {
		s.log.WarnContext(ctx, "notifications are not heard: whoever waits looks again now and then",
			slog.String("error", brief(err)))
	}
	if !denied(err) {
		s.clusters.suspect(ctx, err, s.log)
	}
}

// brief returns an error's text with digests cut to the part that is for logs.
func brief(err error) string {
	digests := regexp.MustCompile(`[0-9a-f]{64}`)
	return digests.ReplaceAllStringFunc(discreet(store.ID{}, err), func(digest string) string { return digest[:8] })
}

// watch is one interest in one record.
type watch struct {
	listener *listener
	topic    *topic // nil once closed; under the listener's lock
	signals  chan struct{}
}

// Signals implements [store.Watch].
func (w *watch) Signals() <-chan struct{} { return w.signals }

// Close implements [store.Watch].
func (w *watch) Close() { w.listener.leave(w) }

// topic is a channel of Redis on which somebody listens, or did a moment ago.
// The listener's lock guards it.
type topic struct {
	channel string
	watches map[*watch]struct{}
	joined  bool // SUBSCRIBE was the last to be sent, and not UNSUBSCRIBE
	pending int  // of both, how many the server has not confirmed yet
	queued  bool // for the next command
}

// due reports whether a command has to be sent.
func (t *topic) due() bool { return len(t.watches) > 0 != t.joined }

// heard reports whether messages arrive. It goes by the confirmation of the last
// command: the one of a SUBSCRIBE before an UNSUBSCRIBE may still be on its way.
func (t *topic) heard() bool { return t.joined && t.pending == 0 }

// signal tells every watch. One that has not taken its last signal needs no
// second.
func (t *topic) signal() {
	for w := range t.watches {
		w.signal()
	}
}

func (w *watch) signal() {
	select {
	case w.signals <- struct{}{}:
	default:
	}
}

// watch opens a watch, and starts the listener's goroutine if it is not there.
func (l *listener) watch(channel string) *watch {
	w := &watch{listener: l, signals: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return w
	}
	if l.topics == nil {
		l.topics = make(map[string]*topic)
	}
	t := l.topics[channel]
	if t == nil {
		t = &topic{channel: channel, watches: make(map[*watch]struct{})}
		l.topics[channel] = t
	}
	w.topic, t.watches[w] = t, struct{}{}
	l.watches++
	if t.heard() {
		w.signal()
	}
	l.tend(t)
	l.start()
	return w
}

// leave closes a watch. Signals are sent under the same lock, so none is sent
// once it has returned.
func (l *listener) leave(w *watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := w.topic
	if t == nil {
		return
	}
	w.topic = nil
	delete(t.watches, w)
	l.watches--
	l.left = time.Now()
	l.tend(t)
}

// tend has a topic of the map brought in line with its watches, or forgets it
// when nothing more is to come.
func (l *listener) tend(t *topic) {
	switch {
	case t.due() && !t.queued:
		t.queued = true
		l.queue = append(l.queue, t)
		select {
		case l.wake <- struct{}{}:
		default:
		}
	case len(t.watches) == 0 && !t.joined && t.pending == 0:
		delete(l.topics, t.channel)
	}
}

// take empties the queue into the channels to leave and to join.
func (l *listener) take() (leave, join []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.queue {
		t.queued = false
		if !t.due() {
			continue // it was left and watched again, or the other way round
		}
		t.joined = !t.joined
		t.pending++
		if t.joined {
			join = append(join, t.channel)
		} else {
			leave = append(leave, t.channel)
		}
	}
	l.queue = nil
	return leave, join
}

// hear passes on what came over a line. What is in a message does not matter:
// the record says it all. One that comes between two subscriptions of a topic
// is for the watches of the first, which are closed; the others are about to get
// the signal of the second.
func (l *listener) hear(c *line, message any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.heard = true
	switch m := message.(type) {
	case *redis.Message:
		if t := l.topics[m.Channel]; t != nil && t.heard() {
			t.signal()
		}
	case *redis.Subscription:
		if t := l.topics[m.Channel]; t != nil {
			l.confirm(t)
		}
	}
}

// confirm notes that the server has executed one more command about a topic.
func (l *listener) confirm(t *topic) {
	t.pending = max(t.pending-1, 0)
	if t.heard() {
		t.signal()
	}
	l.tend(t)
}

// forget says that no topic is subscribed any more, since the line is gone.
func (l *listener) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = nil
	for _, t := range l.topics {
		t.joined, t.pending, t.queued = false, 0, false
		l.tend(t)
	}
}
