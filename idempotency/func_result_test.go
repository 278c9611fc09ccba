package idempotency_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

const leftOut = `; json:"-" leaves a field out, and WithCodec takes another codec`

// declaring says what each way of protecting a function says of its result's type.
func declaring[Out any](t *testing.T, opts ...idempotency.OperationOption) map[string]error {
	t.Helper()
	guard := start(t, newBackend()).guard
	fn := func(context.Context, pay) (out Out, err error) {
		assert.Fail(t, "it ran")
		return out, nil
	}
	_, wrap := idempotency.Wrap(guard, "wrap", fn, opts...)
	weave := idempotency.Weave(guard, &struct {
		Pay func(context.Context, pay) (Out, error) `idempotency:"weave"`
	}{fn}, opts...)
	_, _, do := idempotency.Do(t.Context(), guard, idempotency.Request{Operation: "do", Input: input("k")},
		func(ctx context.Context) (Out, error) { return fn(ctx, pay{}) }, opts...)
	assert.Empty(t, guard.Operations(), "nothing is registered")
	return map[string]error{"Wrap": wrap, "Weave": weave, "Do": do}
}

// unrecordable has one mistake in a field, and one below.
type unrecordable struct {
	ID    string
	Cause error
	Lines []struct{ Done chan int }
}

func TestResultsThatJSONCannotRecordAreFoundBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	type hidden struct{ n int }
	_ = hidden{}.n
	cause := "the result cannot be recorded: unrecordable.Cause: error is an interface with methods, and JSON cannot know what to read into it\n" +
		"unrecordable.Lines.Done: a chan has no JSON form" + leftOut
	tests := []struct {
		name string
		got  map[string]error
		want string
	}{
		{"channel", declaring[chan int](t), "the result cannot be recorded: chan int: a chan has no JSON form" + leftOut},
		{"function", declaring[func()](t), "the result cannot be recorded: func(): a func has no JSON form" + leftOut},
		{"complex", declaring[complex64](t), "the result cannot be recorded: complex64: a complex64 has no JSON form" + leftOut},
		{"error", declaring[error](t), "the result cannot be recorded: error: error is an interface with methods"},
		{"nothing exported", declaring[*hidden](t), "JSON writes nothing of a idempotency_test.hidden"},
		{"fields", declaring[map[string]*unrecordable](t), cause},
	}
	for _, tt := range tests {
		for way, err := range tt.got {
			assert.ErrorContains(t, err, tt.want, tt.name+" by "+way)
		}
	}
	_, err := idempotency.NewAnswer(nil, unrecordable{})
	assert.ErrorContains(t, err, "idempotency: NewAnswer: unrecordable.Cause: error is an interface")
}

// A caller may go on using the map.
func TestErrorNamesAreThoseOfWhenTheyWereGiven(t *testing.T) {
	t.Parallel()
	names := map[string]error{"card": errCard}
	w := worker{do: fails(idempotency.Final(errCard))}
	option := idempotency.ErrorNames(names)
	delete(names, "card")
	wrapped := w.wrapped(t, start(t, newBackend()).guard, option)
	for range 2 {
		_, err := wrapped(t.Context(), input("k"))
		assert.ErrorIs(t, err, errCard)
	}
	assert.Equal(t, 1, w.runs)
}

// choosy is a codec that records numbers alone.
type choosy struct{ idempotency.Codec }

func (choosy) Name() string { return "choosy/1" }

func (choosy) CheckType(t reflect.Type) error {
	if t.Kind() != reflect.Int {
		return errors.New("only an int will do")
	}
	return nil
}

// unasked is a codec that says nothing of types.
type unasked struct{ idempotency.Codec }

func TestOtherCodecsAreNotJudgedByJSON(t *testing.T) {
	t.Parallel()
	for way, err := range declaring[string](t, idempotency.WithCodec(choosy{idempotency.JSONCodec()})) {
		assert.ErrorContains(t, err, "the result cannot be recorded: only an int will do", way)
	}
	guard := start(t, newBackend()).guard
	_, err := idempotency.Wrap(guard, "int", func(context.Context, pay) (int, error) { return 1, nil },
		idempotency.WithCodec(choosy{idempotency.JSONCodec()}))
	require.NoError(t, err)
	_, err = idempotency.Wrap(guard, "chan", func(context.Context, pay) (chan int, error) { return nil, nil },
		idempotency.WithCodec(unasked{named("own/1")}))
	require.NoError(t, err)
	_, err = idempotency.NewAnswer(choosy{idempotency.JSONCodec()}, "text")
	assert.ErrorContains(t, err, "only an int will do")
}

// One guard has functions with several codecs: what one of them takes, the other need
// not.
func TestAResultThatOneCodecTakesIsAskedOfTheOther(t *testing.T) {
	t.Parallel()
	guard := start(t, newBackend()).guard
	do := func(name string, opts ...idempotency.OperationOption) error {
		_, _, err := idempotency.Do(t.Context(), guard, idempotency.Request{Operation: name, Scope: "m", Key: "k"},
			func(context.Context) (string, error) { return "done", nil }, opts...)
		return err
	}
	require.NoError(t, do("json"))
	assert.ErrorContains(t, do("choosy", idempotency.WithCodec(choosy{idempotency.JSONCodec()})), "only an int will do")
	require.NoError(t, do("json"))
}

func TestAnAnyComesBackAsJSONReadsIt(t *testing.T) {
	t.Parallel()
	type loose struct {
		Any  any
		Raw  json.RawMessage
		Rest map[string]any
	}
	first := loose{Any: 7, Raw: json.RawMessage(`7`), Rest: map[string]any{"paid": paid{Run: 1}}}
	wrapped, err := idempotency.Wrap(start(t, newBackend()).guard, "pay", func(context.Context, pay) (loose, error) { return first, nil })
	require.NoError(t, err)
	got, err := wrapped(t.Context(), input("k"))
	require.NoError(t, err)
	assert.Equal(t, first, got)
	got, err = wrapped(t.Context(), input("k"))
	require.NoError(t, err)
	assert.Equal(t, loose{
		Any: 7.0, Raw: json.RawMessage(`7`), Rest: map[string]any{"paid": map[string]any{"run": 1.0, "amount": 0.0}},
	}, got)
}

// That a type can be encoded does not say that each of its values can.
func TestAResultThatCannotBeEncodedIsUnknownToDuplicates(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	request := idempotency.Request{Operation: "op", Scope: "m", Key: "k"}
	fn := func(context.Context) (float64, error) { return math.Inf(1), nil }
	got, result, err := idempotency.Do(t.Context(), p.guard, request, fn)
	require.NoError(t, err)
	assert.True(t, math.IsInf(got, 1))
	assert.False(t, result.Recorded)
	assert.Contains(t, p.log.String(), "cannot be encoded")
	_, _, err = idempotency.Do(t.Context(), p.guard, request, fn)
	assert.ErrorIs(t, err, idempotency.ErrOutcomeUnknown)
}
