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

func mark(t *testing.T, ctx context.Context) {
	t.Helper()
	require.NoError(t, idempotency.MarkEffect(ctx))
}

// TestEndOfAnAttempt: what the handler did and answered decides about the
// record, and so about the next request.
func TestEndOfAnAttempt(t *testing.T) {
	t.Parallel()
	expire := func(_ *testing.T, ctx context.Context) { <-ctx.Done() }
	release := func(_ *testing.T, ctx context.Context) { idempotency.Release(ctx) }
	doNotRecord := func(_ *testing.T, ctx context.Context) { idempotency.DoNotRecord(ctx) }
	type step = func(*testing.T, context.Context)
	tests := []struct {
		name    string
		failure idempotency.FailureRule
		steps   []step
		class   idempotency.Class
		want    store.State
	}{
		{"O3 record", "", nil, idempotency.ClassRecord, store.Completed},
		{"record, marked", "", []step{mark}, idempotency.ClassRecord, store.Completed},
		{"record, context ended", "", []step{expire}, idempotency.ClassRecord, store.Completed},
		{"O1 release", "", nil, idempotency.ClassRelease, store.Released},
		{"O13 release, marked", "", []step{mark}, idempotency.ClassRelease, store.Unknown},
		{"O10 release, context ended", "", []step{expire}, idempotency.ClassRelease, store.Unknown},
		{"release, failure=unknown", idempotency.FailureUnknown, nil, idempotency.ClassRelease, store.Unknown},
		{"unknown", "", nil, idempotency.ClassUnknown, store.Unknown},
		{"unknown, failure=unknown", idempotency.FailureUnknown, nil, idempotency.ClassUnknown, store.Unknown},
		{"O12 explicit release of a recordable answer", "", []step{release}, idempotency.ClassRecord, store.Released},
		{"explicit release, marked", "", []step{mark, release}, idempotency.ClassRelease, store.Released},
		{"explicit release, context ended", "", []step{expire, release}, idempotency.ClassRelease, store.Released},
		{"explicit release, failure=unknown", idempotency.FailureUnknown, []step{release}, idempotency.ClassRelease, store.Released},
		{"explicit release of an unknown", "", []step{release}, idempotency.ClassUnknown, store.Released},
		{"explicit release beats do not record", "", []step{mark, doNotRecord, release}, idempotency.ClassRecord, store.Released},
		{"O12 do not record", "", []step{doNotRecord}, idempotency.ClassRecord, store.Released},
		{"do not record, marked", "", []step{doNotRecord, mark}, idempotency.ClassRecord, store.Unknown},
		{"do not record, context ended", "", []step{expire, doNotRecord}, idempotency.ClassRecord, store.Unknown},
		{"do not record, failure=unknown", idempotency.FailureUnknown, []step{doNotRecord}, idempotency.ClassRecord, store.Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t, idempotency.Policy{Failure: tt.failure})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
				defer cancel()
				result, err := op.Execute(ctx, call("k"), func(ctx context.Context) idempotency.Answer {
					for _, step := range tt.steps {
						step(t, ctx)
					}
					return answer(tt.class, "a")
				})
				require.NoError(t, err)
				assert.Equal(t, idempotency.Executed, result.Outcome)
				assert.Equal(t, answer(tt.class, "a"), result.Answer, "the first caller gets the true answer")
				assert.Equal(t, tt.want == store.Completed, result.Recorded)
				_, rec := p.node.backend.only(t)
				assert.Equal(t, tt.want, rec.State)
				next(t, op, result, tt.want)
			})
		})
	}
}

// next asserts what the next request meets.
func next(t *testing.T, op *idempotency.Operation, first idempotency.Result, state store.State) {
	t.Helper()
	result, err := op.Execute(t.Context(), call("k"), gives(recorded("b")))
	switch state {
	case store.Completed:
		require.NoError(t, err)
		assert.Equal(t, idempotency.Replayed, result.Outcome)
		assert.Equal(t, recorded("a"), result.Answer)
	case store.Released:
		require.NoError(t, err)
		assert.Equal(t, idempotency.Executed, result.Outcome)
		assert.Equal(t, 2, result.Attempt)
		assert.Greater(t, result.Token, first.Token, "L11 fencing token")
	default:
		assert.Zero(t, refusal(t, err, idempotency.ErrOutcomeUnknown).RetryAfter)
	}
}

func TestAttemptThatFollowsAReleaseTookNothingOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		op := start(t, newBackend()).operation(t)
		_, err := op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassRelease, "503")))
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			info, ok := idempotency.FromContext(ctx)
			assert.True(t, ok)
			assert.Equal(t, 2, info.Attempt)
			assert.False(t, info.TookOver)
			return recorded("a")
		})
		require.NoError(t, err)
	})
}

func TestRetainForIsBoundByThePolicy_O12(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	policy := idempotency.Policy{Retention: time.Hour}
	shorter := policy.Override(idempotency.Policy{MinRetention: time.Minute})
	tests := []struct {
		name   string
		policy idempotency.Policy
		ask    time.Duration
		want   time.Duration // 0: refused
	}{
		{"the policy's own", policy, time.Hour, time.Hour},
		{"shorter than the retention, without MinRetention", policy, time.Hour - 1, 0},
		{"MinRetention", shorter, time.Minute, time.Minute},
		{"shorter than MinRetention", shorter, time.Minute - 1, 0},
		{"30 days", policy, 30 * day, 30 * day},
		{"more than 30 days", policy, 30*day + 1, 0},
		{"zero", shorter, 0, 0},
		{"negative", shorter, -time.Hour, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				_, err := p.operation(t, tt.policy).Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
					err := idempotency.RetainFor(ctx, tt.ask)
					if tt.want == 0 {
						assert.ErrorContains(t, err, "MinRetention")
					} else {
						assert.NoError(t, err)
					}
					return recorded("a")
				})
				require.NoError(t, err)
				want := tt.want
				if want == 0 {
					want = time.Hour
				}
				_, rec := p.node.backend.only(t)
				assert.Equal(t, want, rec.Expires.Sub(rec.Finished))
			})
		})
	}
}

func TestOmittedBodyIsNeverStoredNorRunAgain_Z1(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		byHand  bool
		omitted store.Omission
		want    store.Omission
	}{
		{"the handler's wish", true, store.BodyKept, store.BodySecret},
		{"too large", false, store.BodyTooLarge, store.BodyTooLarge},
		{"F47 streamed", false, store.BodyStreamed, store.BodyStreamed},
		{"both: the transport's reason", true, store.BodyTooLarge, store.BodyTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t)
				secret := recorded("secret")
				secret.Omitted = tt.omitted
				result, err := op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
					if tt.byHand {
						idempotency.OmitBody(ctx)
					}
					return secret
				})
				require.NoError(t, err)
				assert.True(t, result.Recorded)
				assert.Equal(t, secret, result.Answer, "the first caller gets all of it")
				_, rec := p.node.backend.only(t)
				assert.Empty(t, rec.Answer.Body)
				assert.Equal(t, tt.want, p.trace.allFinished()[0].Omitted)

				_, err = op.Execute(t.Context(), call("k"), forbidden(t))
				refused := refusal(t, err, idempotency.ErrResultUnavailable)
				require.NotNil(t, refused.Answer)
				assert.Equal(t, store.Answer{Codec: "test", Meta: []byte("meta"), Omitted: tt.want}, *refused.Answer)
			})
		})
	}
}

func TestWishesOutsideAnAttemptDoNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	idempotency.Release(ctx)
	idempotency.DoNotRecord(ctx)
	idempotency.OmitBody(ctx)
	assert.NoError(t, idempotency.MarkEffect(ctx))
	assert.NoError(t, idempotency.RetainFor(ctx, -1))
	info, ok := idempotency.FromContext(ctx)
	assert.False(t, ok)
	assert.Zero(t, info)
}

func TestWishesAfterTheEndOfTheAttemptDoNothing_Z10(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		// The completion's reply is on its way while the handler's leftovers wish.
		p.node.next("complete", lostRequest)
		op := p.operation(t)
		var inside context.Context
		_, err := op.Execute(t.Context(), call("k"), func(ctx context.Context) idempotency.Answer {
			inside = context.WithoutCancel(ctx)
			return recorded("a")
		})
		require.NoError(t, err)
		idempotency.Release(inside)
		idempotency.OmitBody(inside)
		require.NoError(t, idempotency.RetainFor(inside, 48*time.Hour))
		time.Sleep(lease)

		again, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, recorded("a"), again.Answer)
	})
}

func TestAnswerThatTheStoreWouldNeverTakeIsGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t)
		bad := recorded("a")
		bad.Codec = "" // the store calls this event invalid, and always will
		result, err := op.Execute(t.Context(), call("k"), gives(bad))
		require.NoError(t, err)
		assert.False(t, result.Recorded)
		time.Sleep(time.Second)
		settled := p.trace.allLateEndings()
		require.Len(t, settled, 1, "repeating it changes nothing and keeps the lease")
		assert.ErrorIs(t, settled[0].Err, store.ErrInvalid)
	})
}
