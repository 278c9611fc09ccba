package idempotency_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// inCodec is an answer as another transport encodes it.
func inCodec(codec string) store.Answer {
	made := recorded("found").Answer
	made.Codec = codec
	return made
}

func TestSettlingWithAnAnswerThatNobodyCouldGetIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, idempotency.Replays("mail/1"), idempotency.Replays("mail/2"))
		status := o.unknown(t, "k")

		other := inCodec("http/1")
		err := o.guard.Settle(t.Context(), o.id("k"), idempotency.Settlement{Token: status.Token, Answer: &other})
		require.ErrorIs(t, err, store.ErrInvalid)
		require.ErrorContains(t, err, `the answers of operation "pay" are ["mail/1" "mail/2"], not "http/1"`)
		assert.Equal(t, store.Unknown, o.lookup(t, "k").State, "nothing was decided")

		own := inCodec("mail/2")
		require.NoError(t, o.guard.Settle(t.Context(), o.id("k"), idempotency.Settlement{Token: status.Token, Answer: &own}))
		assert.Equal(t, store.Completed, o.lookup(t, "k").State)
	})
}

func TestFoundAnswerThatNobodyCouldGetIsNotRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		_, op := reconciled(t, b, true, func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
			return idempotency.Happened(inCodec("http/1")), nil
		}, idempotency.Replays("mail/1"))

		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrOutcomeUnknown)
		require.ErrorIs(t, err, store.ErrInvalid)
		_, rec := b.only(t)
		assert.Equal(t, store.Unknown, rec.State)
	})
}

func TestReplaysNamesItsCodecs(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, err := o.guard.Operation("other", idempotency.Replays(""))
	require.ErrorContains(t, err, "Replays: a codec's name is empty")
}

func TestAFunctionsUnknownOutcomeIsSettledWithItsResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		runs := 0
		book, err := idempotency.Wrap(o.guard, "book", func(context.Context, pay) (paid, error) {
			runs++
			panic("in mid-air")
		})
		require.NoError(t, err)
		require.Panics(t, func() { _, _ = book(t.Context(), input("k")) })
		id := o.guard.ID("book", "m", "k")
		status, err := o.guard.Lookup(t.Context(), id)
		require.NoError(t, err)

		other := inCodec("http/1")
		err = o.guard.Settle(t.Context(), id, idempotency.Settlement{Token: status.Token, Answer: &other})
		require.ErrorIs(t, err, store.ErrInvalid)

		found, err := idempotency.NewAnswer(nil, paid{Run: 1, Amount: 7})
		require.NoError(t, err)
		require.NoError(t, o.guard.Settle(t.Context(), id, idempotency.Settlement{Token: status.Token, Answer: &found}))
		got, err := book(t.Context(), input("k"))
		require.NoError(t, err)
		assert.Equal(t, paid{Run: 1, Amount: 7}, got)
		assert.Equal(t, 1, runs)
	})
}
