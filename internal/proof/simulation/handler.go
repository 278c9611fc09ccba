package simulation

import (
	"context"
	"runtime"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// ending is how a handler means to end.
type ending uint8

const (
	succeeds ending = iota // has its effect and answers
	declines               // a final answer without an effect
	fails                  // not recorded, before any effect
	releases               // says that nothing happened
	wavers                 // has its effect and cannot say whether
	panics
	exits
)

// script is what a handler is going to do.
type script struct {
	ending      ending
	work, after time.Duration // before and after the effect
	marks       bool
	deaf        bool // does not look at its context
	early       bool // panics and exits come before the effect
	hangUp      time.Duration
	dice        dice
}

func (w *world) drawScript(rng dice) script {
	lease := int64(w.plan.lease)
	span := [...]int64{lease / 10, lease / 10, lease, 3 * lease, 5 * lease}[rng.IntN(5)]
	s := script{
		ending: [...]ending{
			succeeds, succeeds, succeeds, succeeds, succeeds, succeeds,
			declines, fails, releases, wavers, panics, exits,
		}[rng.IntN(12)],
		work:  time.Duration(1 + rng.Int64N(span)),
		after: time.Duration(1 + rng.Int64N(lease/2)),
		marks: w.plan.orphan == idempotency.OrphanRerunUnmarked || rng.IntN(3) == 0,
		deaf:  rng.IntN(4) == 0,
		early: rng.IntN(2) == 0,
		dice:  newDice(w.seed, scriptDice, rng.Uint64()>>8),
	}
	if rng.IntN(6) == 0 {
		s.hangUp = time.Duration(1 + rng.Int64N(2*lease))
		if rng.IntN(8) == 0 { // before the claim is answered
			s.hangUp = time.Duration(1 + rng.Int64N(int64(time.Millisecond)))
		}
	}
	return s
}

// run is one start of a handler.
type run struct {
	*process
	script script
	start  *start
	ctx    context.Context
	cut    bool // saw its context's end
}

// handle is the handler. It is honest: it says that nothing happened only if
// that is so, and where a run may be repeated, it marks before its effect.
func (r *run) handle() idempotency.Answer {
	s := r.script
	if !r.work(s.work) {
		return r.giveUp()
	}
	switch {
	case s.ending == declines:
		return r.final('d')
	case s.ending == fails:
		r.count(HandlerFailed)
		return r.unfinished(idempotency.ClassRelease)
	case s.early && s.ending == panics:
		r.count(HandlerPanicked)
		panic(r.start)
	case s.early && s.ending == exits:
		r.count(HandlerExited)
		runtime.Goexit()
	}
	if s.marks && !r.mark() {
		return r.giveUp()
	}
	if s.ending == releases {
		r.count(HandlerReleased)
		r.world.judge.nothing(r.start)
		idempotency.Release(r.ctx)
		return r.final('x')
	}
	r.effect()
	r.work(s.after)
	switch s.ending {
	case wavers:
		r.count(HandlerUnknown)
		if r.start.marked && s.early {
			return r.unfinished(idempotency.ClassRelease) // the mark says what that means
		}
		return r.unfinished(idempotency.ClassUnknown)
	case panics:
		r.count(HandlerPanicked)
		panic(r.start)
	case exits:
		r.count(HandlerExited)
		runtime.Goexit()
	}
	return r.final('s')
}

// work takes time. False means that the context ended, and that the handler
// heeds it.
func (r *run) work(d time.Duration) bool {
	if r.script.deaf {
		time.Sleep(d)
		r.world.judge.relies(r.start, r.ctx)
		if r.ctx.Err() != nil && !r.cut {
			r.cut = true
			r.count(HandlerDeaf)
		}
		return r.step()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		r.world.judge.relies(r.start, r.ctx)
		return r.step()
	case <-r.ctx.Done():
		time.Sleep(r.script.dice.moment())
		r.step()
		return false
	}
}

// step is where a process stands still or dies while its handler runs.
func (r *run) step() bool {
	if r.chance(r.world.plan.intensity / 4) {
		r.stall(r.script.dice, StallInHandler, r.pause(), "")
	}
	if r.chance(r.world.plan.intensity / 8) {
		kind := CrashInHandler
		if r.start.effect {
			kind = CrashAfterEffect
		}
		r.crash(kind, "")
	}
	r.pass(r.script.dice)
	r.live()
	return true
}

// chance says whether a fault comes now, at a share of the world's intensity.
func (r *run) chance(p float64) bool {
	return r.script.dice.chance(p) && !r.world.isCalm()
}

func (r *run) pause() time.Duration {
	return r.script.dice.between(r.world.plan.lease/4, 3*r.world.plan.lease)
}

// live does not return in a dead process.
func (r *run) live() {
	if r.isDead() {
		<-r.world.over
		runtime.Goexit()
	}
}

func (r *run) mark() bool {
	err := idempotency.MarkEffect(r.ctx)
	r.pass(r.script.dice)
	r.live()
	if err != nil {
		r.count(MarkRefused)
		r.world.note(r.process, r.start.key, "mark refused", "", err.Error())
		return false
	}
	r.start.marked = true
	return true
}

func (r *run) effect() {
	if r.chance(r.world.plan.intensity / 4) {
		r.stall(r.script.dice, StallBeforeEffect, r.pause(), "")
	}
	r.pass(r.script.dice)
	r.live()
	r.world.judge.relies(r.start, r.ctx)
	r.world.judge.effect(r.start)
}

// giveUp is the answer of a handler that did nothing and will not.
func (r *run) giveUp() idempotency.Answer { return r.unfinished(idempotency.ClassRelease) }

func (r *run) unfinished(class idempotency.Class) idempotency.Answer {
	if class == idempotency.ClassRelease && !r.start.marked && r.ctx.Err() == nil {
		r.world.judge.nothing(r.start)
	}
	return r.answer(class, 'x')
}

func (r *run) final(mark byte) idempotency.Answer {
	return r.answer(idempotency.ClassRecord, mark)
}

// answer carries the number of the start in its body, so that it is known
// wherever it turns up.
func (r *run) answer(class idempotency.Class, mark byte) idempotency.Answer {
	body := strconv.AppendInt([]byte{mark}, int64(r.start.number), 10)
	return idempotency.Answer{Class: class, Answer: store.Answer{Codec: "proof", Body: body}}
}

func (r *run) count(k Kind) { r.world.count(k) }
