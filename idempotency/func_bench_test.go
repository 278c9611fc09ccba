package idempotency_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// direct is what a user would write without Wrap: the same work, by hand.
func direct(op *idempotency.Operation, fn func(context.Context, pay) (paid, error)) func(context.Context, pay) (paid, error) {
	return func(ctx context.Context, in pay) (out paid, err error) {
		counts := struct {
			Merchant string `json:"merchant"`
			Amount   int    `json:"amount"`
		}{in.Merchant, in.Amount}
		canonical, err := json.Marshal(counts)
		if err != nil {
			return out, err
		}
		call := idempotency.Call{
			Scope: in.Merchant, Key: in.ID,
			Fingerprint: store.Fingerprint{Algorithm: "direct/1", Sum: sha256.Sum256(canonical)},
		}
		result, err := op.Execute(ctx, call, func(ctx context.Context) idempotency.Answer {
			out, err = fn(ctx, in)
			if err != nil {
				return idempotency.Answer{Class: idempotency.ClassRelease}
			}
			body, _ := json.Marshal(&out)
			return idempotency.Answer{Class: idempotency.ClassRecord, Answer: store.Answer{Codec: "json/1", Body: body}}
		})
		if err == nil && result.Outcome == idempotency.Replayed {
			err = json.Unmarshal(result.Answer.Body, &out)
		}
		return out, err
	}
}

// ways are the ways in which a function can be protected.
func ways(tb testing.TB, g *idempotency.Guard) map[string]func(context.Context, pay) (paid, error) {
	tb.Helper()
	fn := func(_ context.Context, in pay) (paid, error) { return paid{Run: 1, Amount: in.Amount}, nil }
	op, err := g.Operation("direct")
	require.NoError(tb, err)
	wrapped, err := idempotency.Wrap(g, "wrap", fn)
	require.NoError(tb, err)
	svc := struct {
		Pay payFunc `idempotency:"weave"`
	}{fn}
	require.NoError(tb, idempotency.Weave(g, &svc))
	return map[string]func(context.Context, pay) (paid, error){
		"direct": direct(op, fn),
		"wrap":   wrapped,
		"weave":  svc.Pay,
		"do": func(ctx context.Context, in pay) (paid, error) {
			out, _, err := idempotency.Do(ctx, g, idempotency.Request{Operation: "do", Input: in},
				func(ctx context.Context) (paid, error) { return fn(ctx, in) })
			return out, err
		},
	}
}

func TestWrapCostsAtMostTwoAllocationsMoreThanByHand(t *testing.T) {
	guard := guardOn(t, newNode(newBackend()))
	all := ways(t, guard)
	tests := []struct {
		name string
		key  func(n int) string
	}{
		{"first", strconv.Itoa},
		{"replay", func(int) string { return "the same" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			allocations := make(map[string]float64)
			for name, call := range all {
				n := 1_000_000 // so that all keys have one length
				allocations[name] = testing.AllocsPerRun(200, func() {
					n++
					_, err := call(t.Context(), input(tt.key(n)))
					assert.NoError(t, err)
				})
			}
			t.Log(allocations)
			assert.LessOrEqual(t, allocations["wrap"], allocations["direct"]+2)
		})
	}
}

func BenchmarkFunctions(b *testing.B) {
	guard, err := idempotency.New(newNode(newBackend()))
	require.NoError(b, err)
	b.Cleanup(func() { assert.NoError(b, guard.Shutdown(context.Background())) })
	for name, call := range ways(b, guard) {
		b.Run(name+"/replay", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = call(b.Context(), input("the same"))
			}
		})
		b.Run(name+"/first", func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				_, _ = call(b.Context(), input("k"+strconv.Itoa(n)))
			}
		})
	}
}
