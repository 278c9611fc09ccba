package idempotency_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/idempotency"
)

// Whatever is in a record, a function gives its answer again or refuses, and never
// runs.
func FuzzRecordedAnswersOfFunctions(f *testing.F) {
	f.Add("json/1", []byte{1, 1}, []byte(`{"run":1}`))
	f.Add("json/1", []byte{1, 2, 4, 'c', 'a', 'r', 'd'}, []byte("the card is expired"))
	f.Add("json/1", []byte{1, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, []byte(""))
	f.Add("http/1", []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, codec string, meta, body []byte) {
		var w worker
		p := start(t, newBackend())
		wrapped := w.wrapped(t, p.guard, idempotency.ErrorNames(map[string]error{"card": errCard}))
		op, _ := p.guard.Registered("pay")
		answer := functionAnswer(codec, meta, string(body))
		_, _ = op.Execute(t.Context(), idempotency.Call{Scope: "m", Key: "k"}, gives(answer))
		got, err := wrapped(t.Context(), input("k"))
		assert.Zero(t, w.runs)
		if err == nil {
			return
		}
		assert.Zero(t, got)
		refusal, refused := errors.AsType[*idempotency.Error](err)
		assert.True(t, refused || idempotency.IsFinal(err))
		if refused {
			assert.Contains(t, []idempotency.Code{
				idempotency.ErrResultUnavailable, idempotency.ErrRecordUnreadable, idempotency.ErrOutcomeUnknown,
			}, refusal.Code)
		}
	})
}
