package chaos

import (
	"slices"
	"sync"
	"sync/atomic"
)

// generation is the keys that began between one loss of Redis' memory and the
// next. When the new memory is blessed, nobody asks for the old keys any more:
// that is what a guard against memory loss demands of clients, whose keys nobody
// remembers.
type generation struct {
	first   int            // the number of its first key
	over    chan struct{}  // closed when its clients are to leave
	clients sync.WaitGroup // who send requests
}

func newGeneration(first int) *generation {
	return &generation{first: first, over: make(chan struct{})}
}

// end has the clients leave, and returns when they have.
func (g *generation) end() {
	close(g.over)
	g.clients.Wait()
}

// begin enters a new order into the present generation, and has its clients sent
// out.
func (r *run) begin(o Order, send func(*Story, *generation)) {
	s := &Story{Order: o}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Stories = append(r.history.Stories, s)
	g := r.present
	g.clients.Go(func() { send(s, g) })
	r.begun.Add(1)
}

// succeed begins a new generation, and returns the one before with its stories.
func (r *run) succeed() (old *generation, stories []*Story) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old = r.present
	r.present = newGeneration(len(r.history.Stories))
	return old, r.history.Stories[old.first:]
}

// loseMemory has Redis forget everything while clients go on asking. Then those who
// have asked before leave, all that they have begun comes to its end, and the new
// memory is blessed.
func (r *run) loseMemory(s Stroke, d dice) {
	unlock := r.lockServers()
	defer unlock()
	trouble := Trouble{Fault: MemoryLoss, Server: -1, Began: r.since()}
	r.redis.lose(s.Number)
	old, stories := r.succeed()
	r.sleep(d.between(r.cfg.Lease/2, r.cfg.Lease))
	old.end()
	r.askAll(sample(stories, d), func(s *Story, d dice) { r.ask(s, Quarantine, d) })
	for _, s := range stories {
		s.GivenUp = true
	}
	r.replaceServers()
	r.redis.bless()
	r.happened(trouble)
}

// sample draws some stories.
func sample(stories []*Story, d dice) []*Story {
	const most = 300
	drawn := slices.Clone(stories)
	d.Shuffle(len(drawn), func(i, k int) { drawn[i], drawn[k] = drawn[k], drawn[i] })
	return drawn[:min(most, len(drawn))]
}

// lockServers keeps all other troubles away from the servers.
func (r *run) lockServers() (unlock func()) {
	for _, s := range r.servers {
		s.inTrouble.Lock()
	}
	return func() {
		for _, s := range r.servers {
			s.inTrouble.Unlock()
		}
	}
}

// replaceServers drains all servers, so that nothing is left of what was begun.
func (r *run) replaceServers() {
	var draining sync.WaitGroup
	for _, s := range r.servers {
		draining.Go(func() {
			s.noteEnd()
			s.drain()
		})
	}
	draining.Wait()
}

// askers is how many ask for all keys at the same time.
const askers = 16

// askAll has every story's key asked for once.
func (r *run) askAll(stories []*Story, ask func(*Story, dice)) {
	var next atomic.Int64
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(stories)); i = next.Add(1) - 1 {
				ask(stories[i], newDice(r.cfg.Seed, auditDice, uint64(stories[i].Order.Number)))
			}
		})
	}
	asking.Wait()
}
