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

func fails(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func input(key string) pay { return pay{ID: key, Merchant: "m", Amount: 7} }
