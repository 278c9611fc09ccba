package idempotency_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// office is a guard on a memory store, with what an operator does.
type office struct {
	guard   *idempotency.Guard
	op      *idempotency.Operation
	log     *logs
	settled []idempotency.Settled
}

func newOffice(t *testing.T, policies ...idempotency.OperationOption) *office {
	t.Helper()
	records, err := memstore.New()
	require.NoError(t, err)
	o := &office{log: &logs{}}
	o.guard = guardOn(t, records, idempotency.WithLogger(o.log.logger()), idempotency.WithTrace(idempotency.Trace{
		Settled: func(_ context.Context, s idempotency.Settled) { o.settled = append(o.settled, s) },
	}))
	o.op, err = o.guard.Operation("pay", append([]idempotency.OperationOption{idempotency.Policy{Lease: lease}}, policies...)...)
	require.NoError(t, err)
	return o
}

func (o *office) id(key string) store.ID { return o.guard.ID("pay", "tenant", key) }

func (o *office) lookup(t *testing.T, key string) idempotency.Status {
	t.Helper()
	status, err := o.guard.Lookup(t.Context(), o.id(key))
	require.NoError(t, err)
	return status
}

// unknown leaves an operation of unknown outcome behind.
func (o *office) unknown(t *testing.T, key string) idempotency.Status {
	t.Helper()
	_, err := o.op.Execute(t.Context(), call(key), gives(answer(idempotency.ClassUnknown, "504")))
	require.NoError(t, err)
	return o.lookup(t, key)
}

func TestX1_LookupTellsWhatIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		assert.Equal(t, store.Absent, o.lookup(t, "k").State)
		began := time.Now()
		w := newWork(t)
		owner := begin(t.Context(), o.op, call("k"), func(ctx context.Context) idempotency.Answer {
			assert.NoError(t, idempotency.MarkEffect(ctx))
			return w.run(ctx)
		})
		time.Sleep(500 * time.Millisecond)
		running := o.lookup(t, "k")
		assert.Equal(t, o.id("k"), running.ID)
		assert.Equal(t, store.Running, running.State)
		assert.Equal(t, "pay", running.Operation)
		assert.Equal(t, store.NewScopeDigest("tenant"), running.Scope)
		assert.Equal(t, 1, running.Attempt)
		assert.NotZero(t, running.Token)
		assert.True(t, running.Marked)
		assert.False(t, running.Waiters)
		assert.WithinDuration(t, began, running.Created, 0)
		assert.WithinDuration(t, began, running.Started, 0)
		assert.True(t, running.Finished.IsZero())
		assert.WithinDuration(t, began.Add(lease), running.LeaseEnd, 0)
		assert.Equal(t, lease, running.Lease)
		assert.WithinDuration(t, time.Now(), running.Now, 0)
		w.end <- recorded("secret")
		_, err := owner.wait()
		require.NoError(t, err)
		done := o.lookup(t, "k")
		assert.Equal(t, store.Completed, done.State)
		assert.Equal(t, "test", done.Codec)
		assert.WithinDuration(t, time.Now(), done.Finished, 0)
		assert.WithinDuration(t, time.Now().Add(24*time.Hour), done.Expires, 0)
		a, err := o.guard.Answer(t.Context(), o.id("k"))
		require.NoError(t, err)
		assert.Equal(t, "secret", string(a.Body))
	})
}

func TestLookupReadsALapsedLeaseAsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, idempotency.Policy{MaxHold: lease})
		w := newWork(t)
		owner := begin(t.Context(), o.op, call("k"), w.run)
		time.Sleep(10 * lease)
		assert.Equal(t, store.Unknown, o.lookup(t, "k").State)
		_, err := o.guard.Answer(t.Context(), o.id("k"))
		refusal(t, err, idempotency.ErrResultUnavailable)
		w.end <- recorded("a")
		_, _ = owner.wait()
	})
}

func TestX4_SettlingWithAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		unknown := o.unknown(t, "k")
		require.Equal(t, store.Unknown, unknown.State)
		verdict := recorded("settled").Answer
		require.NoError(t, o.guard.Settle(t.Context(), o.id("k"), idempotency.Settlement{
			Token: unknown.Token, Answer: &verdict, By: "ada", Reason: "found at the provider",
		}))
		result, err := o.op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, "settled", string(result.Answer.Body))
		assert.Equal(t, []idempotency.Settled{{
			Operation: "pay", ID: o.id("k").Short(), Attempt: 1, From: store.Unknown,
			Decision: "complete", By: "ada", Reason: "found at the provider",
		}}, o.settled)
		assert.Contains(t, o.log.String(), "by=ada")
		assert.EqualValues(t, 1, o.guard.Stats()[0].Settled)
	})
}

func TestX3_SettlingByARelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		unknown := o.unknown(t, "k")
		release := idempotency.Settlement{Token: unknown.Token, Release: true}
		require.NoError(t, o.guard.Settle(t.Context(), o.id("k"), release))
		require.NoError(t, o.guard.Settle(t.Context(), o.id("k"), release), "said again")
		require.Len(t, o.settled, 1, "decided once")
		result, err := o.op.Execute(t.Context(), call("k"), gives(recorded("b")))
		require.NoError(t, err)
		assert.Equal(t, 2, result.Attempt)
	})
}

func TestX3_RunningAttemptIsSettledOnlyByTheWord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		w := newWork(t)
		owner := begin(t.Context(), o.op, call("k"), w.run)
		synctest.Wait()
		release := idempotency.Settlement{Token: o.lookup(t, "k").Token, Release: true}
		require.ErrorIs(t, o.guard.Settle(t.Context(), o.id("k"), release), idempotency.ErrSettleRefused)
		require.ErrorIs(t, o.guard.Purge(t.Context(), o.id("k"), release.Token, "", ""), idempotency.ErrSettleRefused)
		release.Running = true
		require.NoError(t, o.guard.Settle(t.Context(), o.id("k"), release))
		time.Sleep(lease)
		require.ErrorIs(t, context.Cause(w.context()), idempotency.ErrLeaseLost, "the stuck one hears of it")
		result, err := o.op.Execute(t.Context(), call("k"), gives(recorded("b")))
		require.NoError(t, err)
		assert.Equal(t, idempotency.Executed, result.Outcome)
		w.end <- recorded("a")
		result, err = owner.wait()
		require.NoError(t, err)
		assert.Equal(t, "b", string(result.Answer.Body), "it is fenced out")
	})
}

func TestSettlingIsForTheAttemptThatWasSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, idempotency.Policy{Orphan: idempotency.OrphanRerun})
		seen := o.unknown(t, "k")
		time.Sleep(time.Millisecond)
		o.unknown(t, "k") // taken over, and unknown again
		verdict := recorded("settled").Answer
		for _, s := range []idempotency.Settlement{{Token: seen.Token, Release: true}, {Token: seen.Token, Answer: &verdict}} {
			require.ErrorIs(t, o.guard.Settle(t.Context(), o.id("k"), s), idempotency.ErrSettleRefused)
		}
		require.ErrorIs(t, o.guard.Settle(t.Context(), o.id("none"), idempotency.Settlement{Release: true}), idempotency.ErrSettleRefused)
		require.ErrorIs(t, o.guard.Settle(t.Context(), o.id("k"), idempotency.Settlement{
			Token: o.lookup(t, "k").Token, Answer: &store.Answer{},
		}), store.ErrInvalid)
		for _, s := range []idempotency.Settlement{{}, {Answer: &verdict, Release: true}} {
			require.ErrorIs(t, o.guard.Settle(t.Context(), o.id("k"), s), store.ErrInvalid, "nothing said, or both")
		}
		assert.Empty(t, o.settled)
	})
}

func TestPurgeErasesTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		_, err := o.op.Execute(t.Context(), call("k"), gives(recorded("secret")))
		require.NoError(t, err)
		before := o.lookup(t, "k")
		require.NoError(t, o.guard.Purge(t.Context(), o.id("k"), before.Token, "ada", "asked for"))
		after := o.lookup(t, "k")
		assert.Equal(t, store.Released, after.State)
		assert.False(t, after.Expires.Before(before.Expires))
		_, err = o.guard.Answer(t.Context(), o.id("k"))
		refusal(t, err, idempotency.ErrResultUnavailable)
		assert.Equal(t, "purge", o.settled[0].Decision)
		result, err := o.op.Execute(t.Context(), call("k"), gives(recorded("b")))
		require.NoError(t, err)
		assert.Equal(t, idempotency.Executed, result.Outcome)
	})
}

func TestX5_ListByOperationStateAndAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		refund, err := o.guard.Operation("refund")
		require.NoError(t, err)
		for i := range 300 {
			_, err := o.op.Execute(t.Context(), call(strconv.Itoa(i)), gives(recorded("a")))
			require.NoError(t, err)
		}
		time.Sleep(time.Hour)
		_, err = refund.Execute(t.Context(), call("r"), gives(recorded("a")))
		require.NoError(t, err)
		for i := range 5 {
			o.unknown(t, "u"+strconv.Itoa(i))
		}
		require.NoError(t, o.guard.Health(t.Context())) // its probe is none of them
		for name, tt := range map[string]struct {
			query idempotency.Query
			want  int
		}{
			"all":                {idempotency.Query{}, 306},
			"an operation":       {idempotency.Query{Operation: "refund"}, 1},
			"a state":            {idempotency.Query{State: store.Unknown}, 5},
			"old":                {idempotency.Query{OlderThan: time.Minute}, 300},
			"young":              {idempotency.Query{YoungerThan: time.Minute, Operation: "pay"}, 5},
			"nothing":            {idempotency.Query{Operation: "none"}, 0},
			"a scope":            {idempotency.Query{Scope: store.NewScopeDigest("tenant")}, 306},
			"another scope":      {idempotency.Query{Scope: store.NewScopeDigest("other")}, 0},
			"in very small ones": {idempotency.Query{Limit: 1}, 306},
		} {
			assert.Len(t, allPages(t, o.guard, tt.query), tt.want, name)
		}
		_, err = o.guard.List(t.Context(), idempotency.Query{Cursor: "?"})
		require.ErrorIs(t, err, store.ErrInvalid)
		_, err = o.guard.List(t.Context(), idempotency.Query{Limit: -1})
		require.ErrorIs(t, err, store.ErrInvalid)
	})
}

func allPages(t *testing.T, guard *idempotency.Guard, q idempotency.Query) map[store.ID]idempotency.Status {
	t.Helper()
	found := make(map[store.ID]idempotency.Status)
	for range 1000 {
		page, err := guard.List(t.Context(), q)
		require.NoError(t, err)
		for _, status := range page.Records {
			found[status.ID] = status
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return found
		}
	}
	require.Fail(t, "the listing does not end")
	return nil
}

func TestStoresThatCannotBeInspectedSaySo(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	id := p.guard.ID("pay", "tenant", "k")
	_, err := p.guard.Lookup(t.Context(), id)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = p.guard.List(t.Context(), idempotency.Query{})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorIs(t, p.guard.Settle(t.Context(), id, idempotency.Settlement{Release: true}), errors.ErrUnsupported)
}

func TestOperatorsAreToldWhatIsWrongWithTheStore(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := o.guard.Lookup(gone, o.id("k"))
	refusal(t, err, idempotency.ErrStoreUnavailable)
	_, err = o.guard.Answer(gone, o.id("k"))
	refusal(t, err, idempotency.ErrStoreUnavailable)
	_, err = o.guard.List(gone, idempotency.Query{})
	refusal(t, err, idempotency.ErrStoreUnavailable)
}
