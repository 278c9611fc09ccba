package idempotency_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestX6_StatsCountWhatBecameOfRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t, waits(time.Minute))
		stats := func() idempotency.Stats { return p.guard.Stats()[0] }

		owner := begin(t.Context(), op, call("k"), takes(time.Second, "a"))
		synctest.Wait()
		all := duplicates(t.Context(), 3, op, forbidden(t))
		synctest.Wait()
		assert.EqualValues(t, 4, stats().InFlight)
		assert.EqualValues(t, 3, stats().Waiting)
		allReplay(t, all, "a")
		_, err := owner.wait()
		require.NoError(t, err)

		other := call("k")
		other.Fingerprint = fingerprint("another")
		_, err = op.Execute(t.Context(), other, forbidden(t))
		refusal(t, err, idempotency.ErrKeyReused)
		_ = op.Reject(t.Context(), idempotency.ErrKeyMissing, nil)
		_, err = op.Execute(t.Context(), call("big"), func(context.Context) idempotency.Answer {
			a := recorded("")
			a.Omitted = store.BodyTooLarge
			return a
		})
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("r"), gives(answer(idempotency.ClassRelease, "503")))
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("u"), gives(answer(idempotency.ClassUnknown, "504")))
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("u"), forbidden(t))
		refusal(t, err, idempotency.ErrOutcomeUnknown)
		p.node.next("claim", lostRequest)
		_, err = op.Execute(t.Context(), call("s"), forbidden(t))
		refusal(t, err, idempotency.ErrStoreUnavailable)
		p.node.next("complete", lostReply)
		_, err = op.Execute(t.Context(), call("c"), gives(recorded("a")))
		require.NoError(t, err)
		p.node.always(says(store.Lost), "renew")
		_, err = op.Execute(t.Context(), call("l"), takes(lease, "a"))
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()

		got := stats()
		assert.EqualValues(t, 6, got.Executed)
		assert.EqualValues(t, 3, got.Replayed)
		assert.Equal(t, map[idempotency.Code]int64{
			idempotency.ErrKeyReused: 1, idempotency.ErrKeyMissing: 1,
			idempotency.ErrOutcomeUnknown: 1, idempotency.ErrStoreUnavailable: 1,
		}, got.Refused)
		assert.EqualValues(t, 4, got.Completed)
		assert.EqualValues(t, 1, got.Released)
		assert.EqualValues(t, 1, got.Failed)
		assert.EqualValues(t, 1, got.BodiesOmitted)
		assert.EqualValues(t, 1, got.LeasesLost)
		assert.EqualValues(t, 2, got.EndingsLate, "the completion, and the release of the claim")
		assert.Zero(t, got.EndingsLost)
		assert.Zero(t, got.InFlight)
		assert.Zero(t, got.Waiting)
		assert.EqualValues(t, 12, got.Duration.Count())
		assert.EqualValues(t, 12, got.Store.Count())
		assert.EqualValues(t, 3, got.Wait.Count())
		assert.Equal(t, 3*time.Second, got.Wait.Sum)
		text, err := json.Marshal(p.guard.Stats())
		require.NoError(t, err)
		assert.Contains(t, string(text), `"refused":{"idempotency_key_missing":1`)
	})
}

func TestDownstreamKey(t *testing.T) {
	t.Parallel()
	info := idempotency.Info{OperationID: "id"}
	a := info.DownstreamKey("provider/charge")
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, a)
	assert.Equal(t, a, info.DownstreamKey("provider/charge"))
	assert.NotEqual(t, a, info.DownstreamKey("provider/refund"))
	assert.NotEqual(t, a, idempotency.Info{OperationID: "other"}.DownstreamKey("provider/charge"))
}

// G9: what a transport says about a client's own retries is counted, and decides
// nothing.
func TestG9_RetriesOfTheTransportAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := startListening(t, newBackend())
		op := p.operation(t)
		for retry, run := range []func(context.Context) idempotency.Answer{gives(recorded("a")), forbidden(t), forbidden(t)} {
			c := call("k")
			c.Retry = retry
			result, err := op.Execute(t.Context(), c, run)
			require.NoError(t, err)
			assert.Equal(t, retry > 0, result.Outcome == idempotency.Replayed)
		}
		first := call("alone") // of a retry whose first attempt never arrived
		first.Retry = 1
		_, err := op.Execute(t.Context(), first, gives(recorded("b")))
		require.NoError(t, err)
		stats := p.guard.Stats()[0]
		assert.EqualValues(t, 3, stats.Retried)
		assert.EqualValues(t, 2, stats.Executed)
		assert.EqualValues(t, 2, stats.Replayed)
		for i, f := range p.trace.allFinished() {
			assert.Equal(t, []int{0, 1, 2, 1}[i], f.Retry)
		}
	})
}
