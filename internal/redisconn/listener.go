package redisconn

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// linger is how long the connection stays when nobody watches.
	linger = 3 * time.Second
	// pulse is how often the connection is looked at. One that was silent since
	// the last look is sent a PING, and one that is still silent at the next
	// look is dead: after two to three pulses.
	pulse = 700 * time.Millisecond
	// patience is how long a PING may stay unanswered at the least, should the
	// looks follow each other quickly because this process was held up.
	patience = pulse - 100*time.Millisecond
	// sendTimeout bounds a command on the connection, its opening included.
	sendTimeout = 2 * time.Second
	// maxChannels is how many channels one command names.
	maxChannels = 500
	// A failure is followed by a pause that doubles from firstPause to
	// longestPause, unless the connection had been steady. What the server
	// refuses, it will refuse for longer.
	firstPause   = 20 * time.Millisecond
	longestPause = time.Second
	refusedPause = 30 * time.Second
	steady       = 5 * time.Second
)

// errSilent: a connection seems to be there and brings nothing.
var errSilent = errors.New("redis does not answer PING on the connection for notifications")

// Listener hears what is published on the channels that somebody watches. All
// its work on the network is done by one goroutine, which is there while there
// are watches, and by one more, which reads. All methods may be called
// concurrently. Create one with [NewListener].
type Listener struct {
	open    func(ctx context.Context, channels ...string) *redis.PubSub
	unheard func(ctx context.Context, err error, first bool)
	wake    chan struct{} // there is something in the queue
	done    sync.WaitGroup

	mu      sync.Mutex // held for moments only, never while anything is sent
	topics  map[string]*topic
	queue   []*topic
	watches int                // of all topics
	left    time.Time          // when a watch was closed last
	cancel  context.CancelFunc // ends the goroutine; nil while there is none
	closed  bool

	// Of the goroutine, and kept for the next one.
	failures int // in a row
	retryAt  time.Time
}

// NewListener returns a listener that subscribes by open, which is a client's
// Subscribe. It does not connect. Unheard is called, on the listener's goroutine,
// for each failure of the connection, and told whether it is the first of a row.
func NewListener(
	open func(context.Context, ...string) *redis.PubSub, unheard func(context.Context, error, bool),
) *Listener {
	return &Listener{open: open, unheard: unheard, wake: make(chan struct{}, 1)}
}

// start starts the goroutine if it is not there. The lock is held.
func (l *Listener) start() {
	if l.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.done.Go(func() {
		defer cancel()
		l.run(ctx)
	})
}

// Close ends all watches and waits for the goroutines. A command that is under
// way is not interrupted, so this may take sendTimeout or as long as the
// client's own timeouts allow.
func (l *Listener) Close() {
	l.mu.Lock()
	l.closed = true
	cancel := l.cancel
	for _, t := range l.topics {
		clear(t.watches)
	}
	l.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	l.done.Wait()
}

// run holds one line after the other until nobody watches.
func (l *Listener) run(ctx context.Context) {
	for l.needed(ctx) {
		since := time.Now()
		err := l.hold(ctx)
		if ctx.Err() != nil {
			continue
		}
		if err == nil || time.Since(since) >= steady {
			l.failures = 0
		}
		if err != nil {
			l.stumble(ctx, err)
		}
	}
}

// needed waits until a line may be opened. It returns false, and leaves room for
// another goroutine, when none has to be.
func (l *Listener) needed(ctx context.Context) bool {
	for {
		if l.resign(ctx) {
			return false
		}
		pause := time.Until(l.retryAt)
		if pause <= 0 {
			return true
		}
		timer := time.NewTimer(min(pause, linger)) // watches may leave meanwhile
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// resign reports that the goroutine is to end. A watch that comes later starts
// another.
func (l *Listener) resign(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watches > 0 && ctx.Err() == nil {
		return false
	}
	l.cancel = nil
	l.topics, l.queue = nil, nil // empty, but a map keeps the memory of its largest size
	return true
}

// stumble decides when to try again.
func (l *Listener) stumble(ctx context.Context, err error) {
	l.failures++
	pause := min(firstPause<<min(l.failures-1, 10), longestPause)
	if Denied(err) {
		pause = refusedPause
	}
	// Many processes may have lost the same server at the same moment.
	l.retryAt = time.Now().Add(pause/2 + rand.N(pause/2))
	l.unheard(ctx, err, l.failures == 1)
}

// hold opens a line and serves it. Without an error, nobody watches any more.
func (l *Listener) hold(ctx context.Context) error {
	c := &line{sub: l.open(ctx), over: make(chan struct{})}
	defer l.forget()
	// The first command connects, so that there is something to read from. That
	// is to be a SUBSCRIBE: a cluster's client chooses the node by the channel,
	// and any node for a PING. The PING is for when all watches have just left.
	sent, err := l.transmit(ctx, c)
	if err == nil && !sent {
		err = send(ctx, c.sub.Ping)
	}
	if err != nil {
		_ = c.sub.Close()
		return err
	}
	go c.read(l)
	defer c.hangUp()
	return l.serve(ctx, c)
}

// serve sends what is to be sent and sees that the line is alive.
func (l *Listener) serve(ctx context.Context, c *line) error {
	look := time.NewTicker(pulse)
	defer look.Stop()
	for {
		if _, err := l.transmit(ctx, c); err != nil {
			return err
		}
		select {
		case <-l.wake:
		case <-c.over:
			return c.err
		case <-look.C:
			if l.idle() {
				return nil
			}
			if err := l.feel(ctx, c); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// transmit sends the commands that are due, if there are any.
func (l *Listener) transmit(ctx context.Context, c *line) (sent bool, err error) {
	leave, join := l.take()
	for channels := range slices.Chunk(leave, maxChannels) {
		if err := send(ctx, c.sub.Unsubscribe, channels...); err != nil {
			return true, err
		}
	}
	for channels := range slices.Chunk(join, maxChannels) {
		if err := send(ctx, c.sub.Subscribe, channels...); err != nil {
			return true, err
		}
	}
	return len(leave)+len(join) > 0, nil
}

func send(ctx context.Context, command func(context.Context, ...string) error, words ...string) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return command(ctx, words...)
}

func (l *Listener) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watches == 0 && time.Since(l.left) >= linger
}

// feel takes the line's pulse. go-redis would do that in its own way: it sends
// PINGs and does not look whether they are answered, so that a connection over
// which nothing comes stays in use until the kernel gives it up.
func (l *Listener) feel(ctx context.Context, c *line) error {
	l.mu.Lock()
	heard := c.heard
	c.heard = false
	l.mu.Unlock()
	switch {
	case heard:
		c.asked = time.Time{}
	case c.asked.IsZero():
		c.asked = time.Now()
		return send(ctx, c.sub.Ping)
	case time.Since(c.asked) >= patience:
		return errSilent
	}
	return nil
}

// line is one connection. When it breaks it is given up, with all that it was
// subscribed to, and another is opened: what is confirmed on a line is confirmed
// for this connection.
type line struct {
	sub   *redis.PubSub
	heard bool          // anything, since the last look; under the listener's lock
	asked time.Time     // when the PING was sent that is not answered
	over  chan struct{} // closed by the reader at its end
	err   error         // why; set before that
}

// read passes on what comes over the line until it breaks or is closed.
func (c *line) read(l *Listener) {
	defer close(c.over)
	// go-redis answers an error by dialling again at once, under the lock that
	// closing needs. A context that has ended makes that fail; reading does not
	// look at it. (A dialler for TLS does not look either, and then the client's
	// DialTimeout bounds it.)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		message, err := c.sub.Receive(ended)
		if err != nil {
			c.err = err
			return
		}
		l.hear(c, message)
	}
}

// hangUp closes the line and waits for its reader.
func (c *line) hangUp() {
	_ = c.sub.Close()
	<-c.over
}
