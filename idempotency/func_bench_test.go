package idempotency_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/tagged"
	"github.com/reprise-go/reprise/store"
)

// The rows that Wrap, Do and Weave are held against. Each is an Execute, with more and
// more of what a protected function has to do beside.
const (
	engine = "engine"  // nothing: the fingerprint and the answer are there already
	byHand = "by hand" // the same fingerprint of the input, by the same plan, and the same codec
	asUser = "as user" // another fingerprint and the same codec, as somebody would write it
)

// executing is an Execute with what a row has to do beside.
func executing(op *idempotency.Operation, fn payFunc, fingerprint func(*pay) store.Fingerprint) payFunc {
	codec, meta := idempotency.JSONCodec(), []byte{1, 1}
	return func(ctx context.Context, in pay) (out paid, err error) {
		call := idempotency.Call{Scope: in.Merchant, Key: in.ID, Fingerprint: fingerprint(&in)}
		result, err := op.Execute(ctx, call, func(ctx context.Context) idempotency.Answer {
			out, err = fn(ctx, in)
			if err != nil {
				return idempotency.Answer{Class: idempotency.ClassRelease}
			}
			body, _ := codec.Encode(&out)
			return idempotency.Answer{Class: idempotency.ClassRecord, Answer: store.Answer{Codec: codec.Name(), Meta: meta, Body: body}}
		})
		if err == nil && result.Outcome == idempotency.Replayed {
			err = codec.Decode(result.Answer.Body, &out)
		}
		return out, err
	}
}

// bare is an Execute and nothing else: all that it is given is there before.
func bare(op *idempotency.Operation) payFunc {
	ready := idempotency.Answer{Class: idempotency.ClassRecord, Answer: store.Answer{
		Codec: "ready/1", Meta: []byte{1, 1}, Body: []byte(`{"run":1,"amount":7}`),
	}}
	run := func(context.Context) idempotency.Answer { return ready }
	return func(ctx context.Context, in pay) (paid, error) {
		_, err := op.Execute(ctx, idempotency.Call{Scope: in.Merchant, Key: in.ID, Fingerprint: store.Fingerprint{Algorithm: "fixed/1"}}, run)
		return paid{}, err
	}
}

func userFingerprint(in *pay) store.Fingerprint {
	canonical, err := json.Marshal(struct {
		Merchant string `json:"merchant"`
		Amount   int    `json:"amount"`
	}{in.Merchant, in.Amount})
	if err != nil {
		return store.Fingerprint{}
	}
	return store.Fingerprint{Algorithm: "direct/1", Sum: sha256.Sum256(canonical)}
}

// ways are the ways in which a function can be protected.
func ways(tb testing.TB, g *idempotency.Guard) map[string]payFunc {
	tb.Helper()
	fn := func(_ context.Context, in pay) (paid, error) { return paid{Run: 1, Amount: in.Amount}, nil }
	operation := func(name string) *idempotency.Operation {
		op, err := g.Operation(name)
		require.NoError(tb, err)
		return op
	}
	plan, err := tagged.OfWhole(reflect.TypeFor[pay]())
	require.NoError(tb, err)
	planned := func(in *pay) store.Fingerprint {
		bound, _, _ := plan.Bound(reflect.ValueOf(in).Elem())
		return bound
	}
	wrapped, err := idempotency.Wrap(g, "wrap", fn)
	require.NoError(tb, err)
	svc := struct {
		Pay payFunc `idempotency:"weave"`
	}{fn}
	require.NoError(tb, idempotency.Weave(g, &svc))
	return map[string]payFunc{
		engine:  bare(operation(engine)),
		byHand:  executing(operation(byHand), fn, planned),
		asUser:  executing(operation(asUser), fn, userFingerprint),
		"Wrap":  wrapped,
		"Weave": svc.Pay,
		"Do": func(ctx context.Context, in pay) (paid, error) {
			out, _, err := idempotency.Do(ctx, g, idempotency.Request{Operation: "do", Input: in},
				func(ctx context.Context) (paid, error) { return fn(ctx, in) })
			return out, err
		},
	}
}

// allocations counts those of a first call and of a replay.
func allocations(t *testing.T, call func(key string) error) (first, replay float64) {
	t.Helper()
	n := 1_000_000 // so that all keys have one length
	first = testing.AllocsPerRun(200, func() {
		n++
		assert.NoError(t, call(strconv.Itoa(n)))
	})
	return first, testing.AllocsPerRun(200, func() { assert.NoError(t, call("the same")) })
}

// underRace is how many allocations more the race detector may cost: it keeps the
// compiler from leaving some out.
func underRace() float64 {
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return 2
	}
	return 0
}

// The engine's own cost is an Execute that gets its fingerprint and its answer from
// nowhere. To that, encoding and decoding by encoding/json are added, which no way can do
// without; all the rest is what a way of protecting costs.
func TestWrapCostsAtMostTwoAllocationsMoreThanTheEngineAndTheCodec(t *testing.T) {
	guard := guardOn(t, newNode(newBackend()))
	first, replay := make(map[string]float64), make(map[string]float64)
	for name, call := range ways(t, guard) {
		first[name], replay[name] = allocations(t, func(key string) error {
			_, err := call(t.Context(), input(key))
			return err
		})
	}
	result, body := paid{Run: 1, Amount: 7}, []byte(`{"run":1,"amount":7}`)
	encoding := testing.AllocsPerRun(200, func() { _, _ = idempotency.JSONCodec().Encode(&result) })
	decoding := testing.AllocsPerRun(200, func() { _ = idempotency.JSONCodec().Decode(body, &result) })
	t.Log("first:", first, "encoding:", encoding, "replay:", replay, "decoding:", decoding)
	for name, most := range map[string]float64{"Wrap": 2, "Do": 6, "Weave": 11} {
		most += underRace()
		assert.LessOrEqual(t, first[name], first[engine]+encoding+most, name)
		assert.LessOrEqual(t, replay[name], replay[engine]+decoding+most, name)
	}
	assert.LessOrEqual(t, first["Wrap"], first[byHand], "the same work by hand")
	assert.LessOrEqual(t, replay["Wrap"], replay[byHand], "the same work by hand")
}

// wide has many fields to go over, were its type looked at again in each call.
type wide struct {
	ID, Merchant                   string `json:",omitempty"`
	A, B, C, D, E, F, G, H, I, J   *int   `json:",omitempty"`
	K, L, M, N, O, P, Q, R, S, T   *int   `json:",omitempty"`
	AA, BB, CC, DD, EE, FF, GG, HH []int  `json:",omitempty"`
}

// Reflection on types happens once, also for Do, which is declared anew in each call.
func TestAllocationsOfDoDoNotGrowWithItsTypes(t *testing.T) {
	guard := guardOn(t, newNode(newBackend()))
	first, replay := allocationsOfDo[wide](t, guard, "wide")
	narrowFirst, narrowReplay := allocationsOfDo[struct {
		ID, Merchant string `json:",omitempty"`
	}](t, guard, "narrow")
	t.Log("first:", first, narrowFirst, "replay:", replay, narrowReplay)
	assert.LessOrEqual(t, first, narrowFirst+1)
	assert.LessOrEqual(t, replay, narrowReplay+1)
}

func allocationsOfDo[T any](t *testing.T, guard *idempotency.Guard, operation string) (first, replay float64) {
	t.Helper()
	return allocations(t, func(key string) error {
		request := idempotency.Request{Operation: operation, Scope: "m", Key: key, Input: new(T)}
		_, _, err := idempotency.Do(t.Context(), guard, request, func(context.Context) (out T, err error) { return out, nil })
		return err
	})
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
