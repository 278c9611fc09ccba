package conformance_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// functionLevels are the ways of protecting a function.
func functionLevels() []level {
	const byCall = "the request says the scope in each call, and nothing is constructed before the first"
	all := []level{
		{
			name: "Do", operation: "orders.do", open: openDo, scopedByCall: byCall,
			mistakes: []mistake{{"a policy's word", wrongPolicyInDo, []string{"Key", `"requierd"`}}},
		},
		{
			name: "Do with tags", operation: "orders.tagged", open: openDoTagged, scopedByCall: byCall,
			mistakes: []mistake{{"a field's word", wrongTagInDo, []string{"misspelt.ID", `"kee"`, `"key"`}}},
		},
		{
			name: "Wrap", operation: "orders.wrap", open: openWrap, unscoped: unscopedWrap,
			mistakes: []mistake{
				{"a field's word", wrongTagInWrap, []string{`"orders.wrap"`, "misspelt.ID", `"kee"`, `"key"`}},
				{"a policy's word", wrongPolicyInWrap, []string{`"orders.wrap"`, "Key", `"requierd"`}},
			},
		},
		{
			name: "Wrap with the context", operation: "orders.context", open: openWrapContext, unscoped: unscopedWrapContext,
			mistakes: []mistake{{"what tags say", wrongExclude, []string{`"orders.context"`, "FingerprintExclude", "tags"}}},
		},
		{
			name: "Weave", operation: "orders.weave", open: openWeave, unscoped: unscopedWeave,
			mistakes: []mistake{
				{"a function's word", wrongTagInWeave, []string{"wrongService.Create", `"retentoin=1h"`, `"retention="`}},
				{"a field's word", wrongInputInWeave, []string{"wrongInputService.Create", "misspelt.ID", `"kee"`}},
			},
		},
	}
	for i := range all {
		all[i].passing = []trouble{1}
	}
	return all
}

// outcomeKey is where a call's context keeps what the library says came of it: only Do
// returns that.
type outcomeKey struct{}

// outcomes tell each call that wants to know.
func outcomes() idempotency.Trace {
	return idempotency.Trace{Finished: func(ctx context.Context, f idempotency.Finished) {
		if outcome, ok := ctx.Value(outcomeKey{}).(*idempotency.Outcome); ok && !f.Shadow { // where it is what would have been
			*outcome = f.Outcome
		}
	}}
}

// heeding is a function whose calls say whether they were answered by a replay.
func heeding(call func(context.Context, orderInput) (orderOutput, error)) callFunc {
	return func(ctx context.Context, in orderInput) (answered, error) {
		var outcome idempotency.Outcome
		out, err := call(context.WithValue(ctx, outcomeKey{}, &outcome), in)
		return answered{orderOutput: out, Replayed: outcome == idempotency.Replayed}, err
	}
}

// counted is what an order is compared by, where its key and scope come from elsewhere.
type counted struct {
	Amount  int    `json:"amount"`
	TraceID string `json:"trace_id" idempotency:"-"`
}

func openDo(t *testing.T, desk orderDesk) callFunc {
	t.Helper()
	return doing(t, desk, func(in orderInput) idempotency.Request {
		return idempotency.Request{Operation: "orders.do", Scope: in.Tenant, Key: in.ID, Input: counted{in.Amount, in.TraceID}}
	})
}

func openDoTagged(t *testing.T, desk orderDesk) callFunc {
	t.Helper()
	return doing(t, desk, func(in orderInput) idempotency.Request {
		return idempotency.Request{Operation: "orders.tagged", Input: &in}
	})
}

func doing(t *testing.T, desk orderDesk, request func(orderInput) idempotency.Request) callFunc {
	t.Helper()
	policy := desk.parsed(t)
	return func(ctx context.Context, in orderInput) (answered, error) {
		out, result, err := idempotency.Do(ctx, desk.guard, request(in), func(ctx context.Context) (orderOutput, error) {
			return desk.run(ctx, in)
		}, policy)
		return answered{orderOutput: out, Replayed: result.Outcome == idempotency.Replayed}, err
	}
}

func openWrap(t *testing.T, desk orderDesk) callFunc {
	t.Helper()
	wrapped, err := idempotency.Wrap(desk.guard, "orders.wrap", desk.run, desk.parsed(t))
	require.NoError(t, err)
	return heeding(wrapped)
}

func unscopedWrap(t *testing.T, desk orderDesk, openly bool) (callFunc, error) {
	t.Helper()
	wrapped, err := idempotency.Wrap(desk.guard, "orders.wrap", desk.runUnscoped, global(openly, desk.parsed(t))...)
	return heeding(func(ctx context.Context, in orderInput) (orderOutput, error) { return wrapped(ctx, unscopedInput(in)) }), err
}

func (d orderDesk) runUnscoped(ctx context.Context, in unscopedInput) (orderOutput, error) {
	return d.run(ctx, orderInput(in))
}

// global says that there is no scope, if that is to be said.
func global(openly bool, options ...idempotency.OperationOption) []idempotency.OperationOption {
	if openly {
		options = append(options, idempotency.GlobalScope())
	}
	return options
}

func openWrapContext(t *testing.T, desk orderDesk) callFunc {
	t.Helper()
	call, err := wrapContext(desk, desk.parsed(t), idempotency.ContextScope())
	require.NoError(t, err)
	return func(ctx context.Context, in orderInput) (answered, error) {
		return call(idempotency.WithScope(ctx, in.Tenant), in)
	}
}

func unscopedWrapContext(t *testing.T, desk orderDesk, openly bool) (callFunc, error) {
	t.Helper()
	return wrapContext(desk, global(openly, desk.parsed(t))...)
}

func wrapContext(desk orderDesk, options ...idempotency.OperationOption) (callFunc, error) {
	wrapped, err := idempotency.Wrap(desk.guard, "orders.context", func(ctx context.Context, in counted) (orderOutput, error) {
		return desk.run(ctx, orderInput{Amount: in.Amount, TraceID: in.TraceID})
	}, options...)
	return heeding(func(ctx context.Context, in orderInput) (orderOutput, error) {
		return wrapped(idempotency.WithKey(ctx, in.ID), counted{in.Amount, in.TraceID})
	}), err
}

func openWeave(t *testing.T, desk orderDesk) callFunc {
	t.Helper()
	call, err := weave(desk, func(ctx context.Context, in *orderInput) (*orderOutput, error) {
		out, err := desk.run(ctx, *in)
		return &out, err
	})
	require.NoError(t, err)
	return heeding(func(ctx context.Context, in orderInput) (orderOutput, error) { return deref(call()(ctx, &in)) })
}

func unscopedWeave(t *testing.T, desk orderDesk, openly bool) (callFunc, error) {
	t.Helper()
	call, err := weave(desk, func(ctx context.Context, in *unscopedInput) (*orderOutput, error) {
		out, err := desk.runUnscoped(ctx, *in)
		return &out, err
	}, global(openly)...)
	return heeding(func(ctx context.Context, in orderInput) (orderOutput, error) {
		open := unscopedInput(in)
		return deref(call()(ctx, &open))
	}), err
}

func deref(out *orderOutput, err error) (orderOutput, error) {
	if out == nil {
		return orderOutput{}, err
	}
	return *out, err
}

// weave weaves a struct whose tag is known at run time only, and returns what became of
// its function.
func weave[F any](desk orderDesk, fn F, options ...idempotency.OperationOption) (func() F, error) {
	svc := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: "Create", Type: reflect.TypeFor[F](),
		Tag: reflect.StructTag(fmt.Sprintf(`idempotency:%q`, "orders.weave,"+desk.words())),
	}}))
	svc.Elem().Field(0).Set(reflect.ValueOf(fn))
	err := idempotency.Weave(desk.guard, svc.Interface(), options...)
	return func() F { woven, _ := reflect.TypeAssert[F](svc.Elem().Field(0)); return woven }, err
}

// misspelt has a word that there is not.
type misspelt struct {
	ID     string `idempotency:"kee"`
	Tenant string `idempotency:"scope"`
}

func orderMisspelt(context.Context, misspelt) (orderOutput, error) { return orderOutput{}, nil }

// requierd is a word that no policy has.
func requierd() idempotency.Policy { return idempotency.Policy{Key: "requierd"} }

func wrongPolicyInDo(t *testing.T, g *idempotency.Guard) error {
	t.Helper()
	request := idempotency.Request{Operation: "orders.do", Scope: "P1", Key: "k", Input: counted{}}
	_, _, err := idempotency.Do(t.Context(), g, request, func(context.Context) (int, error) { return 0, nil }, requierd())
	return err
}

func wrongTagInDo(t *testing.T, g *idempotency.Guard) error {
	t.Helper()
	_, _, err := idempotency.Do(t.Context(), g, idempotency.Request{Operation: "orders.tagged", Input: misspelt{}},
		func(context.Context) (int, error) { return 0, nil })
	return err
}

func wrongTagInWrap(t *testing.T, g *idempotency.Guard) error {
	t.Helper()
	_, err := idempotency.Wrap(g, "orders.wrap", orderMisspelt)
	return err
}

func wrongPolicyInWrap(t *testing.T, g *idempotency.Guard) error {
	t.Helper()
	_, err := idempotency.Wrap(g, "orders.wrap", orderDesk{}.run, requierd())
	return err
}

func wrongExclude(t *testing.T, g *idempotency.Guard) error {
	t.Helper()
	policy := idempotency.Policy{FingerprintExclude: []string{"/trace_id"}}
	_, err := wrapContext(orderDesk{guard: g}, policy, idempotency.ContextScope())
	return err
}

type wrongService struct {
	Create func(context.Context, orderInput) (orderOutput, error) `idempotency:"orders.weave,retentoin=1h"`
}

func wrongTagInWeave(t *testing.T, g *idempotency.Guard) error {
	t.Helper()
	return idempotency.Weave(g, &wrongService{orderDesk{}.run})
}

type wrongInputService struct {
	Create func(context.Context, misspelt) (orderOutput, error) `idempotency:"orders.weave"`
}

func wrongInputInWeave(t *testing.T, g *idempotency.Guard) error {
	t.Helper()
	return idempotency.Weave(g, &wrongInputService{orderMisspelt})
}
