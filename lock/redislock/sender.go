package redislock

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/internal/redisconn"
	"github.com/reprise-go/reprise/lock"
)

const (
	// mostFlights is how many round trips of claims and releases are under way at
	// once. Whoever comes then waits for the first of them to end, and shares the
	// next. Fewer would save more, but hold up callers whose server is far away.
	mostFlights = 4
	// mostShared is how many calls share a round trip at most.
	mostShared = 64
	// leastPatience is how long a call waits for its turn before it flies beside the
	// others, at least; else it is the part patience of its time left. Flights whose
	// connection is dead land only when their calls end.
	leastPatience = 10 * time.Millisecond
	patience      = 16
	// mostPatience is that of a call without a deadline.
	mostPatience = 250 * time.Millisecond
	// closeness is which part of the time left for a round trip those may have more
	// who share it.
	closeness = 8
)

var (
	errWaiting = errors.New("its turn did not come")
	errFlight  = errors.New("the client ended the goroutine that sent it")
)

// sender sends the scripts of claims and releases. A few go by themselves at once;
// beyond that, those that came meanwhile go together in one pipeline, sent by the
// first of them. So a call that is alone never waits, and many side by side cost
// client and server a fraction of their system calls.
//
//	enter ──a flight is free──▶ send ──▶ the first in the queue has the flight
//	  └─all under way──▶ queue ──has the flight──▶ send, and what is queued with it
//	                       ├──sent along by another──▶ told the answer
//	                       ├──its patience ends──▶ send, beside the flights
//	                       └──its context ends──▶ leave
type sender struct {
	rdb   redis.UniversalClient
	loads *atomic.Int64
	// alone says that nothing is shared: a cluster client splits a pipeline by node,
	// and a node that stands still would hold up the calls of the others.
	alone bool

	mu      sync.Mutex
	flights int
	queue   list.List // of *parcel, in the order of their arrival
}

// parcel is one call.
type parcel struct {
	ctx    context.Context //nolint:containedctx // another goroutine may send it
	script *redis.Script
	key    string
	args   []any

	told  chan event    // holds one
	place *list.Element // in the queue; nil once it has left
	value string
	err   error
}

// event is what a parcel in the queue is told.
type event uint8

const (
	answered event = iota + 1 // value and err are set
	yourTurn                  // it has a flight
)

func newSender(rdb redis.UniversalClient, loads *atomic.Int64) *sender {
	_, single := rdb.(*redis.Client)
	return &sender{rdb: rdb, loads: loads, alone: !single}
}

// run runs a script on one key and returns its answer, a text. An error that wraps
// [lock.ErrNotExecuted] means that it was not sent.
func (s *sender) run(ctx context.Context, sc *redis.Script, key string, args ...any) (string, error) {
	p := &parcel{ctx: ctx, script: sc, key: key, args: args}
	if s.alone {
		return s.runAlone(p)
	}
	if s.enter(p) {
		return s.fly(p)
	}
	return s.await(p)
}

// enter takes a flight if one is free, or else a place in the queue.
func (s *sender) enter(p *parcel) (flies bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights < mostFlights {
		s.flights++
		return true
	}
	p.told = make(chan event, 1)
	p.place = s.queue.PushBack(p)
	return false
}

// await waits in the queue, until p has a flight, or is answered, or its context
// ends. A parcel that left while another sends it is not read any more.
func (s *sender) await(p *parcel) (string, error) {
	overdue := time.NewTimer(patienceOf(p.ctx))
	defer overdue.Stop()
	for {
		select {
		case e := <-p.told:
			if e == answered {
				return p.value, p.err
			}
			return s.fly(p)
		case <-overdue.C:
			if s.withdraw(p) {
				return s.runAlone(p)
			}
			continue // it is being sent, or has its turn
		case <-p.ctx.Done():
		}
		break
	}
	if s.withdraw(p) {
		return "", unsent(p.ctx)
	}
	select {
	case e := <-p.told:
		if e == answered {
			return p.value, p.err
		}
		s.land()
		return "", unsent(p.ctx)
	default: // another has sent it
		return "", p.ctx.Err()
	}
}

func patienceOf(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return mostPatience
	}
	return max(leastPatience, time.Until(deadline)/patience)
}

func unsent(ctx context.Context) error {
	return fmt.Errorf("%w: %w: %w", errWaiting, ctx.Err(), lock.ErrNotExecuted)
}

func (s *sender) withdraw(p *parcel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.place == nil {
		return false
	}
	s.leave(p)
	return true
}

// leave takes a parcel out of the queue. Mu is held.
func (s *sender) leave(p *parcel) {
	s.queue.Remove(p.place)
	p.place = nil
}

// first returns who has waited longest, or nil. Mu is held.
func (s *sender) first() *parcel {
	front := s.queue.Front()
	if front == nil {
		return nil
	}
	p, _ := front.Value.(*parcel)
	return p
}

// land gives the flight to the first in the queue.
func (s *sender) land() {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.first()
	if next == nil {
		s.flights--
		return
	}
	s.leave(next)
	next.told <- yourTurn
}

// fly sends p, together with those in the queue for whom its deadline is about as
// good as theirs.
func (s *sender) fly(p *parcel) (string, error) {
	if p.ctx.Err() != nil {
		s.land()
		return "", unsent(p.ctx)
	}
	others := s.board(p)
	if len(others) == 0 {
		defer s.land() // also when the client panics
		return s.runAlone(p)
	}
	return s.share(append([]*parcel{p}, others...))
}

// share sends several in one round trip, on the flight of the first.
func (s *sender) share(shared []*parcel) (string, error) {
	first := shared[0]
	defer func() { // also when the client panics
		s.land()
		for _, other := range shared[1:] {
			other.told <- answered
		}
	}()
	ctx, cancel := deadlineOf(first.ctx) // the others do not care whether it is given up
	defer cancel()
	for i, cmd := range s.pipe(ctx, shared) {
		shared[i].value, shared[i].err = cmd.Text()
	}
	return first.value, first.err
}

// deadlineOf returns a context that ends with the deadline of another, if at all.
func deadlineOf(ctx context.Context) (context.Context, context.CancelFunc) {
	alone := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(alone, deadline)
	}
	return alone, func() {}
}

// board takes those out of the queue who go along.
func (s *sender) board(p *parcel) (others []*parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bound := flightEnd(p.ctx)
	for len(others) < mostShared-1 {
		next := s.first()
		if next == nil || !bound.suits(next.ctx) {
			break
		}
		s.leave(next)
		next.err = errFlight
		others = append(others, next)
	}
	return others
}

// ending is the deadline up to which a call may share a flight; zero is any.
type ending struct{ latest time.Time }

func flightEnd(ctx context.Context) ending {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ending{}
	}
	return ending{deadline.Add(time.Until(deadline) / closeness)}
}

// suits reports a call that loses no more than little of its time. One whose
// deadline comes earlier leaves by itself.
func (e ending) suits(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return e.latest.IsZero() || ok && !deadline.After(e.latest)
}

func (s *sender) runAlone(p *parcel) (string, error) {
	return redisconn.Run(p.ctx, s.rdb, s.loads, p.script, []string{p.key}, p.args...).Text()
}

// pipe sends many in one round trip; another follows if a script is not known.
func (s *sender) pipe(ctx context.Context, shared []*parcel) []*redis.Cmd {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(shared))
	for i, p := range shared {
		cmds[i] = p.script.EvalSha(ctx, pipe, []string{p.key}, p.args...)
	}
	redisconn.Exec(ctx, pipe)
	if slices.ContainsFunc(cmds, unknown) {
		s.loads.Add(1)
		s.pipeTexts(ctx, shared, cmds)
	}
	return cmds
}

// pipeTexts sends again what had an unknown script, the first time with its text.
func (s *sender) pipeTexts(ctx context.Context, shared []*parcel, cmds []*redis.Cmd) {
	pipe, sent := s.rdb.Pipeline(), make(map[*redis.Script]bool)
	for i, p := range shared {
		if !unknown(cmds[i]) {
			continue
		}
		run := p.script.EvalSha
		if !sent[p.script] {
			run = p.script.Eval
		}
		sent[p.script] = true
		cmds[i] = run(ctx, pipe, []string{p.key}, p.args...)
	}
	redisconn.Exec(ctx, pipe)
}

func unknown(cmd *redis.Cmd) bool { return redisconn.NoScript(cmd.Err()) }
