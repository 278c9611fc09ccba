package idempotency_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

type refunds struct {
	Refund payFunc `idempotency:"refund"`
}

type captures struct {
	Capture payFunc `idempotency:"capture"`
}

func TestWeave_ReachesEmbeddedStructsAndPointers(t *testing.T) {
	t.Parallel()
	type desk struct {
		refunds
		More *captures
	}
	var refunded, captured worker
	svc := desk{refunds{refunded.pay}, &captures{captured.pay}}
	guard := start(t, newBackend()).guard
	require.NoError(t, idempotency.Weave(guard, &svc))
	assert.Equal(t, []string{"capture", "refund"}, guard.Operations())
	for range 2 {
		_, err := svc.Refund(t.Context(), input("k"))
		require.NoError(t, err)
		_, err = svc.More.Capture(t.Context(), input("k"))
		require.NoError(t, err)
	}
	assert.Equal(t, []int{1, 1}, []int{refunded.runs, captured.runs})
}

func TestWeave_LeavesNothingUnprotectedInSilence(t *testing.T) {
	t.Parallel()
	create := func(context.Context, pay) (paid, error) { return paid{}, nil }
	own := captures{create}
	tests := []struct {
		name string
		of   any
		want string
	}{
		{"a slice", &struct{ L []refunds }{}, "L: []idempotency_test.refunds holds functions to protect, which Weave does not reach"},
		{"a map of functions", &struct{ M map[string]payFunc }{}, "M: map[string]idempotency_test.payFunc holds functions"},
		{"an interface", &struct{ I any }{&own}, "I: *idempotency_test.captures holds functions"},
		{"a nil pointer", &struct{ P *refunds }{}, "P: *idempotency_test.refunds holds functions to protect, and it is nil"},
		{"a tag without a name", &struct {
			F payFunc `idempotency:"required,retention=1h"`
		}{create}, `the operation's name comes first, and "required" is a word of a policy`},
		{"a tag with a value first", &struct {
			F payFunc `idempotency:"retention=1h"`
		}{create}, `the operation's name comes first, and "retention=1h" is a word of a policy`},
		{"a misspelt tag", &struct {
			F payFunc `idempotent:"pay"`
		}{create}, `F: there is no tag "idempotent"; the nearest is "idempotency"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.ErrorContains(t, idempotency.Weave(start(t, newBackend()).guard, tt.of), tt.want)
		})
	}
}

func TestAnOperationIsOneFunctions(t *testing.T) {
	t.Parallel()
	var w worker
	guard := start(t, newBackend()).guard
	svc := captures{w.pay}
	require.NoError(t, idempotency.Weave(guard, &svc))
	assert.ErrorContains(t, idempotency.Weave(guard, &svc), `operation "capture" is another function's`)
	_, err := idempotency.Wrap(guard, "capture", w.pay)
	assert.ErrorContains(t, err, `operation "capture" is another function's`)

	require.Error(t, idempotency.Weave(guard, &struct {
		refunds
		Bad payFunc `idempotency:"bad,wait=x"`
	}{refunds{w.pay}, w.pay}))
	assert.NoError(t, idempotency.Weave(guard, &refunds{w.pay}), "a Weave that failed leaves the names free")
}

func TestOverrideOfAFunctionRefusesWhatIsForHTTP(t *testing.T) {
	t.Parallel()
	var w worker
	guard := start(t, newBackend()).guard
	w.wrapped(t, guard)
	assert.ErrorContains(t, guard.Override("pay", idempotency.Policy{Conflict: idempotency.Conflict425}), "Conflict is for HTTP")
	assert.ErrorContains(t, guard.Override("pay", idempotency.Policy{Stream: idempotency.StreamPass}), "Stream is for HTTP")
	assert.NoError(t, guard.Override("pay", idempotency.Policy{Key: idempotency.KeyOff}))
}
