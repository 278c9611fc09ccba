package redisconn

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// Watch is one interest in one channel. Its methods may be called concurrently.
type Watch struct {
	listener *Listener
	topic    *topic // nil once closed; under the listener's lock
	signals  chan struct{}
}

// Signals holds at most one signal: one is sent when the server has confirmed
// the subscription, again whenever that was renewed, and for every message.
func (w *Watch) Signals() <-chan struct{} { return w.signals }

// Close ends the interest. No signal is sent once it has returned. Closing again
// does nothing.
func (w *Watch) Close() { w.listener.leave(w) }

// topic is a channel of Redis on which somebody listens, or did a moment ago.
// The listener's lock guards it.
type topic struct {
	channel string
	watches map[*Watch]struct{}
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

func (w *Watch) signal() {
	select {
	case w.signals <- struct{}{}:
	default:
	}
}

// Watch opens a watch on a channel without a round trip, and starts the listener's goroutine if it is not there.
func (l *Listener) Watch(channel string) *Watch {
	w := &Watch{listener: l, signals: make(chan struct{}, 1)}
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
		t = &topic{channel: channel, watches: make(map[*Watch]struct{})}
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
func (l *Listener) leave(w *Watch) {
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
func (l *Listener) tend(t *topic) {
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
func (l *Listener) take() (leave, join []string) {
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
func (l *Listener) hear(c *line, message any) {
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
func (l *Listener) confirm(t *topic) {
	t.pending = max(t.pending-1, 0)
	if t.heard() {
		t.signal()
	}
	l.tend(t)
}

// forget says that no topic is subscribed any more, since the line is gone.
func (l *Listener) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = nil
	for _, t := range l.topics {
		t.joined, t.pending, t.queued = false, 0, false
		l.tend(t)
	}
}
