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

// lateClaims are the ways in which a claim without an answer reaches the store:
// the first release comes 50 ms after the claim was given up.
var lateClaims = []struct {
	name  string
	fault fault
}{
	{"never executed", lostRequest},
	{"executed at once", lostReply},
	{"executed before the release", late(20 * time.Millisecond)},
	{"executed after the release", late(300 * time.Millisecond)},
}

func TestClaimWithoutAnAnswerLeavesNothingBehind_L16_F23_F28(t *testing.T) {
	t.Parallel()
	for _, tt := range lateClaims {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t)
				p.node.next("claim", tt.fault)
				_, err := op.Execute(t.Context(), call("k"), forbidden(t))
				refused := refusal(t, err, idempotency.ErrStoreUnavailable)
				time.Sleep(lease / 2)
				assert.Equal(t, []idempotency.LateEnding{{
					Operation: "pay", ID: refused.ID, Event: "release",
				}}, p.trace.allLateEndings())
				_, rec := p.node.backend.only(t)
				assert.Equal(t, store.Released, rec.State)
				assert.True(t, rec.Void)

				result, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
				require.NoError(t, err)
				assert.Equal(t, 1, result.Attempt, "nothing ever started")
				assert.True(t, result.Recorded)
			})
		})
	}
}

func TestLateClaimOnARecordReleasedBySomebodyElse_L16(t *testing.T) {
	t.Parallel()
	for _, tt := range lateClaims {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t)
				_, err := op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassRelease, "503")))
				require.NoError(t, err)
				p.node.next("claim", tt.fault)
				_, err = op.Execute(t.Context(), call("k"), forbidden(t))
				refusal(t, err, idempotency.ErrStoreUnavailable)
				time.Sleep(lease * 2)
				_, rec := p.node.backend.only(t)
				assert.Equal(t, store.Released, rec.State)
				result, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
				require.NoError(t, err)
				assert.Equal(t, 2, result.Attempt)
				calls := p.node.count("release")
				time.Sleep(lease)
				assert.Equal(t, calls, p.node.count("release"), "it ends")
			})
		})
	}
}

func TestLateClaimThatTookAnUnknownOutcomeOverGivesItBack_L16(t *testing.T) {
	t.Parallel()
	for _, tt := range lateClaims {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t, idempotency.Policy{Orphan: idempotency.OrphanRerun})
				first, err := op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassUnknown, "502")))
				require.NoError(t, err)
				p.node.next("claim", tt.fault)
				_, err = op.Execute(t.Context(), call("k"), forbidden(t))
				refusal(t, err, idempotency.ErrStoreUnavailable)
				time.Sleep(lease * 2)
				_, rec := p.node.backend.only(t)
				assert.Equal(t, store.Unknown, rec.State, "an outcome that nobody knows stays unknown")
				assert.Equal(t, 1, rec.Attempt)
				afterOrphan(t, op, true, first.Token)
			})
		})
	}
}

func TestLateClaimOnAFinishedRecordChangesNothing_L16(t *testing.T) {
	t.Parallel()
	for _, tt := range lateClaims {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				op := p.operation(t)
				_, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
				require.NoError(t, err)
				_, before := p.node.backend.only(t)
				p.node.next("claim", tt.fault)
				_, err = op.Execute(t.Context(), call("k"), forbidden(t))
				refusal(t, err, idempotency.ErrStoreUnavailable) // S6
				time.Sleep(lease * 2)
				_, after := p.node.backend.only(t)
				assert.Equal(t, before, after)
			})
		})
	}
}

func TestClientThatRepeatsAClaimWithALostReply_F23(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t)
		p.node.next("claim", lostReply)
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		retry := refusal(t, err, idempotency.ErrStoreUnavailable).RetryAfter
		_, err = op.Execute(t.Context(), call("k"), forbidden(t)) // does not wait
		refusal(t, err, idempotency.ErrInProgress)
		time.Sleep(retry)
		result, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		assert.Equal(t, 1, result.Attempt)
	})
}

func TestPauseBetweenClaimAndStartStartsNothing_F07(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, idempotency.Policy{Lease: 100 * time.Millisecond})
		p.node.next("claim", slow(95*time.Millisecond)) // 94 ms of 100 are relied on
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		assert.Equal(t, time.Second, refusal(t, err, idempotency.ErrStoreUnavailable).RetryAfter)
		_, rec := p.node.backend.only(t)
		assert.Equal(t, store.Released, rec.State)
		result, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)
		assert.Equal(t, 1, result.Attempt, "nothing ever started")
	})
}

func TestLeaseCountsFromTheClaimThatWonIt_F23(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, idempotency.Policy{Lease: 100 * time.Millisecond})
		_, err := op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassRelease, "503")))
		require.NoError(t, err)
		newer := call("k")
		newer.Fingerprint.Algorithm = "sha512"
		newer.FingerprintBy = func(string) (store.Fingerprint, bool) { return fingerprint("body"), true }
		p.node.next("claim", slow(60*time.Millisecond), slow(60*time.Millisecond))
		result, err := op.Execute(t.Context(), newer, gives(recorded("a")))
		require.NoError(t, err, "the first claim won nothing, so its time does not count")
		assert.True(t, result.Recorded)
	})
}

func TestPauseAfterATakeOverGivesTheUnknownOutcomeBack_F07(t *testing.T) {
	t.Parallel()
	for _, giveBack := range []fault{noFault, lostRequest, lostReply} {
		synctest.Test(t, func(t *testing.T) {
			p := start(t, newBackend())
			op := p.operation(t, idempotency.Policy{Lease: 100 * time.Millisecond, Orphan: idempotency.OrphanRerunUnmarked})
			_, err := op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassUnknown, "502")))
			require.NoError(t, err)
			p.node.next("claim", slow(200*time.Millisecond))
			p.node.next("release", giveBack)
			_, err = op.Execute(t.Context(), call("k"), forbidden(t))
			refusal(t, err, idempotency.ErrStoreUnavailable)
			time.Sleep(80 * time.Millisecond)
			_, rec := p.node.backend.only(t)
			assert.Equal(t, store.Unknown, rec.State)
			assert.Equal(t, 1, rec.Attempt)
		})
	}
}

func TestPausedClaimThatWasTakenOverIsLeftAlone_F07_I4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		first, second := start(t, b), start(t, b)
		policy := idempotency.Policy{Lease: 100 * time.Millisecond, Orphan: idempotency.OrphanRerun}
		first.node.next("claim", slow(400*time.Millisecond))
		paused := begin(t.Context(), first.operation(t, policy), call("k"), forbidden(t))
		time.Sleep(200 * time.Millisecond)
		result, err := second.operation(t, policy).Execute(t.Context(), call("k"), takes(time.Second, "b"))
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		_, err = paused.wait()
		refusal(t, err, idempotency.ErrStoreUnavailable)
	})
}

func TestBackgroundEndingsAreBounded_I8(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.guard.Pend(idempotency.MaxPending, time.Minute)
		p.node.always(lostRequest)
		op := p.operation(t)
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.ErrorIs(t, err, idempotency.ErrStoreUnavailable)
		synctest.Wait()
		settled := p.trace.allLateEndings()
		require.Len(t, settled, 1, "given up at once")
		assert.ErrorContains(t, settled[0].Err, "too many")

		time.Sleep(time.Minute)
		synctest.Wait()
		p.node.repair()
		p.node.next("claim", lostReply)
		_, err = op.Execute(t.Context(), call("l"), forbidden(t))
		require.ErrorIs(t, err, idempotency.ErrStoreUnavailable)
		time.Sleep(lease)
		require.Len(t, p.trace.allLateEndings(), 2)
		assert.NoError(t, p.trace.allLateEndings()[1].Err, "there is room again")
	})
}

func TestFewBackgroundEndingsAreSentSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.always(lostRequest, "claim")
		op := p.operation(t)
		sending, most := 0, 0
		p.node.always(func(_ context.Context, execute func() store.Reply) (store.Reply, error) {
			p.trace.mu.Lock()
			sending++
			most = max(most, sending)
			p.trace.mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			p.trace.mu.Lock()
			sending--
			p.trace.mu.Unlock()
			return execute(), nil
		}, "release")
		for range 20 {
			_, err := op.Execute(t.Context(), call("k"), forbidden(t))
			require.ErrorIs(t, err, idempotency.ErrStoreUnavailable)
		}
		time.Sleep(2 * lease)
		assert.Len(t, p.trace.allLateEndings(), 20)
		assert.Equal(t, 4, most)
	})
}
