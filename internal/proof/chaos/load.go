package chaos

import (
	"context"
	"errors"
	"time"
)

const (
	// limit is how long a request may take: longer than anything that befalls a
	// server, with all that its requests wait for after it.
	limit = 30 * time.Second
	// insistence is how long a client goes on asking before it leaves the rest to
	// the audit.
	insistence = 4 * time.Second
	// busy is how many keys are under way at most, and room how many requests are
	// at one server. A server that is killed leaves as many outcomes unknown as it
	// has requests running; with more room that would be the machine's choice.
	busy, room = 100, 6
	// auditWithin bounds the questions after the faults, also when nothing answers
	// any more. Keys that are not reached then are a violation.
	auditWithin = 2 * time.Minute
	// backlog is how much of what has not begun in time may begin at once.
	backlog = 50 * time.Millisecond
	// hangUps is the share of requests whose client leaves early.
	hangUps = 0.06
)

// load begins one key after the other, for as long as there are faults, and
// leaves the clients to their generations.
func (r *run) load(over <-chan struct{}) {
	places := make(chan struct{}, busy)
	pace := r.cfg.Duration / time.Duration(r.cfg.Keys)
	next := r.since()
	for i := 0; r.sleepUntil(next, over); i++ {
		select {
		case places <- struct{}{}:
		case <-over:
			continue
		}
		// What an outage has kept from beginning does not begin all at once after it.
		next = max(next+pace, r.since()-backlog)
		r.begin(newOrder(r.cfg.Seed, i), func(s *Story, g *generation) {
			defer func() { <-places }()
			r.serve(s, g)
		})
	}
}

// serve sends all copies of an order, each by a client of its own.
func (r *run) serve(s *Story, g *generation) {
	for i := 1; i < s.Order.copies; i++ {
		d := newDice(r.cfg.Seed, clientDice, uint64(s.Order.Number)<<8|uint64(i))
		g.clients.Go(func() {
			if r.sleepUntil(r.since()+d.between(0, 30*time.Millisecond), g.over) {
				r.insist(s, Copy, d, g.over)
			}
		})
	}
	r.insist(s, First, newDice(r.cfg.Seed, clientDice, uint64(s.Order.Number)<<8), g.over)
}

// insist asks until there is an answer to be content with.
func (r *run) insist(s *Story, purpose Purpose, d dice, over <-chan struct{}) {
	began := r.since()
	pause := 20 * time.Millisecond
	for r.since()-began < insistence {
		a := r.ask(s, purpose, d)
		if a.Final() {
			r.askAgain(s, d, over)
			return
		}
		if a.Code == "outcome_unknown" && d.chance(0.7) {
			return
		}
		if !r.sleepUntil(r.since()+d.between(pause/2, pause), over) {
			return
		}
		purpose, pause = Retry, min(2*pause, 800*time.Millisecond)
	}
}

// askAgain is for those who forget that they have been told.
func (r *run) askAgain(s *Story, d dice, over <-chan struct{}) {
	for d.chance(0.3) && r.sleepUntil(r.since()+d.between(0, time.Second), over) {
		r.ask(s, Again, d)
	}
}

// enter draws a server that has room for one more request, or waits until one
// has. The caller leaves it.
func (r *run) enter(d dice) *server {
	order := d.Perm(len(r.servers))
	for _, i := range order {
		select {
		case r.servers[i].room <- struct{}{}:
			return r.servers[i]
		default:
		}
	}
	s := r.servers[order[0]]
	s.room <- struct{}{}
	return s
}

// ask sends one request to a server at random.
func (r *run) ask(s *Story, purpose Purpose, d dice) Answer {
	server := r.enter(d)
	defer func() { <-server.room }()
	to := server.now()
	patience := limit
	hurried := purpose != Audit && purpose != Quarantine && r.cfg.has(HangUp) && d.chance(hangUps)
	if hurried {
		patience = d.between(time.Millisecond, 150*time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	req := Request{Purpose: purpose, Server: server.number, PID: to.process.PID(), Began: r.since()}
	req.Answer = send(ctx, r.client, to, s.Order)
	req.Ended = r.since()
	if !req.Answer.came() && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		req.Answer.Code = codeOverran
		if hurried {
			req.Answer.Code = codeHungUp
			r.count(HangUp, 1)
		}
	}
	s.add(req)
	return req.Answer
}

// audit asks for every key once the faults have stopped, and what they have left
// behind has lapsed.
func (r *run) audit(stories []*Story) {
	if len(r.cfg.Faults) > 0 && !r.sleep(2*r.cfg.Lease) {
		return
	}
	end := r.since() + auditWithin
	r.askAll(stories, func(s *Story, d dice) {
		if r.since() < end && !r.t.Failed() {
			r.auditKey(s, d)
		}
	})
}

func (r *run) auditKey(s *Story, d dice) {
	for began := r.since(); r.since()-began < limit; {
		a := r.ask(s, Audit, d)
		if a.Final() || a.Code == "outcome_unknown" || !r.sleep(100*time.Millisecond) {
			return
		}
	}
}
