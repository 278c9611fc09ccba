package idempotency_test

import (
	"context"
	"errors"
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
		o := newOffice(t, idempotency.Replays("mail/1", nil), idempotency.Replays("mail/2", nil))
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
		}, idempotency.Replays("mail/1", nil))

		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrOutcomeUnknown)
		require.ErrorIs(t, err, store.ErrInvalid)
		_, rec := b.only(t)
		assert.Equal(t, store.Unknown, rec.State)
	})
}

func TestAnAnswerThatTheTransportsCheckRefusesIsNotRecorded(t *testing.T) {
	t.Parallel()
	checked := func(a store.Answer) error {
		if string(a.Body) != "whole" {
			return errors.New("it is half an answer")
		}
		return nil
	}
	replays := []idempotency.OperationOption{
		idempotency.Replays("mail/1", checked), idempotency.Replays("mail/2", nil), idempotency.Replays("mail/1", nil),
	}
	answer := func(codec, body string) *store.Answer {
		return &store.Answer{Codec: codec, Meta: []byte{1}, Body: []byte(body)}
	}
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, replays...)
		status := o.unknown(t, "k")
		settle := func(a *store.Answer) error {
			return o.guard.Settle(t.Context(), o.id("k"), idempotency.Settlement{Token: status.Token, Answer: a})
		}
		err := settle(answer("mail/1", "half"))
		require.ErrorIs(t, err, store.ErrInvalid)
		require.ErrorContains(t, err, `it is no answer of operation "pay": it is half an answer`)
		assert.Equal(t, store.Unknown, o.lookup(t, "k").State, "nothing was decided")
		require.NoError(t, settle(answer("mail/1", "whole")))

		status = o.unknown(t, "l")
		require.NoError(t, o.guard.Settle(t.Context(), o.id("l"), idempotency.Settlement{
			Token: status.Token, Answer: answer("mail/2", "half"),
		}), "a codec without a check")
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		_, op := reconciled(t, b, true, func(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
			return idempotency.Happened(*answer("mail/1", "half")), nil
		}, replays...)
		_, err := op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrOutcomeUnknown)
		require.ErrorContains(t, err, "it is half an answer")
		_, rec := b.only(t)
		assert.Equal(t, store.Unknown, rec.State)
	})
}

func TestAnOptionOfAnotherPlaceIsNamed(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, err := o.guard.Operation("other", idempotency.NoOperationOption("mail.Postage", "mail.Letter"))
	require.ErrorContains(t, err, `operation "other": mail.Postage is for mail.Letter`)
}

func TestReplaysNamesItsCodecs(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, err := o.guard.Operation("other", idempotency.Replays("", nil))
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
		other = inCodec("json/1") // and no function's
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
