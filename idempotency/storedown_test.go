package idempotency_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

var downs = []struct {
	name  string
	fault fault
	takes time.Duration
}{
	{"unreachable", lostRequest, 0},
	{"S13 read-only", readOnly, 0},
	{"S3 hanging", hang, 200 * time.Millisecond},
}

func TestStoreDownAtTheClaimClosed_S1_S3(t *testing.T) {
	t.Parallel()
	for _, tt := range downs {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend(), idempotency.WithStoreTimeout(200*time.Millisecond))
				p.node.always(tt.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				_, err := p.operation(t).Execute(ctx, call("k"), forbidden(t))
				refused := refusal(t, err, idempotency.ErrStoreUnavailable)
				assert.Equal(t, time.Second, refused.RetryAfter)
				assert.ErrorIs(t, refused, store.ErrUnavailable)
				assert.Equal(t, tt.takes, time.Since(began), "the store's limit, not the request's")
				assert.Equal(t, 1, p.node.count(""))
			})
		})
	}
}

func TestStoreDownAtTheClaimOpenRunsUnprotected_S2(t *testing.T) {
	t.Parallel()
	for _, tt := range downs {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend(), idempotency.WithStoreTimeout(200*time.Millisecond))
				p.node.always(tt.fault)
				op := p.operation(t, idempotency.Policy{StoreDown: idempotency.StoreDownOpen})
				for range 2 {
					result, err := op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
						_, protected := idempotency.FromContext(ctx)
						assert.False(t, protected)
						assert.NoError(t, idempotency.MarkEffect(ctx))
						return recorded("a")
					})
					require.NoError(t, err)
					assert.Equal(t, idempotency.Result{Outcome: idempotency.Unprotected, Answer: recorded("a")}, result)
				}
				assert.Equal(t, idempotency.Unprotected, p.trace.allFinished()[1].Outcome)
			})
		})
	}
}

// An unprotected handler inside a protected one must not speak for the outer
// attempt: its Release would undo what the outer one marked.
func TestUnprotectedRunInsideAnAttemptIsNotThatAttempt_P5(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		inner, err := p.guard.Operation("inner", idempotency.Policy{StoreDown: idempotency.StoreDownOpen})
		require.NoError(t, err)
		result, err := p.operation(t).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			mark(t, ctx)
			p.node.always(lostRequest, "claim")
			_, err := inner.Execute(ctx, call("k"), func(ctx context.Context) idempotency.Answer {
				_, protected := idempotency.FromContext(ctx)
				assert.False(t, protected)
				idempotency.Release(ctx)
				return recorded("inner")
			})
			assert.NoError(t, err)
			return recorded("outer")
		})
		require.NoError(t, err)
		assert.True(t, result.Recorded)
	})
}

func TestUnprotectedRunIsDetachedLikeAProtectedOne_Z8(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.always(lostRequest)
		ctx, hangUp := context.WithCancel(t.Context())
		op := p.operation(t, idempotency.Policy{StoreDown: idempotency.StoreDownOpen})
		_, err := op.Execute(ctx, call("k"), func(ctx context.Context) idempotency.Answer {
			hangUp()
			assert.NoError(t, ctx.Err(), "the policy says detached")
			return recorded("a")
		})
		require.NoError(t, err)
	})
}

func TestInvalidClaimRunsNothingUnprotected_I9(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, idempotency.Policy{StoreDown: idempotency.StoreDownOpen})
		bad := call("k")
		bad.Fingerprint.Algorithm = "much too long"
		_, err := op.Execute(t.Context(), bad, forbidden(t)) // the store is not down
		require.ErrorIs(t, err, store.ErrInvalid)
	})
}

func TestStoreCallOutlivesTheCallersDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.next("claim", slow(300*time.Millisecond))
		p.node.next("complete", slow(300*time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		result, err := p.operation(t).Execute(ctx, call("k"), gives(recorded("a")))
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		assert.Equal(t, 600*time.Millisecond, p.trace.allFinished()[0].Store)
	})
}

func TestStoreThatDiesBeforeTheCompletion_S4(t *testing.T) {
	t.Parallel()
	for _, tt := range downs {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t)
				result, err := op.Execute(t.Context(), call("k"), func(context.Context) idempotency.Answer {
					p.node.always(tt.fault)
					return recorded("a")
				})
				require.NoError(t, err)
				assert.Equal(t, recorded("a"), result.Answer, "the true answer")
				assert.Equal(t, idempotency.Executed, result.Outcome)
				assert.False(t, result.Recorded)

				time.Sleep(lease / 2)
				p.node.repair()
				_, err = op.Execute(t.Context(), call("k"), forbidden(t))
				refusal(t, err, idempotency.ErrInProgress)
				time.Sleep(lease / 2)
				again, err := op.Execute(t.Context(), call("k"), forbidden(t))
				require.NoError(t, err)
				assert.Equal(t, recorded("a"), again.Answer)
				settled := p.trace.allLateEndings()
				require.Len(t, settled, 1)
				assert.Equal(t, "complete", settled[0].Event)
				assert.NoError(t, settled[0].Err)
			})
		})
	}
}

func TestStoreThatStaysDownBeyondTheLeaseLeavesAnUnknown_S4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t)
		_, err := op.Execute(t.Context(), call("k"), func(context.Context) idempotency.Answer {
			p.node.always(lostRequest)
			return recorded("a")
		})
		require.NoError(t, err)
		time.Sleep(2 * lease)
		settled := p.trace.allLateEndings()
		require.Len(t, settled, 1)
		assert.Error(t, settled[0].Err)
		assert.Contains(t, p.log.String(), "could not be recorded")
		calls := p.node.count("")
		time.Sleep(2 * lease)
		assert.Equal(t, calls, p.node.count(""), "nothing goes on")

		p.node.repair()
		_, err = op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrOutcomeUnknown)
	})
}

func TestRenewalsGoOnUntilTheCompletionIsTaken_S4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.always(lostRequest, "complete")
		op := p.operation(t)
		_, err := op.Execute(t.Context(), call("k"), takes(2*lease, "a"))
		require.NoError(t, err)
		ended := p.node.count("renew")
		time.Sleep(lease / 2)
		p.node.repair()
		time.Sleep(lease / 2)
		again, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, recorded("a"), again.Answer)
		taken := p.node.count("renew")
		assert.Greater(t, taken, ended)
		time.Sleep(2 * lease)
		assert.Equal(t, taken, p.node.count("renew"))
		assert.Empty(t, p.trace.allLost())
	})
}

// However long the last pause between two tries has become: a store that is
// back before the time is over must not find that everybody has given up.
func TestEndingIsTriedOnceMoreWhenItsTimeIsOver_S4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.always(lostRequest, "complete")
		op := p.operation(t)
		_, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)
		time.Sleep(lease * 3 / 4)
		p.node.repair()
		time.Sleep(lease)
		again, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, recorded("a"), again.Answer)
	})
}

func TestLostReplyOfACompletionIsNoError_S5_F25(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.next("complete", lostReply, lostReply)
		op := p.operation(t)
		result, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)
		assert.False(t, result.Recorded)
		again, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, recorded("a"), again.Answer)
		time.Sleep(time.Second)
		settled := p.trace.allLateEndings()
		require.Len(t, settled, 1)
		assert.NoError(t, settled[0].Err)
		_, rec := p.node.backend.only(t)
		assert.Equal(t, again.RecordedAt, rec.Finished.Time(), "the repetition changed nothing")
	})
}

// A completion that somebody else's attempt has overtaken meanwhile was not
// taken, and whoever counts settled endings must hear that.
func TestBackgroundCompletionOfADeposedOwnerIsReportedAsNotTaken_L10(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		first, second := start(t, b), start(t, b)
		rerun := idempotency.Policy{Orphan: idempotency.OrphanRerun}
		first.node.always(lostRequest, "complete", "renew")
		result, err := first.operation(t, rerun).Execute(t.Context(), call("k"), takes(lease-200*time.Millisecond, "a"))
		require.NoError(t, err)
		assert.False(t, result.Recorded)
		time.Sleep(lease / 2) // the claim lapses, the completion is still being tried
		_, err = second.operation(t, rerun).Execute(t.Context(), call("k"), gives(recorded("b")))
		require.NoError(t, err)
		first.node.repair()
		time.Sleep(2 * lease)

		settled := first.trace.allLateEndings()
		require.Len(t, settled, 1)
		assert.Equal(t, "complete", settled[0].Event)
		assert.Error(t, settled[0].Err, "another answer is the recorded one")
	})
}

func TestRecordThatCannotBeReadAtTheEndIsGivenUp_S12(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.always(unreadable, "complete")
		result, err := p.operation(t).Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)
		assert.False(t, result.Recorded)
		time.Sleep(time.Second)
		settled := p.trace.allLateEndings()
		require.Len(t, settled, 1)
		assert.ErrorIs(t, settled[0].Err, store.ErrUnreadable)
		assert.LessOrEqual(t, p.node.count("complete"), 2)
	})
}
