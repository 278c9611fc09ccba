package simulation

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// request is one call of Execute, as its caller sees it.
type request struct {
	key   int
	began time.Time
	era   int // of the store's memory when it began
	start *start
	// caller ends when the caller leaves.
	caller context.Context // it is judged, not passed on
}

// request sends one request and returns when it is answered, or when the
// process died.
func (p *process) request(key int, s script) {
	if p.isDead() {
		return
	}
	done := make(chan struct{})
	p.world.calls.Go(func() {
		defer close(done) // a handler may end its goroutine
		p.execute(key, s)
	})
	select {
	case <-done:
	case <-p.dead:
	}
}

// execute calls the engine and hands what it said to the judge. The caller of a
// dead process hears nothing.
func (p *process) execute(key int, s script) {
	w := p.world
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if s.hangUp > 0 {
		timer := time.AfterFunc(s.hangUp, func() {
			w.count(CallerLeft)
			cancel()
		})
		defer timer.Stop()
	}
	req := w.judge.request(key)
	req.caller = ctx
	returned := false
	defer func() {
		if !returned {
			_ = recover()
			w.judge.unanswered(p, req)
		}
	}()
	result, err := p.operation.Execute(ctx, w.call(key), func(ctx context.Context) idempotency.Answer {
		r := &run{process: p, script: s, ctx: ctx}
		r.start = w.judge.begin(p, req, ctx)
		return r.handle()
	})
	returned = true
	if !p.isDead() {
		w.judge.answered(p, req, result, err)
	}
}

func (w *world) call(key int) idempotency.Call {
	return idempotency.Call{
		Scope:       "scope",
		Key:         w.keys[key],
		Fingerprint: store.Fingerprint{Algorithm: "proof", Sum: [32]byte{byte(key)}},
	}
}
