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

// deck draws the order in which faults come: each as often as the run's size
// demands.
func deck(cfg *Config, faults []Fault, d dice) []Fault {
	var all []Fault
	for _, f := range faults {
		for range cfg.times(f) {
			all = append(all, f)
		}
	}
	d.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	return all
}

// troubles starts all faults, and returns when they have stopped. While one server
// at a time is out, another is killed or Redis has troubles of its own. With more
// at once hardly a request would get as far as the moments that matter, and a
// server that is killed while Redis stands still takes too many claims with it.
func (r *run) troubles() {
	stop := r.disturbLines()
	defer stop()
	for i, lane := range [...][]Fault{outages(), append(kills(), redisFaults()...)} {
		d := newDice(r.cfg.Seed, laneDice, uint64(i))
		r.faulty.Go(func() {
			r.play(deck(&r.cfg, lane, d), d, func(f Fault) { r.befall(f, d) })
		})
	}
	r.faulty.Wait()
}

// play has faults happen in their order, spread over the run. Those that take
// longer than their share of it delay the others.
func (r *run) play(hand []Fault, d dice, do func(Fault)) {
	for i, f := range hand {
		if !r.await((float64(i) + d.Float64()) / float64(len(hand))) {
			return
		}
		do(f)
	}
	r.await(1)
}

// mostTime is how many times longer than planned a run may take.
const mostTime = 6

// await waits until a share of all keys has begun. It reports whether that came
// before the run's end.
func (r *run) await(share float64) bool {
	for float64(r.begun.Load()) < share*float64(r.cfg.Keys) {
		if r.since() > mostTime*r.cfg.Duration || !r.sleep(2*time.Millisecond) {
			return false
		}
	}
	return true
}

func (r *run) befall(f Fault, d dice) {
	if slices.Contains(redisFaults(), f) {
		r.befallRedis(f, d)
		return
	}
	s := r.pick(d)
	defer s.inTrouble.Unlock()
	trouble := Trouble{Fault: f, Server: s.number, PID: s.now().process.PID(), Began: r.since()}
	if s.suffer(f, r.aim(f), d, r.cfg.Lease) {
		r.happened(trouble)
	}
}

// aim is where to kill this time.
func (r *run) aim(f Fault) aim {
	r.mu.Lock()
	defer r.mu.Unlock()
	return nextAim(r.counts[f])
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

func (r *run) befallRedis(f Fault, d dice) {
	trouble := Trouble{Fault: f, Server: -1, Began: r.since()}
	switch f {
	case RedisPause:
		r.redis.Pause()
		time.Sleep(redisPause(d, r.cfg.Lease))
		r.redis.Resume()
	case RedisKill:
		r.redis.Kill()
		time.Sleep(d.between(0, r.cfg.Lease/2))
		r.redis.Restart()
	case ScriptFlush:
		r.redis.ScriptFlush()
	}
	r.happened(trouble)
}

// redisPause draws how long Redis stands still: now and then longer than a
// lease. Claims of that time are executed when it goes on; those of a server
// that is killed meanwhile leave unknown outcomes, so most pauses are short.
func redisPause(d dice, lease time.Duration) time.Duration {
	if d.chance(0.25) {
		return beyond(d, lease)
	}
	return d.between(lease/5, lease*6/10)
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
