package simulation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// process is a client process: a guard, and its line to the store. A process
// that stands still sends nothing, hears nothing and runs no handler, while the
// time goes on. A dead one does so for ever. The engine's own goroutines cannot
// be stopped from outside; whatever they do meanwhile, nobody hears of it.
type process struct {
	world     *world
	number    int
	orphan    idempotency.Orphan
	guard     *idempotency.Guard
	operation *idempotency.Operation

	mu      sync.Mutex
	dead    chan struct{}
	resumes time.Time // when it stands still until
}

var (
	errSilence = fmt.Errorf("%w: no answer in time", store.ErrUnavailable)
	errReset   = fmt.Errorf("%w: connection reset", store.ErrUnavailable)

	errNotExecuted = fmt.Errorf("%w: %w", store.ErrUnavailable, store.ErrNotExecuted)
)

// Apply implements [store.Store].
func (p *process) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	if err := store.Validate(event); err != nil {
		p.world.judge.violate(ValidEvents, "%v", err)
		return store.Reply{}, err
	}
	owner, _ := sender(event)
	p.world.judge.asks(event)
	reply, err := send(ctx, p, owner, event.Name(), func() store.Reply {
		return p.world.db.execute(p, id, event)
	})
	if err != nil {
		p.world.judge.unheard(event)
		return store.Reply{}, err
	}
	p.world.judge.delivered(p, id, event, reply)
	return reply, nil
}

// Renew implements [store.Store].
func (p *process) Renew(ctx context.Context, renewals []store.Renewal) []store.RenewResult {
	results, err := send(ctx, p, renewals[0].Owner, "renew", func() []store.RenewResult {
		results := make([]store.RenewResult, len(renewals))
		for i, r := range renewals {
			results[i].Reply = p.world.db.execute(p, r.ID, r.Renew)
		}
		return results
	})
	if err == nil {
		p.world.count(Renewed)
		return results
	}
	results = make([]store.RenewResult, len(renewals))
	for i := range results {
		results[i].Err = err
	}
	return results
}

// lookingUp stands in for the owner that a look does not have.
var lookingUp = store.Owner{1} //nolint:gochecknoglobals // a constant

// Lookup implements [store.Store].
func (p *process) Lookup(ctx context.Context, id store.ID) (store.Record, error) {
	return send(ctx, p, lookingUp, "lookup", func() store.Record { return p.world.db.lookup(id) })
}

// send carries one request to the store and its answer back, or not.
func send[T any](ctx context.Context, p *process, owner store.Owner, name string, execute func() T) (T, error) {
	var none T
	w := p.world
	f := w.drawFate(owner, name)
	p.depart(f, name)
	if p.isDead() {
		return none, p.silence(ctx, f)
	}
	if f.kind == LostRequest || f.kind == NotExecuted {
		return none, p.loss(ctx, f, name)
	}
	if misses(ctx, f.out) {
		w.count(LatePacket)
		w.note(p, -1, "late packet", name, "")
		w.later(f.out, func() { execute() })
		return none, p.silence(ctx, f)
	}
	time.Sleep(f.out)
	answer := execute()
	switch f.kind {
	case CrashAfterExecution:
		p.crash(f.kind, name)
		return none, p.silence(ctx, f)
	case LostReply:
		return none, p.loss(ctx, f, name)
	case RepeatedLate:
		w.count(RepeatedLate)
		w.later(f.extra, func() { execute() })
	case RepeatedNow:
		w.count(RepeatedNow)
		time.Sleep(f.extra)
		answer = execute()
	}
	if misses(ctx, f.back) {
		return none, p.silence(ctx, f)
	}
	time.Sleep(f.back)
	p.arrive(f, name)
	if p.isDead() {
		return none, p.silence(ctx, f)
	}
	return answer, nil
}

// misses reports whether the caller will have given up by then.
func misses(ctx context.Context, after time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Add(after).Before(deadline)
}

func (p *process) depart(f fate, name string) {
	switch f.kind {
	case StallBeforeSend:
		p.stall(f.dice, f.kind, f.extra, name)
	case CrashBeforeSend:
		p.crash(f.kind, name)
	}
	p.pass(f.dice)
}

// arrive reads the reply. A process that stood still reads what its socket
// holds, however long ago its patience ended.
func (p *process) arrive(f fate, name string) {
	switch f.kind {
	case StallAfterReply:
		p.stall(f.dice, f.kind, f.extra, name)
	case SlowReply:
		p.world.count(SlowReply)
	}
	p.pass(f.dice)
}

func (p *process) loss(ctx context.Context, f fate, name string) error {
	p.world.count(f.kind)
	p.world.note(p, -1, f.kind.String(), name, "")
	if f.kind != NotExecuted && !f.quick || misses(ctx, f.back) {
		return p.silence(ctx, f)
	}
	time.Sleep(f.back)
	p.pass(f.dice)
	if f.kind == NotExecuted {
		return errNotExecuted
	}
	return errReset
}

// silence lasts as long as the caller's patience.
func (p *process) silence(ctx context.Context, f fate) error {
	select {
	case <-ctx.Done():
	case <-p.world.over:
		return errSilence
	}
	time.Sleep(f.dice.moment())
	p.pass(f.dice)
	return errSilence
}

// stall lets the whole process stand still.
func (p *process) stall(rng dice, kind Kind, d time.Duration, where string) {
	p.world.count(kind)
	p.world.note(p, -1, kind.String(), where, d.String())
	p.mu.Lock()
	if until := time.Now().Add(d); until.After(p.resumes) {
		p.resumes = until
	}
	p.mu.Unlock()
	p.pass(rng)
}

// pass returns when the process does not stand still.
func (p *process) pass(rng dice) {
	for {
		p.mu.Lock()
		wait := time.Until(p.resumes)
		p.mu.Unlock()
		if wait <= 0 {
			return
		}
		time.Sleep(wait + rng.moment())
	}
}

func (p *process) crash(kind Kind, where string) {
	if p.isDead() {
		return
	}
	p.world.count(kind)
	p.world.note(p, -1, kind.String(), where, "")
	p.die()
}

func (p *process) die() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.dead:
	default:
		close(p.dead)
	}
}

func (p *process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}
