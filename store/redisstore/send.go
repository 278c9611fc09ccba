package redisstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redisconn"
)

// packet is what goes to one server in one round trip, on one connection, in
// this order: a value to set, a script, PTTL and GET of its first key, the memory
// guard's check, WAIT. All but the script are optional.
type packet struct {
	script *redis.Script
	keys   []string
	args   []any
	set    []byte // under the second key, see completeLarge
	life   bool   // only together with get
	get    bool
	check  bool
	wait   bool
	apart  bool // it is too large to hold up others
	// together permits to send it along with others, see AutoPipeline.
	together bool
}

// answers are the commands of a packet, answered. Those that were not asked for
// are nil.
type answers struct {
	reply *redis.Cmd
	life  *redis.DurationCmd
	body  *redis.StringCmd
	check *redis.Cmd
	acks  *redis.Cmd
}

// unknown reports a script that the server does not know.
func (a answers) unknown() bool {
	return redisconn.NoScript(a.reply.Err()) || a.check != nil && redisconn.NoScript(a.check.Err())
}

// maxRedirects is how often a packet follows a slot that moves.
const maxRedirects = 4

// send sends a packet to the server that has its key. A packet that waits for
// replicas goes to a cluster's node by its own client: through the client of the
// cluster WAIT, which names no key, would be asked of any master.
func (s *Store) send(ctx context.Context, p packet) answers {
	if cluster, ok := s.rdb.(*redis.ClusterClient); ok && p.wait {
		return s.sendToMaster(ctx, cluster, p)
	}
	p.together = s.lanes != nil && !p.wait && !p.apart
	return s.sendTo(ctx, s.rdb, p, false)
}

// sendToMaster follows redirections as the cluster's client would. A node that
// does not yet own any slot, and so is not on the map, is not followed to: while
// the first slot is moved there, its absent keys are unavailable.
func (s *Store) sendToMaster(ctx context.Context, cluster *redis.ClusterClient, p packet) answers {
	node, err := cluster.MasterForKey(ctx, p.keys[0])
	if err != nil {
		return unsent(p, err)
	}
	got := s.sendTo(ctx, node, p, false)
	for range maxRedirects {
		addr, asking, redirected := redirection(got.reply.Err())
		if !redirected {
			return got
		}
		if node = s.masterAt(ctx, cluster, addr); node == nil {
			return got
		}
		got = s.sendTo(ctx, node, p, asking)
	}
	return got
}

// masterAt returns the client of the master at an address, nil if there is none.
// It loads the cluster's map anew, so that the next call goes there at once.
func (s *Store) masterAt(ctx context.Context, cluster *redis.ClusterClient, addr string) *redis.Client {
	found := make(chan *redis.Client, 1)
	_ = cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		if node.Options().Addr != addr {
			return nil
		}
		select {
		case found <- node:
		default:
		}
		return nil
	})
	select {
	case node := <-found:
		return node
	default:
		return nil
	}
}

// redirection reads a node's reply that another has the slot, for good or for
// this one time.
func redirection(err error) (addr string, asking, redirected bool) {
	if err == nil {
		return "", false, false
	}
	if addr, ok := redis.IsMovedError(err); ok {
		return addr, false, true
	}
	addr, ok := redis.IsAskError(err)
	return addr, ok, ok
}

// sendTo sends a packet to one server, again if that does not know a script:
// go-redis does not resend the text inside a pipeline. The whole packet is sent
// again, since the order of what is in it matters.
func (s *Store) sendTo(ctx context.Context, c redis.UniversalClient, p packet, asking bool) answers {
	if p.alone() && !p.together {
		return answers{reply: s.run(ctx, c, p.script, p.keys, p.args...)}
	}
	got := s.pipe(ctx, c, p, asking, evalSha)
	if got.unknown() {
		s.counters.scriptLoads.Add(1)
		p.set = nil // it is there by now
		got = s.pipe(ctx, c, p, asking, eval)
	}
	return got
}

// alone reports that a packet is a script and nothing else.
func (p packet) alone() bool { return p.set == nil && !p.get && !p.check && !p.wait }

// runner is a way to run a script.
type runner func(ctx context.Context, c redis.Scripter, script *redis.Script, keys []string, args ...any) *redis.Cmd

func evalSha(ctx context.Context, c redis.Scripter, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	return script.EvalSha(ctx, c, keys, args...)
}

func eval(ctx context.Context, c redis.Scripter, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	return script.Eval(ctx, c, keys, args...)
}

func (s *Store) pipe(ctx context.Context, c redis.UniversalClient, p packet, asking bool, run runner) answers {
	pipe := c.Pipeline()
	ask := func() {
		if asking {
			pipe.Do(ctx, "asking") // it holds for one command
		}
	}
	if p.set != nil {
		ask()
		// Its error does not matter: the script looks whether the key is there.
		pipe.Set(ctx, p.keys[1], p.set, tempTTL)
	}
	var got answers
	ask()
	got.reply = run(ctx, pipe, p.script, p.keys, p.args...)
	var early *earlyGet
	if p.life {
		ask()
		got.life = pipe.PTTL(ctx, p.keys[0])
	}
	if p.get {
		ask()
		got.body, early = p.pipeGet(ctx, pipe, got)
	}
	if p.check {
		got.check = run(ctx, pipe, s.scripts.epoch, []string{s.guardKey()}, s.guard.args()...)
	}
	if p.wait {
		got.acks = s.replicas.wait(ctx, pipe)
	}
	if early != nil {
		return s.execUntil(ctx, pipe, early, p, got)
	}
	if p.together {
		if err := s.lanes.exec(ctx, pipe, p.keys[0]); err != nil {
			return unsent(p, err)
		}
		return got
	}
	redisconn.Exec(ctx, pipe)
	return got
}

// pipeGet adds the GET to a pipeline. Nobody needs to hear of it early unless WAIT
// follows.
func (p packet) pipeGet(ctx context.Context, pipe redis.Pipeliner, got answers) (*redis.StringCmd, *earlyGet) {
	if !p.wait {
		return pipe.Get(ctx, p.keys[0]), nil
	}
	early := newEarlyGet(ctx, p.keys[0], got)
	_ = pipe.Process(ctx, early) // it only queues
	return early.StringCmd, early
}

// execUntil runs a pipeline and returns when all is answered, or as soon as the
// script and the GET are if no attempt was started: nobody needs to wait for
// replicas then. What is left of the answer is read in the background.
func (s *Store) execUntil(ctx context.Context, pipe redis.Pipeliner, early *earlyGet, p packet, got answers) answers {
	all := make(chan struct{})
	if !s.aside(func() {
		defer close(all)
		redisconn.Exec(ctx, pipe)
		if s.replicas.check(got.acks) != nil {
			s.lagging.Store(true)
		}
	}) {
		return unsent(p, redis.ErrClosed)
	}
	select {
	case first := <-early.settled:
		return first
	case <-all:
		return got
	}
}

// aside runs f on a goroutine that [Store.Close] waits for. It reports false if
// the store is closed.
func (s *Store) aside(f func()) bool {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed.Load() {
		return false
	}
	s.asides.Go(f)
	return true
}

// earlyGet is a GET behind a claim that tells when both have been answered and no
// attempt was started. The commands themselves belong to whoever runs the
// pipeline until that has returned, so it gives away copies.
type earlyGet struct {
	*redis.StringCmd
	claim   *redis.Cmd
	life    *redis.DurationCmd // nil if it was not asked for
	settled chan answers
}

func newEarlyGet(ctx context.Context, key string, before answers) *earlyGet {
	return &earlyGet{
		StringCmd: redis.NewStringCmd(ctx, "get", key),
		claim:     before.reply,
		life:      before.life,
		settled:   make(chan answers, 1),
	}
}

// SetErr is called when the reply has been read, by whoever runs the pipeline.
func (g *earlyGet) SetErr(err error) {
	g.StringCmd.SetErr(err)
	value, failed := g.claim.Result()
	if failed != nil || startsAttempt(value) || err != nil && !errors.Is(err, redis.Nil) {
		return
	}
	first := answers{reply: redis.NewCmdResult(value, nil), body: redis.NewStringResult(g.Val(), err)}
	if g.life != nil {
		first.life = redis.NewDurationResult(g.life.Result())
	}
	select {
	case g.settled <- first:
	default:
	}
}

// unsent are the answers to a packet that could not be sent.
func unsent(p packet, err error) answers {
	got := answers{reply: redis.NewCmdResult(nil, err)}
	if p.get {
		got.body = redis.NewStringResult("", err)
	}
	if p.check {
		got.check = redis.NewCmdResult(nil, err)
	}
	if p.wait {
		got.acks = redis.NewCmdResult(nil, err)
	}
	return got
}
