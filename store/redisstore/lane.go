package redisstore

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redisconn"
)

const (
	// laneWidth is how many round trips to one server may be under way before
	// further calls wait for one of them to end and go together.
	laneWidth = 4
	// maxTogether is how many calls share a round trip at most, so that those at
	// the front of it do not wait long for the last.
	maxTogether = 128
	// A call waits for a round trip under way to end for this part of its time left,
	// and no longer than mostPatience. Those on a connection that is dead end only
	// with their deadlines.
	patience     = 4
	mostPatience = 250 * time.Millisecond
)

// errGoroutine: a hook has called runtime.Goexit.
var errGoroutine = errors.New("the client ended the goroutine that sent the call")

// AutoPipeline sends claims, completions, marks and lookups together that are
// asked for at the same time. Up to four calls to a server go by themselves, as
// without this option; what comes while four are under way waits for one of them
// and then goes in one round trip, up to 128 calls at once. So a quiet process
// pays nothing, and a busy one, from about 50 calls at a time, saves most of what
// a round trip costs both sides. It takes four connections to each server instead
// of one for each call.
//
// Each call keeps its own deadline. One that waits, or goes with others, also ends
// at once when its context is cancelled, and one that gave up before it was sent is
// not sent. Those under way together last, to Redis, until the last of their
// deadlines. A call with a deadline waits for a quarter of its time at most, and no
// longer than 250 ms: then one more round trip is begun, so that connections which
// are dead do not hold up those that are not. Each call has its own error, unless the
// connection breaks: then all have that. On a cluster only calls to one master go
// together, so that a master that hangs holds up nobody else's.
//
// Answers that are read together arrive together: with many of 100 KiB and more,
// leave it off. Completions above 4 KiB, and whatever waits for replicas
// ([MinReplicas]), go by themselves. The client's hooks see one pipeline for many
// calls, whose context is none of theirs. The default is off.
func AutoPipeline() Option {
	return option(func(s *settings) { s.together = true })
}

// lanes are the ways to the servers behind a client. go-redis's own
// AutoPipeliner is not used because it sends what callers have given up, keeps
// no deadline once a command is queued, and may part a claim from the commands
// that must follow it on the same connection.
type lanes struct {
	rdb   redis.UniversalClient
	aside func(func()) bool

	mu       sync.Mutex
	byServer map[string]*lane
}

func newLanes(rdb redis.UniversalClient, aside func(func()) bool) *lanes {
	return &lanes{rdb: rdb, aside: aside, byServer: make(map[string]*lane)}
}

// exec runs a pipeline whose commands are about one key. After an error its
// commands must not be looked at: somebody may still be at work on them.
func (l *lanes) exec(ctx context.Context, pipe redis.Pipeliner, key string) error {
	way, err := l.to(ctx, key)
	if err != nil {
		return err
	}
	return way.exec(ctx, pipe)
}

// to returns the way to the server that has a key.
func (l *lanes) to(ctx context.Context, key string) (*lane, error) {
	server := ""
	if cluster, ok := l.rdb.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return nil, err
		}
		server = master.Options().Addr
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	way := l.byServer[server]
	if way == nil {
		way = &lane{rdb: l.rdb, aside: l.aside}
		l.byServer[server] = way
	}
	return way, nil
}

// lane is the way to one server. Normally at most laneWidth round trips are on it:
//
//	exec ──a place is free──▶ sent by the caller ──▶ next
//	  └─all are taken──▶ queue ──next──▶ sent with others ──▶ next
//	                       ├──its patience ends──▶ the same, in one place more
//	                       └──its context ends──▶ left out when its turn comes
type lane struct {
	rdb   redis.UniversalClient
	aside func(func()) bool

	mu    sync.Mutex
	busy  int
	queue []*parcel // empty unless all places are taken
}

// parcel is a pipeline that goes together with others. Once done is closed, its
// commands are answered, or err says why not.
type parcel struct {
	ctx   context.Context //nolint:containedctx // of the caller, who waits for the parcel
	cmds  []redis.Cmder
	taken bool // out of the queue
	done  chan struct{}
	err   error
}

func (l *lane) exec(ctx context.Context, pipe redis.Pipeliner) error {
	p := l.join(ctx, pipe)
	if p == nil {
		defer l.next() // also when a hook panics
		redisconn.Exec(ctx, pipe)
		return nil
	}
	overdue := time.NewTimer(patienceOf(ctx))
	defer overdue.Stop()
	for {
		select {
		case <-p.done:
			return p.err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-overdue.C:
			l.widen(p)
		}
	}
}

// patienceOf is how long a call waits for its turn. One without a deadline has all
// the time that there is.
func patienceOf(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return math.MaxInt64
	}
	return min(time.Until(deadline)/patience, mostPatience)
}

// join queues a pipeline, or returns nil if there is room to send it at once.
func (l *lane) join(ctx context.Context, pipe redis.Pipeliner) *parcel {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy < laneWidth {
		l.busy++
		return nil
	}
	p := &parcel{ctx: ctx, cmds: pipe.Cmds(), done: make(chan struct{})}
	l.queue = append(l.queue, p)
	return p
}

// widen begins one more round trip if a parcel still waits for one.
func (l *lane) widen(p *parcel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.taken && l.begin() {
		l.busy++
	}
}

// next gives the place of a round trip that has ended to those who wait.
func (l *lane) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begin() {
		l.busy--
	}
}

// begin sends of those who wait as many as may go together, and reports false if
// there is nobody. Once the store has been closed it refuses them all. Mu is held.
func (l *lane) begin() bool {
	batch := l.take()
	if len(batch) == 0 {
		return false
	}
	if l.aside(func() {
		defer l.next()
		l.send(batch)
	}) {
		return true
	}
	for ; len(batch) > 0; batch = l.take() {
		settle(batch, redis.ErrClosed)
	}
	return false
}

// take takes from the queue. Mu is held.
func (l *lane) take() []*parcel {
	n := min(len(l.queue), maxTogether)
	batch := slices.Clone(l.queue[:n])
	l.queue = slices.Delete(l.queue, 0, n)
	for _, p := range batch {
		p.taken = true
	}
	return batch
}

// send sends parcels in one pipeline, but for those that nobody waits for.
func (l *lane) send(batch []*parcel) {
	err := errGoroutine
	defer func() { settle(batch, err) }()
	ctx, cancel := untilLast(batch)
	defer cancel()
	pipe := l.rdb.Pipeline()
	for _, p := range batch {
		if p.ctx.Err() != nil {
			p.err = context.Cause(p.ctx)
			continue
		}
		for _, cmd := range p.cmds {
			_ = pipe.Process(ctx, cmd) // it only queues
		}
	}
	if pipe.Len() > 0 {
		redisconn.Exec(ctx, pipe)
	}
	err = nil
}

// settle tells those who wait what became of their parcels.
func settle(batch []*parcel, err error) {
	for _, p := range batch {
		if p.err == nil {
			p.err = err
		}
		close(p.done)
	}
}

// untilLast returns a context that ends with the last of those of a batch.
func untilLast(batch []*parcel) (context.Context, context.CancelFunc) {
	var last time.Time
	for _, p := range batch {
		deadline, ok := p.ctx.Deadline()
		if !ok {
			return context.WithCancel(context.Background())
		}
		if deadline.After(last) {
			last = deadline
		}
	}
	return context.WithDeadline(context.Background(), last)
}
