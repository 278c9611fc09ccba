package bubble

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"google.golang.org/grpc/test/bufconn"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store/redisstore"
)

// service is a server in a process, and its clients' connections to it.
type service interface {
	// ask sends a request and returns what its client hears.
	ask(ctx context.Context, c *call) heard
	// stop ends all connections, and the server. Handlers go on.
	stop()
}

// process is a server process: a service, a guard, a store, a Redis client. One
// that stands still sends nothing, hears nothing and runs no handler, while the
// time goes on. A dead one does so for ever. The engine's own goroutines cannot be
// stopped from outside; whatever they do meanwhile, nobody hears of it.
type process struct {
	world   *world
	number  int
	orphan  idempotency.Orphan
	guard   *idempotency.Guard
	store   *redisstore.Store
	rdb     *redis.Client
	service service

	mu       sync.Mutex
	up       bool // it serves
	dead     chan struct{}
	resumes  time.Time // when it stands still until
	cutOff   time.Time // from Redis until then
	muted    time.Time // hears nothing of Redis until then
	links    []*link
	commands map[string]int
}

// spawn starts a process.
func (w *world) spawn(orphan idempotency.Orphan) *process {
	p := &process{world: w, orphan: orphan, dead: make(chan struct{}), commands: make(map[string]int)}
	w.mu.Lock()
	w.processes = append(w.processes, p)
	p.number = len(w.processes)
	w.mu.Unlock()
	if err := p.start(); err != nil {
		panic(err) // the plan is wrong, not the library
	}
	return p
}

func (p *process) start() (err error) {
	w := p.world
	p.rdb = redis.NewClient(&redis.Options{
		Addr:                  "127.0.0.1:6379", // nobody is to look up a name
		Dialer:                p.dial,
		ContextTimeoutEnabled: true,
		MaxRetries:            w.plan.retries,
		// With connections to spare nobody waits for one. Timers of those who wait
		// are kept by go-redis for the next world, where they are not allowed.
		PoolSize:                 100,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	if p.store, err = redisstore.New(p.rdb); err != nil {
		return err
	}
	p.guard, err = idempotency.New(w.core.store(p.store),
		idempotency.WithLogger(slog.New(slog.NewTextHandler(&w.logs, nil))),
		idempotency.WithStoreTimeout(max(w.plan.storeTimeout, 10*time.Millisecond)),
		idempotency.WithTrace(idempotency.Trace{LeaseLost: func(idempotency.LeaseLost) { w.count(LeaseLost) }}),
	)
	if err != nil {
		return err
	}
	p.service, err = w.transport.serve(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = true
	return err
}

// dial connects to Redis.
func (p *process) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if p.isDead() {
		return nil, errors.New("no network in a dead process")
	}
	listener := bufconn.Listen(wireBuffer)
	defer listener.Close() // it stays open as far as its only connection goes
	accepted := make(chan struct{})
	p.world.links.Go(func() {
		defer close(accepted)
		if conn, err := listener.Accept(); err == nil {
			p.connect(conn)
		}
	})
	conn, err := listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	<-accepted
	return conn, nil
}

// keep notes a connection that ends when the process dies. False: it has.
func (p *process) keep(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links = append(p.links, l)
	return !p.isDead()
}

// sent counts a command.
func (p *process) sent(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands[name]++
	return p.commands[name]
}

// stall lets the whole process stand still.
func (p *process) stall(kind Kind, d time.Duration) {
	p.world.count(kind)
	p.world.note(p, "%v for %v", kind, d)
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.resumes) {
		p.resumes = until
	}
}

// pass returns when the process does not stand still, and false when it is dead.
func (p *process) pass() bool {
	for {
		p.mu.Lock()
		wait := time.Until(p.resumes)
		p.mu.Unlock()
		if wait <= 0 {
			return !p.isDead()
		}
		time.Sleep(wait + time.Microsecond)
	}
}

// isCutOff reports whether what goes to Redis is lost, or what comes from there.
func (p *process) isCutOff(back bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	return now.Before(p.cutOff) || back && now.Before(p.muted)
}

// partition loses what goes over the process's wires for some time.
func (p *process) partition(kind Kind, d time.Duration) {
	p.world.count(kind)
	p.world.note(p, "%v for %v", kind, d)
	p.mu.Lock()
	defer p.mu.Unlock()
	until := time.Now().Add(d)
	if kind == Partition {
		p.cutOff = until
		return
	}
	p.muted = until
}

// crash ends the process: its connections end, its handlers do nothing more.
func (p *process) crash(kind Kind) {
	p.mu.Lock()
	up := p.up
	p.mu.Unlock()
	if !up || p.isDead() {
		return
	}
	p.world.count(kind)
	p.world.note(p, "%v", kind)
	p.die()
}

func (p *process) die() {
	p.mu.Lock()
	select {
	case <-p.dead:
	default:
		close(p.dead)
	}
	links := p.links
	p.mu.Unlock()
	for _, l := range links {
		l.close()
	}
	p.service.stop()
}

func (p *process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// bury ends what is left of it. Its handlers have ended.
func (p *process) bury(ctx context.Context) {
	_ = p.guard.Shutdown(ctx)
	p.service.stop()
	_ = p.store.Close()
	_ = p.rdb.Close()
}
