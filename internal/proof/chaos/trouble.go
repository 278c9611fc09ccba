package chaos

import (
	"slices"
	"time"

	"github.com/reprise-go/reprise/internal/faultproxy"
)

// Shares of all commands whose reply gets lost or cut.
const (
	lostShare = 0.03
	cutShare  = 0.015
)

// troubles has all faults happen, and returns when they have stopped.
func (r *run) troubles() {
	stop := r.disturbLines()
	defer stop()
	for _, lane := range r.cfg.Plan() {
		r.faulty.Go(func() { r.play(lane) })
	}
	r.faulty.Wait()
}

// play has faults happen in their order. Those that take longer than their share
// of the run delay the others.
func (r *run) play(lane []Stroke) {
	for _, s := range lane {
		if !r.await(s.At) {
			return
		}
		r.befall(s)
	}
	r.await(1)
}

// mostTime is how many times longer than planned a run may take.
const mostTime = 20

// await waits until a share of all keys has begun. It reports whether that came
// before the run's end, which a failure of the machinery is as well.
func (r *run) await(share float64) bool {
	for float64(r.begun.Load()) < share*float64(r.cfg.Keys) {
		if r.t.Failed() || r.since() > mostTime*r.cfg.Duration || !r.sleep(2*time.Millisecond) {
			return false
		}
	}
	return true
}

func (r *run) befall(s Stroke) {
	d := newDice(s.Seed, strokeDice, 0)
	switch {
	case s.Fault == MemoryLoss:
		r.loseMemory(s, d)
	case slices.Contains(redisFaults(), s.Fault):
		trouble := Trouble{Fault: s.Fault, Server: -1, Began: r.since()}
		r.redis.suffer(s.Fault, d)
		r.happened(trouble)
	default:
		r.befallServer(s, d)
	}
}

func (r *run) befallServer(s Stroke, d dice) {
	server := r.pick(d)
	defer server.inTrouble.Unlock()
	trouble := Trouble{Fault: s.Fault, Server: server.number, PID: server.now().process.PID(), Began: r.since()}
	if server.suffer(s, d, r.cfg.Lease) {
		r.happened(trouble)
	}
}

// pick draws a server that is not in trouble, or waits until one is not. The
// caller unlocks it.
func (r *run) pick(d dice) *server {
	order := d.Perm(len(r.servers))
	for _, i := range order {
		if r.servers[i].inTrouble.TryLock() {
			return r.servers[i]
		}
	}
	s := r.servers[order[0]]
	s.inTrouble.Lock()
	return s
}

func (r *run) happened(trouble Trouble) {
	trouble.Ended = r.since()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Troubles = append(r.history.Troubles, trouble)
	r.counts[trouble.Fault]++
}

// disturbLines has replies lost and cut, and returns what ends and counts that.
func (r *run) disturbLines() (stop func()) {
	type disturbance struct {
		fault Fault
		on    *faultproxy.Fault
	}
	var all []disturbance
	for i, s := range r.servers {
		seed := newDice(r.cfg.Seed, lineDice, uint64(i)).Uint64()
		if r.cfg.has(LostReply) {
			all = append(all, disturbance{LostReply, s.line.LoseReplies("evalsha", lostShare, seed)})
		}
		if r.cfg.has(CutReply) {
			all = append(all, disturbance{CutReply, s.line.CutReplies("evalsha", cutShare, seed+1)})
		}
	}
	return func() {
		for _, d := range all {
			d.on.Disarm()
			r.count(d.fault, d.on.Fired())
		}
	}
}
