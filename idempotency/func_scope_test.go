package idempotency_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// bill is an input whose tags say nothing of a scope.
type bill struct {
	ID     string `idempotency:"key"`
	Amount int
}

type billFunc func(context.Context, bill) (int, error)

// howToSayAScope is what a function without one is told.
const howToSayAScope = "no scope: tag a field with scope, or give ContextScope or GlobalScope"

func TestFunctionsChooseTheirScopeAtConstruction_A3(t *testing.T) {
	t.Parallel()
	inContext, global := idempotency.ContextScope(), idempotency.GlobalScope()
	off := idempotency.Policy{Key: idempotency.KeyOff}
	const (
		exclude = "ContextScope and GlobalScope exclude each other: leave one of them out"
		twice   = "GlobalScope beside a scope of the input or the request: leave one of them out"
	)
	type options = []idempotency.OperationOption
	tests := []struct {
		name    string
		opts    options
		in, tag string // what is wrong without a scope field, and with one; "" if nothing is
	}{
		{"none", nil, howToSayAScope, ""},
		{"none, off", options{off}, howToSayAScope, ""},
		{"the context", options{inContext}, "", ""},
		{"the context, twice", options{inContext, inContext}, "", ""},
		{"global", options{global}, "", twice},
		{"both", options{inContext, global}, exclude, exclude},
		{"both, the other way round", options{global, inContext}, exclude, exclude},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			guard := start(t, newBackend()).guard
			bills := struct {
				Pay billFunc `idempotency:"bills.weave"`
			}{func(context.Context, bill) (int, error) { return 1, nil }}
			var w worker
			pays := struct {
				Pay payFunc `idempotency:"pays.weave"`
			}{w.pay}

			_, err := idempotency.Wrap(guard, "bills.wrap", bills.Pay, tt.opts...)
			saysOnly(t, err, `idempotency: Wrap: operation "bills.wrap": `, tt.in)
			err = idempotency.Weave(guard, &bills, tt.opts...)
			saysOnly(t, err, "idempotency: Weave: struct.Pay: ", tt.in)
			_, err = idempotency.Wrap(guard, "pays.wrap", w.pay, tt.opts...)
			saysOnly(t, err, `idempotency: Wrap: operation "pays.wrap": `, tt.tag)
			err = idempotency.Weave(guard, &pays, tt.opts...)
			saysOnly(t, err, "idempotency: Weave: struct.Pay: ", tt.tag)

			var registered []string
			if tt.in == "" {
				registered = append(registered, "bills.weave", "bills.wrap")
			}
			if tt.tag == "" {
				registered = append(registered, "pays.weave", "pays.wrap")
			}
			assert.Equal(t, registered, guard.Operations(), "nothing is registered after a mistake")
		})
	}
}

func saysOnly(t *testing.T, err error, before, want string) {
	t.Helper()
	if want == "" {
		assert.NoError(t, err)
		return
	}
	assert.EqualError(t, err, before+want)
}

func TestScopeOfTheContextKeepsTenantsApart_A1(t *testing.T) {
	t.Parallel()
	runs := 0
	p := start(t, newBackend())
	charge, err := idempotency.Wrap(p.guard, "charge", func(context.Context, bill) (int, error) {
		runs++
		return runs, nil
	}, idempotency.ContextScope())
	require.NoError(t, err)
	for _, tenant := range []struct {
		scope string
		run   int
	}{{"one", 1}, {"other", 2}, {"one", 1}} {
		got, err := charge(idempotency.WithScope(t.Context(), tenant.scope), bill{ID: "k", Amount: 7})
		require.NoError(t, err)
		assert.Equal(t, tenant.run, got, tenant.scope)
	}
}

func TestAnEmptyScopeRunsNothing_A4(t *testing.T) {
	t.Parallel()
	forbidden := func(context.Context) (int, error) {
		assert.Fail(t, "it ran")
		return 0, nil
	}
	guard := start(t, newBackend()).guard
	charge, err := idempotency.Wrap(guard, "charge", func(ctx context.Context, _ bill) (int, error) { return forbidden(ctx) },
		idempotency.ContextScope())
	require.NoError(t, err)
	do := func(ctx context.Context) error {
		_, _, err := idempotency.Do(ctx, guard, idempotency.Request{Operation: "do", Input: bill{ID: "k"}}, forbidden)
		return err
	}
	for _, ctx := range []context.Context{t.Context(), idempotency.WithScope(t.Context(), "")} {
		_, err := charge(ctx, bill{ID: "k"})
		assert.EqualError(t, refusal(t, err, idempotency.ErrScopeMissing).Err,
			"no scope: the context has none of WithScope, as ContextScope asks for")
		assert.EqualError(t, refusal(t, do(ctx), idempotency.ErrScopeMissing).Err,
			"no scope: say one in the request or a tagged field of its input, in the context by WithScope, or give GlobalScope")
	}
}

// A scope field goes on deciding where ContextScope is for others of the same struct.
func TestAScopeFieldAndTheContextMustAgree(t *testing.T) {
	t.Parallel()
	var w worker
	wrapped := w.wrapped(t, start(t, newBackend()).guard, idempotency.ContextScope())
	_, err := wrapped(t.Context(), input("k"))
	require.NoError(t, err)
	_, err = wrapped(idempotency.WithScope(t.Context(), "m"), input("k"))
	require.NoError(t, err)
	_, err = wrapped(idempotency.WithScope(t.Context(), "n"), input("k"))
	refusal(t, err, idempotency.ErrKeyInvalid)
	_, err = wrapped(idempotency.WithScope(t.Context(), "m"), pay{ID: "k"})
	refusal(t, err, idempotency.ErrScopeMissing)
	assert.Equal(t, 1, w.runs)
}

func TestGlobalScopeIsOneForAllCallers(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	runs := 0
	run := func(ctx context.Context, _ bill) (int, error) {
		runs++
		info, _ := idempotency.FromContext(ctx)
		assert.Equal(t, p.guard.ID(info.Operation, idempotency.GlobalScopeName, "k").String(), info.OperationID)
		return runs, nil
	}
	wrapped, err := idempotency.Wrap(p.guard, "wrap", run, idempotency.GlobalScope())
	require.NoError(t, err)
	woven := struct {
		Pay billFunc `idempotency:"weave"`
	}{run}
	require.NoError(t, idempotency.Weave(p.guard, &woven, idempotency.GlobalScope()))
	ways := map[string]billFunc{"Wrap": wrapped, "Weave": woven.Pay, "Do": func(ctx context.Context, in bill) (int, error) {
		out, _, err := idempotency.Do(ctx, p.guard, idempotency.Request{Operation: "do", Input: in},
			func(ctx context.Context) (int, error) { return run(ctx, in) }, idempotency.GlobalScope())
		return out, err
	}}
	for name, call := range ways {
		runs = 0
		for _, ctx := range []context.Context{t.Context(), idempotency.WithScope(t.Context(), "one"), idempotency.WithScope(t.Context(), "other")} {
			got, err := call(ctx, bill{ID: "k"})
			require.NoError(t, err, name)
			assert.Equal(t, 1, got, name)
		}
		assert.Equal(t, 1, runs, name)
	}
	assert.Equal(t, "\x00global", idempotency.GlobalScopeName, "records that exist are named by it, and the transports have the same")
}

func TestDoRefusesGlobalScopeBesideAnother(t *testing.T) {
	t.Parallel()
	guard := start(t, newBackend()).guard
	for name, request := range map[string]idempotency.Request{
		"of the request": {Operation: "pay", Scope: "m", Key: "k"},
		"of the input":   {Operation: "pay", Input: input("k")},
	} {
		_, _, err := idempotency.Do(t.Context(), guard, request, func(context.Context) (int, error) {
			assert.Fail(t, "it ran")
			return 0, nil
		}, idempotency.GlobalScope())
		assert.EqualError(t, err, "idempotency: Do: GlobalScope beside a scope of the input or the request: leave one of them out", name)
	}
	_, err := guard.Operation("pay", idempotency.GlobalScope())
	assert.ErrorContains(t, err, "GlobalScope is for Do, Wrap and Weave")
	assert.Empty(t, guard.Operations())
}
