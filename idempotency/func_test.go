package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

func TestWrap_RunsOnceAndGivesTheResultAgain_R1(t *testing.T) {
	t.Parallel()
	var w worker
	p := start(t, newBackend())
	wrapped := w.wrapped(t, p.guard)
	for range 3 {
		got, err := wrapped(t.Context(), input("k"))
		require.NoError(t, err)
		assert.Equal(t, paid{Run: 1, Amount: 7}, got)
	}
	other, err := wrapped(t.Context(), input("l"))
	require.NoError(t, err)
	assert.Equal(t, 2, other.Run)
	assert.Equal(t, 2, w.runs)
}

func TestWhatAFunctionsErrorMeans(t *testing.T) {
	t.Parallel()
	mark := func(err error) func(context.Context) error {
		return func(ctx context.Context) error { return errors.Join(idempotency.MarkEffect(ctx), err) }
	}
	release := func(ctx context.Context) error {
		idempotency.Release(ctx)
		return idempotency.Final(errCard)
	}
	refusal := func(code idempotency.Code) error { return fmt.Errorf("below: %w", &idempotency.Error{Code: code}) }
	tests := []struct {
		name   string
		do     func(context.Context) error
		policy idempotency.Policy
		runs   int
		again  error // of the second call; nil: the same text
	}{
		{name: "a plain error releases", do: fails(errCard), runs: 2},
		{name: "a final one is recorded", do: fails(idempotency.Final(errCard)), runs: 1},
		{name: "a final one that is wrapped", do: fails(fmt.Errorf("pay: %w", idempotency.Final(errCard))), runs: 1},
		{name: "a recorded one of a function below", do: fails(fmt.Errorf("pay: %w", &idempotency.RecordedError{})), runs: 1},
		{name: "a plain one after a mark is unknown", do: mark(errCard), runs: 1, again: idempotency.ErrOutcomeUnknown},
		{name: "a final one after a mark is recorded", do: mark(idempotency.Final(errCard)), runs: 1},
		{name: "a final one that is released", do: release, runs: 2},
		{name: "record=all", do: fails(errCard), policy: idempotency.Policy{Record: idempotency.RecordAll}, runs: 1},
		{name: "record=success", do: fails(idempotency.Final(errCard)), policy: idempotency.Policy{Record: idempotency.RecordSuccess}, runs: 2},
		{name: "failure=unknown", do: fails(errCard), policy: idempotency.Policy{Failure: idempotency.FailureUnknown}, runs: 1, again: idempotency.ErrOutcomeUnknown},
		{name: "a function below is in progress", do: fails(refusal(idempotency.ErrInProgress)), runs: 2},
		{name: "the outcome below is unknown", do: fails(refusal(idempotency.ErrOutcomeUnknown)), runs: 1, again: idempotency.ErrOutcomeUnknown},
		{name: "the lease below was lost", do: fails(refusal(idempotency.ErrLeaseLost)), runs: 1, again: idempotency.ErrOutcomeUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := worker{do: tt.do}
			p := start(t, newBackend())
			wrapped := w.wrapped(t, p.guard, tt.policy)
			_, first := wrapped(t.Context(), input("k"))
			require.Error(t, first)
			_, second := wrapped(t.Context(), input("k"))
			assert.Equal(t, tt.runs, w.runs)
			if tt.again != nil {
				require.ErrorIs(t, second, tt.again)
				return
			}
			assert.EqualError(t, second, first.Error())
		})
	}
}

func TestAContextThatEndedMakesAPlainErrorUnknown_O10(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := worker{do: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		p := start(t, newBackend())
		wrapped := w.wrapped(t, p.guard)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := wrapped(ctx, input("k"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = wrapped(t.Context(), input("k"))
		require.ErrorIs(t, err, idempotency.ErrOutcomeUnknown)
	})
}

func TestErrorNames_LetErrorsIsFindWhatTheFirstCallerFound(t *testing.T) {
	t.Parallel()
	errLimit := errors.New("over the limit")
	w := worker{do: fails(idempotency.Final(fmt.Errorf("merchant m: %w: %w", errCard, errLimit)))}
	b := newBackend()
	names := idempotency.ErrorNames(map[string]error{"card": errCard, "limit": errLimit, "other": errors.ErrUnsupported})
	wrapped := w.wrapped(t, start(t, b).guard, names)
	_, first := wrapped(t.Context(), input("k"))
	_, again := wrapped(t.Context(), input("k"))
	// Another version does not know one of the names.
	_, elsewhere := w.wrapped(t, start(t, b).guard, idempotency.ErrorNames(map[string]error{"card": errCard}))(t.Context(), input("k"))
	assert.Equal(t, 1, w.runs)
	for _, err := range []error{first, again, elsewhere} {
		assert.EqualError(t, err, "merchant m: the card is expired: over the limit")
		assert.ErrorIs(t, err, errCard)
		assert.NotErrorIs(t, err, errors.ErrUnsupported)
	}
	assert.ErrorIs(t, again, errLimit)
	assert.NotErrorIs(t, elsewhere, errLimit)
	assert.True(t, idempotency.IsFinal(first))
	assert.True(t, idempotency.IsFinal(again))
	assert.False(t, idempotency.IsFinal(errCard))
	var recorded *idempotency.RecordedError
	assert.NotErrorAs(t, first, &recorded)
	assert.ErrorAs(t, again, &recorded)
}

func TestFinalOfNothingIsNothing(t *testing.T) {
	t.Parallel()
	assert.NoError(t, idempotency.Final(nil))
	assert.ErrorIs(t, idempotency.Final(errCard), errCard)
}

func TestKeyAndScopeComeFromOnePlace(t *testing.T) {
	t.Parallel()
	type bare struct{ Amount int }
	tests := []struct {
		name       string
		scope, key string // in the context
		request    idempotency.Request
		policy     idempotency.Policy
		want       idempotency.Code
	}{
		{name: "request", request: idempotency.Request{Scope: "m", Key: "k"}},
		{name: "request with an input", request: idempotency.Request{Scope: "m", Key: "k", Input: bare{}}},
		{name: "input", request: idempotency.Request{Input: input("k")}},
		{name: "pointer", request: idempotency.Request{Input: new(input("k"))}},
		{name: "context", scope: "m", key: "k", request: idempotency.Request{Input: bare{}}},
		{name: "all the same", scope: "m", key: "k", request: idempotency.Request{Scope: "m", Key: "k", Input: input("k")}},
		{name: "another key in the context", key: "l", request: idempotency.Request{Input: input("k")}, want: idempotency.ErrKeyInvalid},
		{name: "another key in the request", request: idempotency.Request{Key: "l", Input: input("k")}, want: idempotency.ErrKeyInvalid},
		{name: "another scope in the context", scope: "n", request: idempotency.Request{Input: input("k")}, want: idempotency.ErrKeyInvalid},
		{name: "another scope in the request", request: idempotency.Request{Scope: "n", Input: input("k")}, want: idempotency.ErrKeyInvalid},
		{name: "no key", request: idempotency.Request{Scope: "m", Input: input("")}, want: idempotency.ErrKeyMissing},
		{name: "no scope", request: idempotency.Request{Key: "k"}, want: idempotency.ErrScopeMissing},
		{name: "an empty scope field", scope: "m", request: idempotency.Request{Input: pay{ID: "k"}}, want: idempotency.ErrScopeMissing},
		{name: "no printable key", request: idempotency.Request{Scope: "m", Key: "k\n"}, want: idempotency.ErrKeyInvalid},
		{name: "a key that is too long", request: idempotency.Request{Scope: "m", Key: strings.Repeat("k", 256)}, want: idempotency.ErrKeyInvalid},
		{name: "no UUID", request: idempotency.Request{Scope: "m", Key: "k"}, policy: idempotency.Policy{KeyFormat: idempotency.KeyUUID}, want: idempotency.ErrKeyInvalid},
		{name: "input that cannot be compared", request: idempotency.Request{Scope: "m", Key: "k", Input: "\xff"}, want: idempotency.ErrBodyUnreadable},
		{name: "a nil pointer", request: idempotency.Request{Input: (*pay)(nil)}, want: idempotency.ErrKeyMissing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, newBackend())
			ctx := t.Context()
			if tt.scope != "" {
				ctx = idempotency.WithScope(ctx, tt.scope)
			}
			if tt.key != "" {
				ctx = idempotency.WithKey(ctx, tt.key)
			}
			tt.request.Operation = "pay"
			ran := false
			out, result, err := idempotency.Do(ctx, p.guard, tt.request, func(ctx context.Context) (int, error) {
				ran = true
				info, ok := idempotency.FromContext(ctx)
				assert.True(t, ok)
				assert.Equal(t, p.guard.ID("pay", "m", "k").String(), info.OperationID, "scope and key are those")
				return 1, nil
			}, tt.policy)
			assert.Equal(t, tt.want == "", ran)
			if tt.want != "" {
				refusal := refusal(t, err, tt.want)
				assert.NotContains(t, refusal.Error(), strings.Repeat("k", 9), "no raw key in an error")
				assert.Equal(t, refusal.Code, p.trace.allFinished()[0].Code)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, 1, out)
			assert.Equal(t, idempotency.Executed, result.Outcome)
		})
	}
}

func TestKeyRulesOfFunctions_K1_K2(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		rule idempotency.KeyRule
		in   pay
		runs int // of two calls
		want error
	}{
		{"required", idempotency.KeyRequired, input(""), 0, idempotency.ErrKeyMissing},
		{"optional without", idempotency.KeyOptional, input(""), 2, nil},
		{"optional with", idempotency.KeyOptional, input("k"), 1, nil},
		{"off", idempotency.KeyOff, input("k"), 2, nil},
		{"shadow without", idempotency.KeyShadow, input(""), 2, nil},
		{"shadow with", idempotency.KeyShadow, input("k"), 2, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var w worker
			wrapped := w.wrapped(t, start(t, newBackend()).guard, idempotency.Policy{Key: tt.rule})
			for range 2 {
				got, err := wrapped(t.Context(), tt.in)
				if tt.want != nil {
					require.ErrorIs(t, err, tt.want)
					continue
				}
				require.NoError(t, err)
				assert.Equal(t, 7, got.Amount)
			}
			assert.Equal(t, tt.runs, w.runs)
		})
	}
}

func TestWhatCountsOfAnInput_F1_F14(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		retry func(*pay)
		want  error
	}{
		{"the same", func(*pay) {}, nil},
		{"an excluded field", func(in *pay) { in.Comment = "again" }, nil},
		{"another amount", func(in *pay) { in.Amount++ }, idempotency.ErrKeyReused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var w worker
			wrapped := w.wrapped(t, start(t, newBackend()).guard)
			_, err := wrapped(t.Context(), input("k"))
			require.NoError(t, err)
			retry := input("k")
			tt.retry(&retry)
			_, err = wrapped(t.Context(), retry)
			assert.ErrorIs(t, err, tt.want)
			assert.Equal(t, 1, w.runs)
		})
	}
}

func TestFingerprintOffLeavesTheKeyAlone(t *testing.T) {
	t.Parallel()
	runs := 0
	wrapped, err := idempotency.Wrap(start(t, newBackend()).guard, "bill", func(context.Context, bill) (int, error) {
		runs++
		return runs, nil
	}, idempotency.GlobalScope(), idempotency.Policy{Fingerprint: idempotency.FingerprintOff})
	require.NoError(t, err)
	for amount := range 2 {
		got, err := wrapped(t.Context(), bill{ID: "k", Amount: amount})
		require.NoError(t, err)
		assert.Equal(t, 1, got)
	}
}

func TestDo_UsesTheRegisteredOperation(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	op, err := p.guard.Operation("pay", idempotency.Policy{Retention: time.Hour})
	require.NoError(t, err)
	do := func(opts ...idempotency.OperationOption) error {
		_, _, err := idempotency.Do(t.Context(), p.guard, idempotency.Request{Operation: "pay", Scope: "m", Key: "k"},
			func(context.Context) (int, error) { return 1, nil }, opts...)
		return err
	}
	assert.NoError(t, do())
	assert.NoError(t, do(idempotency.Policy{Retention: time.Hour}))
	assert.NoError(t, do(idempotency.WithCodec(idempotency.JSONCodec())))
	assert.EqualError(t, do(idempotency.Policy{Retention: time.Minute}),
		`idempotency: Do: idempotency: operation "pay" is registered already, with another policy or a Reconcile`)
	assert.Equal(t, time.Hour, op.Policy().Retention)

	_, err = p.guard.Operation("uuids", idempotency.Policy{KeyFormat: idempotency.KeyUUID})
	require.NoError(t, err)
	_, _, err = idempotency.Do(t.Context(), p.guard, idempotency.Request{Operation: "uuids", Input: numbered{ID: 7, Tenant: "m"}},
		func(context.Context) (int, error) { return 1, nil })
	assert.EqualError(t, err, `idempotency: Do: KeyFormat is "uuid", and the key numbered.ID is never a UUID: its type is int64`)
}

func TestFunctionsFollowOverrides(t *testing.T) {
	t.Parallel()
	var w worker
	p := start(t, newBackend())
	wrapped := w.wrapped(t, p.guard)
	runs := func(key string) int {
		t.Helper()
		_, err := wrapped(t.Context(), input(key))
		require.NoError(t, err)
		return w.runs
	}
	assert.Equal(t, 1, runs("k"))
	require.NoError(t, p.guard.Override("pay", idempotency.Policy{Key: idempotency.KeyOff}))
	assert.Equal(t, 2, runs("k"))
	assert.Equal(t, 3, runs(""), "not even a key is asked for")
	require.NoError(t, p.guard.Override("pay", idempotency.Policy{}))
	assert.Equal(t, 3, runs("k"))
}

// Optional forgives that there is no key, and nothing else.
func TestAnOptionalKeyThatIsThereMustBeRight_K2(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		ctx  func(context.Context) context.Context // may be nil
		in   pay
		want idempotency.Code
	}{
		{"an invalid key", nil, input("k\n"), idempotency.ErrKeyInvalid},
		{"two keys", func(ctx context.Context) context.Context { return idempotency.WithKey(ctx, "l") }, input("k"), idempotency.ErrKeyInvalid},
		{"two scopes", func(ctx context.Context) context.Context { return idempotency.WithScope(ctx, "n") }, input("k"), idempotency.ErrKeyInvalid},
		{"no scope", nil, pay{ID: "k"}, idempotency.ErrScopeMissing},
		{"what cannot be compared", nil, pay{ID: "k", Merchant: "\xff"}, idempotency.ErrBodyUnreadable},
	}
	everyWay(t, func(t *testing.T, protect func(*idempotency.Guard, payFunc, ...idempotency.OperationOption) payFunc) {
		var w worker
		wrapped := protect(start(t, newBackend()).guard, w.pay, idempotency.Policy{Key: idempotency.KeyOptional})
		for _, tt := range tests {
			ctx := t.Context()
			if tt.ctx != nil {
				ctx = tt.ctx(ctx)
			}
			_, err := wrapped(ctx, tt.in)
			refusal(t, err, tt.want)
		}
		assert.Zero(t, w.runs)
	})
}
