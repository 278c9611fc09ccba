package bubble

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// ending is how a handler means to end. Its letter begins the answer's body.
type ending byte

const (
	succeeds ending = 's' // has its effect and answers
	declines ending = 'd' // a final answer without an effect
	fails    ending = 'f' // a status that is not recorded, before any effect
	releases ending = 'r' // says in so many words that nothing happened
	wavers   ending = 'w' // has its effect and cannot say whether
	panics   ending = 'p'
)

// script is what a handler is going to do.
type script struct {
	dice
	ending      ending
	work, after time.Duration // before and after the effect
	marks       bool
	deaf        bool // does not look at its context
	early       bool // a panic comes before the effect
	large       bool
	hangUp      time.Duration // when the client leaves, if it does
}

// call is one request of a client.
type call struct {
	number, key int
	// variant is what the request says: another one is another request.
	variant int
	script  script
}

func (w *world) newCall(key int, rng dice) *call {
	lease := w.plan.lease
	longest := [...]time.Duration{lease / 10, lease / 10, lease, 3 * lease, 5 * lease}[rng.IntN(5)]
	s := script{
		dice: rng,
		ending: [...]ending{
			succeeds, succeeds, succeeds, succeeds, succeeds, declines, declines, declines, fails, releases, wavers, panics,
		}[rng.IntN(12)],
		work:  rng.between(0, longest),
		after: rng.between(0, lease/2),
		marks: w.plan.orphan == idempotency.OrphanRerunUnmarked || rng.IntN(3) == 0,
		deaf:  rng.IntN(3) == 0,
		early: rng.IntN(2) == 0,
		large: rng.IntN(6) == 0,
	}
	if s.ending == wavers {
		s.marks = true // else a status that is not recorded says that nothing happened
	}
	if rng.IntN(7) == 0 {
		s.hangUp = rng.between(0, 2*lease)
	}
	c := &call{key: key, script: s}
	if rng.IntN(12) == 0 {
		c.variant = 1
	}
	return w.register(c)
}

// honestCall is one that has its effect where an attempt may start; where the
// outcome of an earlier one is unknown, its handler declines.
func (w *world) honestCall(key int) *call {
	return w.register(&call{key: key, script: script{
		dice: newDice(w.seed, "audit", key), ending: succeeds,
		work: time.Millisecond, after: time.Millisecond, marks: true,
	}})
}

func (w *world) register(c *call) *call {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.number = len(w.calls)
	w.calls = append(w.calls, c)
	return c
}

func (w *world) call(number int) *call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[number]
}

// answer is what a handler answers, whatever the transport.
type answer struct {
	ending ending
	body   string
}

// run is one start of a handler.
type run struct {
	*process
	ctx    context.Context
	script script
	call   *call
	start  *start
}

// handle runs the handler of a call.
func (p *process) handle(ctx context.Context, c *call) answer {
	p.world.runs.Add(1)
	defer p.world.runs.Done()
	r := &run{process: p, ctx: ctx, script: c.script, call: c}
	r.start = p.world.judge.begin(p, c, ctx)
	if r.start.tookOver && p.orphan == idempotency.OrphanRerun {
		r.script.ending = declines
	}
	return r.handle()
}

// handle is honest: it says that nothing happened only if that is so, and where a
// run may be repeated, it marks before its effect.
func (r *run) handle() answer {
	s := r.script
	if !r.work(s.work) {
		return r.giveUp()
	}
	switch {
	case s.ending == declines:
		return r.answer(declines)
	case s.ending == fails:
		r.world.count(HandlerFailed)
		return r.giveUp()
	case s.ending == panics && s.early:
		r.world.count(HandlerPanicked)
		panic(errPanic)
	}
	if s.marks && !r.mark() {
		return r.giveUp()
	}
	if s.ending == releases {
		return r.release()
	}
	r.effect()
	r.work(s.after)
	switch s.ending {
	case wavers:
		r.world.count(HandlerUnknown)
		return r.answer(wavers)
	case panics:
		r.world.count(HandlerPanicked)
		panic(errPanic)
	}
	return r.answer(succeeds)
}

// errPanic is what handlers panic with.
var errPanic = errors.New("a handler's panic")

// work takes time. False means that the context ended, and that the handler heeds
// it.
func (r *run) work(d time.Duration) bool {
	ended := r.ctx.Done()
	if r.script.deaf {
		ended = nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		r.world.judge.relies(r.start, r.ctx)
		r.step()
		if r.script.deaf && r.ctx.Err() != nil {
			r.world.count(HandlerDeaf)
		}
		return true
	case <-ended:
		r.step()
		return false
	}
}

// step is where a process stands still or dies while its handler runs.
func (r *run) step() {
	intensity := r.world.plan.intensity
	if r.chance(intensity) {
		r.stall(StallInHandler, r.script.between(r.world.plan.lease/4, 3*r.world.plan.lease))
	}
	kind, chance := CrashInHandler, intensity/2
	if r.start.effect {
		kind, chance = CrashAfterEffect, intensity
	}
	if r.chance(chance) {
		r.crash(kind)
	}
	r.live()
}

func (r *run) chance(p float64) bool { return !r.world.isCalm() && r.script.chance(p) }

// live waits until the process does not stand still, and does not return in a dead
// one.
func (r *run) live() {
	if !r.pass() {
		<-r.world.over
		runtime.Goexit()
	}
}

func (r *run) mark() bool {
	err := idempotency.MarkEffect(r.ctx)
	r.live()
	if err != nil {
		r.world.count(MarkRefused)
		r.world.note(r.process, "start %d: mark refused: %v", r.start.number, err)
		return false
	}
	return true
}

func (r *run) effect() {
	r.live()
	r.world.judge.relies(r.start, r.ctx)
	r.world.judge.effect(r.process, r.start)
}

func (r *run) release() answer {
	r.world.count(HandlerReleased)
	r.world.judge.nothing(r.start)
	idempotency.Release(r.ctx)
	return r.answer(releases)
}

// giveUp is the answer of a handler that did nothing and will not.
func (r *run) giveUp() answer {
	if r.script.early {
		return r.release()
	}
	r.world.judge.nothing(r.start)
	return r.answer(fails)
}

// padding makes an answer large enough for a key of its own.
const padding = 5 << 10

// answer carries start, key and variant in its body, so that they are known
// wherever it turns up.
func (r *run) answer(e ending) answer {
	body := fmt.Sprintf("%c%d key %d variant %d", e, r.start.number, r.call.key, r.call.variant)
	if r.script.large {
		r.world.count(LargeAnswer)
		body += strings.Repeat(" ", padding)
	}
	return answer{ending: e, body: body}
}
