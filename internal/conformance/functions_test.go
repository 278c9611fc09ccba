package conformance_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// functionLevels are the ways of protecting a function.
func functionLevels() []level {
	return []level{
		{name: "Do", open: openDo},
		{name: "Do with tags", open: openDoTagged, mistake: wrongDo, names: []string{"wrongInput.ID", `"kee"`, `"key"`}},
		{name: "Wrap", open: openWrap, mistake: wrongWrap, names: []string{"wrongInput.ID", `"kee"`, `"key"`}},
		{name: "Wrap with the context", open: openWrapContext},
		{name: "Weave", open: openWeave, mistake: wrongWeave, names: []string{"wrongService.Create", `"retentoin=1h"`, `"retention="`}},
	}
}

func (d orderDesk) parsed(t *testing.T) idempotency.Policy {
	t.Helper()
	policy, err := idempotency.ParsePolicy(d.words())
	require.NoError(t, err)
	return policy
}

// counted is what counts of an order.
type counted struct {
	Amount int `json:"amount"`
}

func openDo(t *testing.T, desk orderDesk) callFunc {
	policy := desk.parsed(t)
	return func(ctx context.Context, in orderInput) (orderOutput, error) {
		request := idempotency.Request{Operation: "orders.do", Scope: in.Tenant, Key: in.ID, Input: counted{in.Amount}}
		out, _, err := idempotency.Do(ctx, desk.guard, request, func(ctx context.Context) (orderOutput, error) {
			return desk.run(ctx, in)
		}, policy)
		return out, err
	}
}

func openDoTagged(t *testing.T, desk orderDesk) callFunc {
	policy := desk.parsed(t)
	return func(ctx context.Context, in orderInput) (orderOutput, error) {
		out, _, err := idempotency.Do(ctx, desk.guard, idempotency.Request{Operation: "orders.tagged", Input: &in},
			func(ctx context.Context) (orderOutput, error) { return desk.run(ctx, in) }, policy)
		return out, err
	}
}

func openWrap(t *testing.T, desk orderDesk) callFunc {
	wrapped, err := idempotency.Wrap(desk.guard, "orders.wrap", desk.run, desk.parsed(t))
	require.NoError(t, err)
	return wrapped
}

func openWrapContext(t *testing.T, desk orderDesk) callFunc {
	wrapped, err := idempotency.Wrap(desk.guard, "orders.context", func(ctx context.Context, in counted) (orderOutput, error) {
		return desk.run(ctx, orderInput{Amount: in.Amount})
	}, desk.parsed(t))
	require.NoError(t, err)
	return func(ctx context.Context, in orderInput) (orderOutput, error) {
		ctx = idempotency.WithKey(idempotency.WithScope(ctx, in.Tenant), in.ID)
		return wrapped(ctx, counted{in.Amount})
	}
}

// openWeave says the policy as an option, since a tag cannot change from test to test.
func openWeave(t *testing.T, desk orderDesk) callFunc {
	svc := struct {
		Create func(context.Context, *orderInput) (*orderOutput, error) `idempotency:"orders.weave,required"`
	}{func(ctx context.Context, in *orderInput) (*orderOutput, error) {
		out, err := desk.run(ctx, *in)
		return &out, err
	}}
	require.NoError(t, idempotency.Weave(desk.guard, &svc, desk.parsed(t)))
	return func(ctx context.Context, in orderInput) (orderOutput, error) {
		out, err := svc.Create(ctx, &in)
		if err != nil {
			return orderOutput{}, err
		}
		return *out, nil
	}
}

type wrongInput struct {
	ID string `idempotency:"kee"`
}

func wrongDo(g *idempotency.Guard) error {
	_, _, err := idempotency.Do(context.Background(), g, idempotency.Request{Operation: "wrong", Input: wrongInput{}},
		func(context.Context) (int, error) { return 0, nil })
	return err
}

func wrongWrap(g *idempotency.Guard) error {
	_, err := idempotency.Wrap(g, "wrong", func(context.Context, wrongInput) (int, error) { return 0, nil })
	return err
}

type wrongService struct {
	Create func(context.Context, orderInput) (int, error) `idempotency:"wrong,retentoin=1h"`
}

func wrongWeave(g *idempotency.Guard) error {
	return idempotency.Weave(g, &wrongService{func(context.Context, orderInput) (int, error) { return 0, nil }})
}
