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
		{"a misspelt word for a name", &struct {
			F payFunc `idempotency:"optinal,retention=72h"`
		}{create}, `"optinal" looks like the policy's "optional"; give it a name like "payments.create"`},
		{"a word in capitals for a name", &struct {
			F payFunc `idempotency:"Off"`
		}{create}, `"Off" looks like the policy's "off"`},
		{"a space in the name", &struct {
			F payFunc `idempotency:"orders.create required"`
		}{create}, `the operation's name comes first, and "orders.create required" has a space in it`},
		{"a comma and nothing", &struct {
			F payFunc `idempotency:"orders.create,"`
		}{create}, `nothing follows the comma`},
		{"excluded, and with words", &struct {
			F payFunc `idempotency:"-,required"`
		}{create}, `"-" stands alone`},
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

// A route and a function of one name would find records that they cannot read.
func TestAnOperationIsNotBothATransportsAndAFunctions(t *testing.T) {
	t.Parallel()
	var w worker
	guard := start(t, newBackend()).guard
	_, err := guard.Operation("route", idempotency.Replays("http/1", nil))
	require.NoError(t, err)
	_, err = idempotency.Wrap(guard, "route", w.pay)
	require.ErrorContains(t, err, `operation "route" is a route's or a method's`)
	_, _, err = idempotency.Do(t.Context(), guard, idempotency.Request{Operation: "route", Scope: "s", Key: "k"},
		func(context.Context) (int, error) { w.runs++; return 0, nil })
	require.ErrorContains(t, err, `operation "route" is a route's or a method's`)

	_, err = guard.Operation("json", idempotency.Replays(idempotency.JSONCodec().Name(), nil))
	require.NoError(t, err)
	_, _, err = idempotency.Do(t.Context(), guard, idempotency.Request{Operation: "json", Scope: "s", Key: "k"},
		func(context.Context) (int, error) { w.runs++; return 0, nil })
	require.ErrorContains(t, err, `operation "json" is a route's or a method's`, "whatever its codec is called")
	_, _, err = idempotency.Do(t.Context(), guard, idempotency.Request{Operation: "done", Scope: "s", Key: "k"},
		func(context.Context) (int, error) { return 0, nil })
	require.NoError(t, err)
	_, err = guard.Operation("done", idempotency.Replays("http/1", nil))
	require.ErrorContains(t, err, `operation "done" is a wrapped function's`)

	_, err = idempotency.Wrap(guard, "function", w.pay)
	require.NoError(t, err)
	_, err = guard.Operation("function", idempotency.Replays("http/1", nil))
	require.ErrorContains(t, err, `operation "function" is a wrapped function's`)
	require.ErrorContains(t, guard.CheckOperation("function", idempotency.Replays("http/1", nil)), `is a wrapped function's`)
	assert.Zero(t, w.runs)
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

// What is reachable twice, or reaches itself, is woven once.
func TestWeave_GoesOnceBehindAPointer(t *testing.T) {
	t.Parallel()
	type loop struct {
		Capture payFunc `idempotency:"capture"`
		Self    *loop
		Same    refunds
		Again   *refunds
	}
	var w worker
	svc := loop{Capture: w.pay, Same: refunds{w.pay}}
	svc.Self, svc.Again = &svc, &svc.Same
	guard := start(t, newBackend()).guard
	require.NoError(t, idempotency.Weave(guard, &svc))
	for range 2 {
		_, err := svc.Self.Capture(t.Context(), input("k"))
		require.NoError(t, err)
		_, err = svc.Again.Refund(t.Context(), input("k"))
		require.NoError(t, err)
	}
	assert.Equal(t, 2, w.runs)

	same := &refunds{w.pay}
	require.NoError(t, idempotency.Weave(start(t, newBackend()).guard, &struct{ A, B *refunds }{same, same}))
	other := &struct{ A, B *refunds }{&refunds{w.pay}, &refunds{w.pay}}
	assert.ErrorContains(t, idempotency.Weave(start(t, newBackend()).guard, other), `operation "refund" is that of refunds.Refund`,
		"two structs are not one")
}

// A tag asks for protection also where it is on no function that could have it; "-" asks
// for none.
func TestWeave_AsksOfTaggedFunctionsOutOfReach(t *testing.T) {
	t.Parallel()
	type odd struct {
		Then func() `idempotency:"then"`
	}
	type left struct {
		Pay payFunc `idempotency:"-"`
	}
	guard := start(t, newBackend()).guard
	err := idempotency.Weave(guard, &struct {
		captures
		Odd []odd
	}{captures: captures{new(worker).pay}})
	require.ErrorContains(t, err, "Odd: []idempotency_test.odd holds functions to protect")
	require.NoError(t, idempotency.Weave(guard, &struct {
		captures
		Left []left
		Then []func()
	}{captures: captures{new(worker).pay}}))
}
