package idempotency_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// In an outage every request leaves the release of a claim behind. They must
// not keep what handlers did from being recorded.
func TestBacklogOfReleasesDoesNotHoldUpACompletion_S4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, idempotency.Policy{Lease: 10 * time.Second})
		p.node.always(hang, "claim", "release")
		for i := range 500 {
			go func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				_, _ = op.Execute(t.Context(), call(fmt.Sprint("blocked", i)), forbidden(t))
			}()
		}
		time.Sleep(5 * time.Second)
		p.node.next("claim", noFault)
		p.node.next("complete", lostRequest)
		_, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		p.node.repair()
		result, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err, "recorded long before the releases are through")
		assert.Equal(t, idempotency.Replayed, result.Outcome)
	})
}

func TestEndingsWhoseTimeIsOverTakeNoCall_I6(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, idempotency.Policy{Lease: time.Second})
		p.node.always(hang, "complete")
		for i := range 200 {
			go func() { _, _ = op.Execute(t.Context(), call(fmt.Sprint(i)), gives(recorded("a"))) }()
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		assert.Len(t, p.trace.allLateEndings(), 200, "all are given up soon after their lease")
		assert.Less(t, p.node.count("complete"), 260, "200 at once, and what 4 senders could try again in a second")
	})
}

// A claim that lies in a frozen server's buffers is executed when it thaws,
// however long after its lease.
func TestClaimExecutedLongAfterItsLeaseLeavesNothingBehind_L16(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, idempotency.Policy{Lease: time.Second})
		p.node.next("claim", late(time.Minute))
		p.node.always(hang, "release")
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrStoreUnavailable)
		time.Sleep(65 * time.Second) // it came, and lapsed
		p.node.repair()
		time.Sleep(5 * time.Second)
		result, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err, "it never started, so its outcome is not unknown")
		assert.Equal(t, 1, result.Attempt)
	})
}

func TestClaimThatWasNotExecutedNeedsNoRelease_F32(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		p.node.next("claim", func(context.Context, func() store.Reply) (store.Reply, error) {
			return store.Reply{}, fmt.Errorf("%w: %w: no room", store.ErrUnavailable, store.ErrNotExecuted)
		})
		_, err := p.operation(t).Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrStoreUnavailable)
		time.Sleep(time.Minute)
		assert.Zero(t, p.node.count("release"), "a tombstone would fill a full store further")
	})
}

func TestAnswerWithoutAClassIsAnUnknownOutcome_I1(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		op := start(t, newBackend()).operation(t)
		_, err := op.Execute(t.Context(), call("k"), gives(idempotency.Answer{}))
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrOutcomeUnknown)
	})
}

func TestBodiesThatWaitAreBounded_I8(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, idempotency.Policy{Lease: 10 * time.Minute})
		p.node.always(lostRequest, "complete")
		large := strings.Repeat("x", 1<<20)
		for i := range 80 {
			_, err := op.Execute(t.Context(), call(fmt.Sprint(i)), gives(recorded(large)))
			require.NoError(t, err)
		}
		p.node.repair()
		time.Sleep(time.Minute)
		_, err := op.Execute(t.Context(), call("0"), forbidden(t))
		require.NoError(t, err, "among the first 64 MiB")
		_, err = op.Execute(t.Context(), call("79"), forbidden(t))
		refusal(t, err, idempotency.ErrResultUnavailable)
	})
}

func TestNilHandlerIsRefusedBeforeAnythingIsClaimed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		_, err := p.operation(t).Execute(t.Context(), call("k"), nil)
		require.ErrorContains(t, err, "nil")
		assert.Zero(t, p.node.count(""))
	})
}

func TestShutdownIsBoundedWhateverHooksDo_F82(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		defer close(block)
		p := start(t, newBackend(), idempotency.WithTrace(idempotency.Trace{
			LateEnding: func(idempotency.LateEnding) { <-block },
		}))
		p.node.next("complete", lostRequest)
		_, err := p.operation(t).Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, p.guard.Shutdown(ctx), context.DeadlineExceeded)
		assert.LessOrEqual(t, time.Since(began), 3*time.Second)
	})
}
