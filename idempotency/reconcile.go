package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/store"
)

// reconcilePause is how long an outcome stays unknown after nothing could be
// found out about it.
const reconcilePause = 30 * time.Second

// reconcile asks what became of the attempt before this one, under this one's
// claim. done is false if nothing became of it: then the handler is to run.
func (a *attempt) reconcile(ctx context.Context) (result Result, done bool, err error) {
	a.backoff = reconcilePause
	returned := false
	defer func() {
		if !returned { // runtime.Goexit
			_, _ = a.finish(ctx, a.failure())
		}
	}()
	finding, cause := a.find(ctx)
	returned = true
	switch finding.kind {
	case findingAnswer:
		result, err = a.adoptFinding(ctx, finding.answer)
		return result, true, err
	case findingNothing:
		a.backoff = 0
		return Result{}, false, nil
	case findingUnknown:
	}
	_, _ = a.finish(ctx, a.failure()) // what the store does not take goes on in the background
	return Result{}, true, a.refuse(ErrOutcomeUnknown, 0, cause)
}

// find calls the callback. A panic in it is contained: it belongs to another
// request's trouble, and this caller can be told as much as before.
func (a *attempt) find(ctx context.Context) (finding Finding, err error) {
	defer func() {
		if p := recover(); p != nil {
			finding, err = StillUnknown(), fmt.Errorf("reconcile panicked: %v", p)
		}
		if err != nil {
			finding = StillUnknown()
			a.guard.opts.logger.Warn("idempotency: an unknown outcome could not be reconciled",
				"operation", a.op.name, "id", a.id.Short(), "error", err)
		}
	}()
	finding, err = a.op.reconcile(ctx, Orphaned{
		Operation:   a.op.name,
		OperationID: a.id.String(),
		Scope:       a.call.Scope,
		Key:         a.call.Key,
		Marked:      a.reply.Marked,
	})
	if err == nil && finding.kind == findingAnswer {
		err = a.op.takes(finding.answer)
	}
	return finding, err
}

// adoptFinding records what the callback found, and replays it.
func (a *attempt) adoptFinding(ctx context.Context, answer store.Answer) (Result, error) {
	reply, err := a.finish(ctx, a.completion(answer, wishes{}))
	switch {
	case errors.Is(err, store.ErrInvalid):
		return Result{}, a.refuse(ErrOutcomeUnknown, 0, err)
	case err != nil:
		return Result{}, a.refuse(ErrStoreUnavailable, time.Second, err)
	case reply.Verdict != store.Done:
		return a.deposed(ctx)
	}
	return a.replay(store.Reply{
		Token: a.reply.Token, Attempt: a.reply.Attempt, Started: a.reply.Started,
		Answer: answer, Finished: reply.Now,
	})
}
