package idempotency_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// pay is what the tests' functions are asked for.
type pay struct {
	ID       string `json:"id"       idempotency:"key"`
	Merchant string `json:"merchant" idempotency:"scope"`
	Amount   int    `json:"amount"`
	Comment  string `json:"comment"  idempotency:"-"`
}

type paid struct {
	Run    int `json:"run"`
	Amount int `json:"amount"`
}

var errCard = errors.New("the card is expired")

// worker counts the runs of a function that answers with what it is told to.
type worker struct {
	runs int
	do   func(context.Context) error // may be nil
}

func (w *worker) pay(ctx context.Context, in pay) (paid, error) {
	w.runs++
	if w.do != nil {
		if err := w.do(ctx); err != nil {
			return paid{}, err
		}
	}
	return paid{Run: w.runs, Amount: in.Amount}, nil
}

func (w *worker) wrapped(t *testing.T, g *idempotency.Guard, opts ...idempotency.OperationOption) func(context.Context, pay) (paid, error) {
	t.Helper()
	wrapped, err := idempotency.Wrap(g, "pay", w.pay, opts...)
	require.NoError(t, err)
	return wrapped
}

// everyWay runs a test for each way of protecting a function, as "pay".
func everyWay(
	t *testing.T, each func(t *testing.T, protect func(*idempotency.Guard, payFunc, ...idempotency.OperationOption) payFunc),
) {
	t.Helper()
	ways := map[string]func(*testing.T, *idempotency.Guard, payFunc, ...idempotency.OperationOption) payFunc{
		"Wrap": wrapping, "Weave": weaving, "Do": doing,
	}
	for name, protect := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(g *idempotency.Guard, fn payFunc, opts ...idempotency.OperationOption) payFunc {
				return protect(t, g, fn, opts...)
			})
		})
	}
}

func wrapping(t *testing.T, g *idempotency.Guard, fn payFunc, opts ...idempotency.OperationOption) payFunc {
	t.Helper()
	wrapped, err := idempotency.Wrap(g, "pay", fn, opts...)
	require.NoError(t, err)
	return wrapped
}

func weaving(t *testing.T, g *idempotency.Guard, fn payFunc, opts ...idempotency.OperationOption) payFunc {
	t.Helper()
	svc := struct {
		Pay payFunc `idempotency:"pay"`
	}{fn}
	require.NoError(t, idempotency.Weave(g, &svc, opts...))
	return svc.Pay
}

func doing(_ *testing.T, g *idempotency.Guard, fn payFunc, opts ...idempotency.OperationOption) payFunc {
	return func(ctx context.Context, in pay) (paid, error) {
		out, _, err := idempotency.Do(ctx, g, idempotency.Request{Operation: "pay", Input: in},
			func(ctx context.Context) (paid, error) { return fn(ctx, in) }, opts...)
		return out, err
	}
}

func fails(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func input(key string) pay { return pay{ID: key, Merchant: "m", Amount: 7} }
