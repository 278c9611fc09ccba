package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// atOnce calls fn on n goroutines together and returns how many of them got no error.
func atOnce(n int, fn func(i int) error) int {
	var (
		all  sync.WaitGroup
		good atomic.Int32
	)
	ready := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-ready
			if fn(i) == nil {
				good.Add(1)
			}
		})
	}
	close(ready)
	all.Wait()
	return int(good.Load())
}

// Whoever comes first has the name, a function or a transport, and the others hear of it.
func TestANameIsGivenOnceAlsoToManyAtOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		guard := start(t, newBackend()).guard
		got := atOnce(8, func(i int) error {
			var w worker
			switch i % 3 {
			case 0:
				_, err := guard.Operation("pay", idempotency.Replays("http/1", nil))
				return errors.Join(err, onlyOf(i))
			case 1:
				_, err := idempotency.Wrap(guard, "pay", w.pay)
				return err
			default:
				return idempotency.Weave(guard, &struct {
					Other payFunc `idempotency:"other"`
					Pay   payFunc `idempotency:"pay"`
				}{w.pay, w.pay})
			}
		})
		_, other := guard.Registered("other")
		assert.LessOrEqual(t, got, 1)
		assert.Equal(t, other, idempotency.Weave(guard, &struct {
			Other payFunc `idempotency:"other"`
		}{new(worker).pay}) != nil, "all of a struct or nothing")
	}
}

// onlyOf lets the first transport alone count: one may register its operation again.
func onlyOf(i int) error {
	if i > 0 {
		return errors.New("not the first")
	}
	return nil
}

func TestCallsAndOverridesAtOnce(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, protect func(*idempotency.Guard, payFunc, ...idempotency.OperationOption) payFunc) {
		guard := start(t, newBackend()).guard
		var runs atomic.Int32
		wrapped := protect(guard, func(_ context.Context, in pay) (paid, error) {
			return paid{Run: int(runs.Add(1)), Amount: in.Amount}, nil
		}, idempotency.Policy{Wait: time.Minute})
		_, err := wrapped(t.Context(), input("first"))
		require.NoError(t, err)
		got := atOnce(24, func(i int) error {
			if i%4 == 0 {
				return guard.Override("pay", idempotency.Policy{Orphan: idempotency.OrphanRerun, Retention: time.Duration(48+i) * time.Hour})
			}
			_, err := wrapped(t.Context(), input(strconv.Itoa(i%3)))
			return err
		})
		assert.Equal(t, 24, got)
		assert.EqualValues(t, 4, runs.Load(), "one for each key")
	})
}

// A function may call itself for another key, and goes on protected.
func TestAFunctionMayCallItselfForAnotherKey(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, protect func(*idempotency.Guard, payFunc, ...idempotency.OperationOption) payFunc) {
		var (
			again payFunc
			runs  int
		)
		again = protect(start(t, newBackend()).guard, func(ctx context.Context, in pay) (paid, error) {
			runs++
			if len(in.ID) == 3 {
				return paid{Run: runs}, nil
			}
			return again(ctx, input(in.ID+"k"))
		})
		for range 2 {
			got, err := again(t.Context(), input("k"))
			require.NoError(t, err)
			assert.Equal(t, 3, got.Run)
		}
		assert.Equal(t, 3, runs)
	})
}

// Under strict keys an operation within another one may have its record. That is a key
// which was used before, and not a function that is wrapped twice.
func TestUnderStrictKeysAnotherOperationWithinIsAKeyReused(t *testing.T) {
	t.Parallel()
	guard := start(t, newBackend(), idempotency.StrictKeys()).guard
	inner, err := idempotency.Wrap(guard, "inner", new(worker).pay)
	require.NoError(t, err)
	w := worker{do: func(ctx context.Context) error {
		_, err := inner(ctx, input("k"))
		refusal(t, err, idempotency.ErrKeyReused)
		return nil
	}}
	_, err = w.wrapped(t, guard)(t.Context(), input("k"))
	require.NoError(t, err)
	assert.Equal(t, 1, w.runs)
}

// A first caller gets all that the function returned; a duplicate the error alone, for
// what stands beside an error is not recorded.
func TestAResultBesideAnErrorIsTheFirstCallersAlone(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, protect func(*idempotency.Guard, payFunc, ...idempotency.OperationOption) payFunc) {
		runs := 0
		wrapped := protect(start(t, newBackend()).guard, func(_ context.Context, in pay) (paid, error) {
			runs++
			if in.ID == "final" {
				return paid{Run: runs}, idempotency.Final(errCard)
			}
			return paid{Run: runs}, errCard
		})
		got, err := wrapped(t.Context(), input("final"))
		require.ErrorIs(t, err, errCard)
		assert.Equal(t, 1, got.Run)
		got, err = wrapped(t.Context(), input("final"))
		require.EqualError(t, err, errCard.Error())
		assert.Zero(t, got)
		for run := range 2 {
			got, err = wrapped(t.Context(), input("plain"))
			require.ErrorIs(t, err, errCard)
			assert.Equal(t, run+2, got.Run)
		}
	})
}

// moody is a codec that panics when it is told to.
type moody struct {
	idempotency.Codec

	encoding, decoding bool
}

func (*moody) Name() string { return "moody/1" }

func (m *moody) Encode(v any) ([]byte, error) {
	if m.encoding {
		panic("encoding")
	}
	return m.Codec.Encode(v)
}

func (m *moody) Decode(data []byte, v any) error {
	if m.decoding {
		panic("decoding")
	}
	return m.Codec.Decode(data, v)
}

// A codec that panics is the caller's to hear of. What was done is not done again, and
// what was recorded stays.
func TestACodecThatPanics(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, protect func(*idempotency.Guard, payFunc, ...idempotency.OperationOption) payFunc) {
		var w worker
		codec := &moody{Codec: idempotency.JSONCodec(), encoding: true}
		wrapped := protect(start(t, newBackend()).guard, w.pay, idempotency.WithCodec(codec))
		assert.PanicsWithValue(t, "encoding", func() { _, _ = wrapped(t.Context(), input("a")) })
		codec.encoding = false
		_, err := wrapped(t.Context(), input("a"))
		refusal(t, err, idempotency.ErrOutcomeUnknown)

		_, err = wrapped(t.Context(), input("b"))
		require.NoError(t, err)
		codec.decoding = true
		assert.PanicsWithValue(t, "decoding", func() { _, _ = wrapped(t.Context(), input("b")) })
		codec.decoding = false
		got, err := wrapped(t.Context(), input("b"))
		require.NoError(t, err)
		assert.Equal(t, 2, got.Run)
		assert.Equal(t, 2, w.runs)
	})
}

// Inputs of every kind go through reflection: an interface that holds nothing, a pointer
// to a pointer, a struct that is embedded by a pointer and not exported.
func TestInputsOfOddTypes(t *testing.T) {
	t.Parallel()
	type odd struct {
		*refunds

		Any    func(context.Context, any) (string, error)      `idempotency:"any"`
		Double func(context.Context, **pay) (**paid, error)    `idempotency:"double"`
		Nobody func(context.Context, struct{}) (error2, error) `idempotency:"nobody"`
	}
	var w worker
	svc := odd{
		refunds: &refunds{w.pay},
		Any:     func(_ context.Context, in any) (string, error) { w.runs++; return fmt.Sprint(in), nil },
		Double: func(_ context.Context, in **pay) (**paid, error) {
			w.runs++
			out := &paid{Amount: (*in).Amount}
			return &out, nil
		},
		Nobody: func(context.Context, struct{}) (error2, error) { w.runs++; return error2{"text"}, nil },
	}
	require.NoError(t, idempotency.Weave(start(t, newBackend()).guard, &svc, idempotency.ContextScope()))
	ctx := idempotency.WithKey(idempotency.WithScope(t.Context(), "m"), "k")
	for range 2 {
		in := new(input("k"))
		refunded, err := svc.Refund(ctx, *in)
		require.NoError(t, err)
		assert.Equal(t, 7, refunded.Amount)
		text, err := svc.Any(ctx, nil)
		require.NoError(t, err)
		assert.Equal(t, "<nil>", text)
		double, err := svc.Double(ctx, &in)
		require.NoError(t, err)
		assert.Equal(t, 7, (*double).Amount)
		nobody, err := svc.Nobody(ctx, struct{}{})
		require.NoError(t, err)
		assert.Equal(t, error2{"text"}, nobody)
	}
	assert.Equal(t, 4, w.runs)
	_, err := svc.Any(ctx, 7)
	refusal(t, err, idempotency.ErrKeyReused)
}

// error2 is an error that is a result.
type error2 struct{ Text string }

func (e error2) Error() string { return e.Text }
