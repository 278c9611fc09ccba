package idempotency_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestFinishedIsCalledOnceForEveryExecution_X6(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t)
		p.node.next("claim", slow(100*time.Millisecond))
		_, err := op.Execute(t.Context(), call("k"), takes(time.Second, "a"))
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		other := call("k")
		other.Fingerprint = fingerprint("other")
		_, err = op.Execute(t.Context(), other, forbidden(t))
		refusal(t, err, idempotency.ErrKeyReused)
		_, err = op.Execute(t.Context(), idempotency.Call{Key: "k"}, forbidden(t))
		refusal(t, err, idempotency.ErrScopeMissing)
		p.node.next("claim", unreadable)
		_, err = op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrRecordUnreadable)

		id, _ := p.node.backend.only(t)
		finished := p.trace.allFinished()
		require.Len(t, finished, 5)
		require.ErrorIs(t, finished[4].Err, store.ErrUnreadable)
		finished[4].Err = nil
		assert.Equal(t, []idempotency.Finished{
			{
				Operation: "pay", ID: id.Short(), Outcome: idempotency.Executed, Ending: "complete", Recorded: true,
				Attempt: 1, Duration: 1100 * time.Millisecond, Store: 100 * time.Millisecond,
			},
			{Operation: "pay", ID: id.Short(), Outcome: idempotency.Replayed, Recorded: true, Attempt: 1},
			{Operation: "pay", ID: id.Short(), Code: idempotency.ErrKeyReused},
			{Operation: "pay", Code: idempotency.ErrScopeMissing},
			{Operation: "pay", ID: id.Short(), Code: idempotency.ErrRecordUnreadable},
		}, finished)
		assert.Empty(t, p.log.String(), "nothing is logged for what goes well")
	})
}

func TestFinishedTellsTheEnding(t *testing.T) {
	t.Parallel()
	tests := map[idempotency.Class]string{
		idempotency.ClassRecord:  "complete",
		idempotency.ClassRelease: "release",
		idempotency.ClassUnknown: "fail",
	}
	for class, want := range tests {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				_, err := p.operation(t).Execute(t.Context(), call("k"), gives(answer(class, "a")))
				require.NoError(t, err)
				assert.Equal(t, want, p.trace.allFinished()[0].Ending)
			})
		})
	}
}

func TestRejectIsReported(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	err := p.operation(t).Reject(t.Context(), idempotency.ErrBodyUnreadable, errExploded)
	assert.ErrorIs(t, err, idempotency.ErrBodyUnreadable)
	assert.ErrorIs(t, err, errExploded)
	assert.Equal(t, []idempotency.Finished{{
		Operation: "pay", Code: idempotency.ErrBodyUnreadable, Err: errExploded,
	}}, p.trace.allFinished())
}

// troubles leads an operation through everything that hooks and logs hear of.
func troubles(t *testing.T, p *process, scope, key, body string) (errs []error) {
	t.Helper()
	c := idempotency.Call{Scope: scope, Key: key, Fingerprint: fingerprint(body)}
	op := p.operation(t)
	try := func(c idempotency.Call, run func(context.Context) idempotency.Answer) {
		_, err := op.Execute(t.Context(), c, run)
		if err != nil {
			errs = append(errs, err)
		}
	}
	p.node.next("claim", lostReply)
	try(c, forbidden(t)) // settled later: "release"
	time.Sleep(lease)
	p.node.always(lostRequest, "renew", "complete")
	try(c, takes(lease, body)) // lease lost, completion given up
	time.Sleep(2 * lease)
	p.node.repair()
	try(c, forbidden(t)) // unknown
	p.node.next("claim", unreadable)
	try(c, forbidden(t))
	c.Fingerprint.Algorithm = "other"
	try(c, forbidden(t))
	return errs
}

func TestNoHookLogOrErrorRevealsKeyScopeOrAnswer_F83_A11_I10(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		errs := troubles(t, p, "canary-scope", "canary-key", "canary-body")
		require.Len(t, errs, 4)
		assert.Len(t, p.trace.allLost(), 1)
		assert.Len(t, p.trace.allLateEndings(), 2)
		seen := p.log.String() + fmt.Sprintf("%+v %+v %+v", p.trace.allFinished(), p.trace.allLost(), p.trace.allLateEndings())
		for _, err := range errs {
			seen += fmt.Sprintf("%v %+v\n", err, err)
		}
		assert.Contains(t, p.log.String(), "lease lost")
		assert.Contains(t, p.log.String(), "could not be recorded")
		assert.NotContains(t, seen, "canary")
		full := store.NewID("canary-scope", "pay", "canary-key")
		assert.Contains(t, seen, full.Short())
		assert.NotContains(t, seen, full.String(), "guesses of a key must not be testable")
	})
}

func TestHooksThatPanicChangeNothing_F81_F82(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &process{node: newNode(newBackend()), log: &logs{}}
		p.guard = guardOn(t, p.node, idempotency.WithLogger(p.log.logger()), idempotency.WithTrace(idempotency.Trace{
			Finished:   func(context.Context, idempotency.Finished) { panic("in Finished") },
			LeaseLost:  func(idempotency.LeaseLost) { panic("in LeaseLost") },
			LateEnding: func(idempotency.LateEnding) { panic("in LateEnding") },
		}))
		assert.Len(t, troubles(t, p, "tenant", "k", "a"), 4)
		_, err := p.operation(t).Execute(t.Context(), call("l"), takes(2*lease, "b"))
		require.NoError(t, err, "the watchdog lives on")
		for _, hook := range []string{"Finished", "LeaseLost", "LateEnding"} {
			assert.Contains(t, p.log.String(), "in "+hook)
		}
	})
}

func TestGuardWithoutHooksMeetsTheSameTroubles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &process{node: newNode(newBackend()), log: &logs{}}
		p.guard = guardOn(t, p.node, idempotency.WithLogger(p.log.logger()))
		assert.Len(t, troubles(t, p, "tenant", "k", "a"), 4)
		assert.NotContains(t, p.log.String(), "panic")
	})
}

func TestHookThatBlocksDoesNotDelayTheLossOfOtherLeases_F82(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node, block := newNode(newBackend()), make(chan struct{})
		guard := guardOn(t, node, idempotency.WithLogger((&logs{}).logger()), idempotency.WithTrace(idempotency.Trace{
			LeaseLost: func(idempotency.LeaseLost) { <-block },
		}))
		t.Cleanup(func() { close(block) })
		op, err := guard.Operation("pay", idempotency.Policy{Lease: lease})
		require.NoError(t, err)
		node.always(lostRequest, "renew")
		untilLost := func(ctx context.Context) idempotency.Answer {
			began := time.Now()
			<-ctx.Done()
			assert.Less(t, time.Since(began), lease)
			return recorded("a")
		}
		first := begin(t.Context(), op, call("k"), untilLost)
		time.Sleep(time.Second)
		second := begin(t.Context(), op, call("l"), untilLost)
		_, err = first.wait()
		require.NoError(t, err)
		_, err = second.wait()
		require.NoError(t, err)
	})
}

func TestHandlerThatNeverMarksIsWarnedAboutOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		orphan idempotency.Orphan
		marks  int // the execution that marks
		warns  bool
	}{
		{"never marked", idempotency.OrphanRerunUnmarked, -1, true},
		{"marked once", idempotency.OrphanRerunUnmarked, 5, false},
		{"a policy that does not rely on marks", idempotency.OrphanRerun, -1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t, idempotency.Policy{Orphan: tt.orphan})
				for i := range 50 {
					_, err := op.Execute(t.Context(), call(fmt.Sprint(i)), func(ctx context.Context) idempotency.Answer {
						if i == tt.marks {
							mark(t, ctx)
						}
						return recorded("a")
					})
					require.NoError(t, err)
					if i == 18 {
						assert.Empty(t, p.log.String(), "not too soon")
					}
				}
				if !tt.warns {
					assert.Empty(t, p.log.String())
					return
				}
				assert.Regexp(t, `^[^\n]*never calls MarkEffect[^\n]*operation=pay\n$`, p.log.String())
			})
		})
	}
}
