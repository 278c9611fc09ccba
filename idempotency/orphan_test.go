package idempotency_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// orphanModes are all the words, and whether each runs again after an attempt
// without and with a mark.
var orphanModes = []struct {
	mode             idempotency.Orphan
	unmarked, marked bool
}{
	{idempotency.OrphanRefuse, false, false},
	{idempotency.OrphanRerunUnmarked, true, false},
	{idempotency.OrphanRerun, true, true},
}

// eachOrphan runs a test for every mode, without and with a mark.
func eachOrphan(t *testing.T, test func(t *testing.T, p *process, op *idempotency.Operation, marked, rerun bool)) {
	for _, m := range orphanModes {
		for _, marked := range []bool{false, true} {
			rerun := marked && m.marked || !marked && m.unmarked
			t.Run(fmt.Sprintf("%s/marked=%v", m.mode, marked), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := start(t, newBackend())
					test(t, p, p.operation(t, idempotency.Policy{Orphan: m.mode}), marked, rerun)
				})
			})
		}
	}
}

// afterOrphan asserts what a duplicate of an orphan gets.
func afterOrphan(t *testing.T, op *idempotency.Operation, rerun bool, token store.Token) {
	t.Helper()
	if !rerun {
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		assert.Zero(t, refusal(t, err, idempotency.ErrOutcomeUnknown).RetryAfter)
		return
	}
	result, err := op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
		info, _ := idempotency.FromContext(ctx)
		assert.True(t, info.TookOver)
		assert.Equal(t, 2, info.Attempt)
		assert.Greater(t, info.Token, int64(token))
		return recorded("b")
	})
	require.NoError(t, err)
	assert.True(t, result.Recorded)
	assert.Equal(t, 2, result.Attempt)
	again, err := op.Execute(t.Context(), call("k"), forbidden(t))
	require.NoError(t, err)
	assert.Equal(t, recorded("b"), again.Answer)
}

var errExploded = fmt.Errorf("exploded")

func explode() { panic(errExploded) }

func TestPanicIsUnknownAtOnceAndGoesOnWithItsStack_O7_O8_F52(t *testing.T) {
	t.Parallel()
	eachOrphan(t, func(t *testing.T, p *process, op *idempotency.Operation, marked, rerun bool) {
		var value any
		var stack string
		var token int64
		func() {
			defer func() { value, stack = recover(), string(debug.Stack()) }()
			_, _ = op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
				if marked {
					mark(t, ctx)
				}
				info, _ := idempotency.FromContext(ctx)
				token = info.Token
				explode()
				return recorded("never")
			})
		}()
		assert.Equal(t, errExploded, value, "the very value")
		assert.Contains(t, stack, "idempotency_test.explode", "the stack of the panic, not of a second one")
		assert.Equal(t, 1, p.node.count("fail"))
		finished := p.trace.allFinished()
		require.Len(t, finished, 1)
		assert.Equal(t, "fail", finished[0].Ending)
		assert.False(t, finished[0].Recorded)
		afterOrphan(t, op, rerun, store.Token(token))
	})
}

func TestGoexitIsUnknownAtOnce_O7_F53(t *testing.T) {
	t.Parallel()
	eachOrphan(t, func(t *testing.T, p *process, op *idempotency.Operation, marked, rerun bool) {
		e := begin(t.Context(), op, call("k"), func(ctx context.Context) idempotency.Answer {
			if marked {
				mark(t, ctx)
			}
			runtime.Goexit()
			return recorded("never")
		})
		result, err := e.wait()
		require.NoError(t, err)
		assert.Zero(t, result, "Execute never returned")
		assert.Equal(t, 1, p.node.count("fail"))
		afterOrphan(t, op, rerun, 0)
	})
}

func TestUnknownClassFollowsTheOrphanMode_O13(t *testing.T) {
	t.Parallel()
	eachOrphan(t, func(t *testing.T, p *process, op *idempotency.Operation, marked, rerun bool) {
		first, err := op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			if marked {
				mark(t, ctx)
			}
			return answer(idempotency.ClassUnknown, "502")
		})
		require.NoError(t, err)
		assert.False(t, first.Recorded)
		_, rec := p.node.backend.only(t)
		assert.Equal(t, marked, rec.Marked)
		afterOrphan(t, op, rerun, first.Token)
	})
}

// TestDiedProcess: an attempt whose process is gone is in progress until its
// lease lapses, and an orphan from then on.
func TestDiedProcess_L2_L3_L4_L6(t *testing.T) {
	t.Parallel()
	eachOrphan(t, func(t *testing.T, p *process, op *idempotency.Operation, marked, rerun bool) {
		dead := store.NewOwner()
		id := store.NewID("tenant", "pay", "k")
		claimed := p.node.backend.step(id, store.Claim{
			Owner: dead, Fingerprint: fingerprint("body"), Operation: "pay", Lease: lease, Retention: time.Hour,
		})
		require.Equal(t, store.Claimed, claimed.Verdict)
		if marked {
			p.node.backend.step(id, store.Mark{Owner: dead})
		}
		time.Sleep(lease - time.Microsecond)
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrInProgress)
		time.Sleep(time.Microsecond)
		afterOrphan(t, op, rerun, claimed.Token)
	})
}

func TestRefusedOrphanStaysUnknownUntilSettled_L4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t)
		first, err := op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassUnknown, "502")))
		require.NoError(t, err)
		time.Sleep(20 * time.Hour)
		_, err = op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrOutcomeUnknown)

		settled := recorded("settled").Answer
		id, _ := p.node.backend.only(t)
		reply := p.node.backend.step(id, store.Settle{
			Owner: store.NewOwner(), Token: first.Token, Retention: time.Hour, Answer: &settled,
		})
		require.Equal(t, store.Done, reply.Verdict)
		result, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, recorded("settled"), result.Answer)
	})
}

func TestFailureThatTheStoreMissedIsSentInTheBackground_O7(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.next("fail", lostRequest, lostReply)
		op := p.operation(t, idempotency.Policy{Orphan: idempotency.OrphanRerun})
		assert.PanicsWithError(t, "exploded", func() {
			_, _ = op.Execute(t.Context(), call("k"), func(context.Context) idempotency.Answer {
				explode()
				return recorded("never")
			})
		})
		time.Sleep(200 * time.Millisecond)
		_, rec := p.node.backend.only(t)
		assert.Equal(t, store.Unknown, rec.State)
		assert.Equal(t, []idempotency.LateEnding{{
			Operation: "pay", ID: p.trace.allFinished()[0].ID, Event: "fail",
		}}, p.trace.allLateEndings())
		afterOrphan(t, op, true, rec.Token)
	})
}

// The store may have forgotten the mark together with the record; the engine
// has not.
func TestFailureCarriesTheMarkOverALostRecord_S9_O13(t *testing.T) {
	t.Parallel()
	eachOrphan(t, func(t *testing.T, p *process, op *idempotency.Operation, marked, rerun bool) {
		first, err := op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			if marked {
				mark(t, ctx)
			}
			p.node.backend.flush()
			return answer(idempotency.ClassUnknown, "502")
		})
		require.NoError(t, err)
		_, rec := p.node.backend.only(t)
		assert.Equal(t, store.Unknown, rec.State)
		assert.Equal(t, marked, rec.Marked)
		afterOrphan(t, op, rerun, first.Token)
	})
}
