package idempotency_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// wrappedTwice is a function that is called within itself, for the same key.
func wrappedTwice(p *process, once payFunc, opts ...idempotency.OperationOption) payFunc {
	return func(ctx context.Context, in pay) (paid, error) {
		out, _, err := idempotency.Do(ctx, p.guard, idempotency.Request{Operation: "pay", Input: in},
			func(ctx context.Context) (paid, error) { return once(ctx, in) }, opts...)
		return out, err
	}
}

func TestAFunctionThatIsWrappedTwiceSaysSo_P4(t *testing.T) {
	t.Parallel()
	var w worker
	p := start(t, newBackend())
	once := w.wrapped(t, p.guard)
	_, err := idempotency.Wrap(p.guard, "pay", once)
	require.EqualError(t, err, `idempotency: Wrap: operation "pay": operation "pay" is another function's, or this one is protected twice`)
	_, err = wrappedTwice(p, once)(t.Context(), input("k"))
	require.EqualError(t, err, `idempotency: operation "pay" is called from within itself, for the same key: is the function wrapped twice?`)
	assert.Zero(t, w.runs)
	got, err := once(t.Context(), input("k"))
	require.NoError(t, err, "nothing was left behind")
	assert.Equal(t, 1, got.Run)
}

// In shadow nothing is refused: what would be, is logged, and what the function says of
// its effects counts for the attempt that it is.
func TestInShadowAFunctionThatIsWrappedTwiceRuns_P4(t *testing.T) {
	t.Parallel()
	b := newBackend()
	p := start(t, b)
	w := worker{do: func(ctx context.Context) error {
		_, protected := idempotency.FromContext(ctx)
		assert.False(t, protected)
		assert.NoError(t, idempotency.MarkEffect(ctx))
		return errCard
	}}
	shadow := idempotency.Policy{Key: idempotency.KeyShadow}
	twice := wrappedTwice(p, w.wrapped(t, p.guard, shadow), shadow)
	for range 2 {
		_, err := twice(t.Context(), input("k"))
		require.ErrorIs(t, err, errCard)
	}
	assert.Equal(t, 2, w.runs)
	_, rec := b.only(t)
	assert.Equal(t, store.Unknown, rec.State, "a plain error after a mark")
	const would = "this call in shadow would be refused"
	assert.Equal(t, 1, strings.Count(p.log.String(), would), "once a minute")
	assert.Contains(t, p.log.String(), "is called from within itself")
}

// With another function between the two, the inner call speaks for its own attempt, not
// for the one between; and its key is not that of calls which it makes.
func TestInShadowAFunctionThatComesBackToItselfIsItsOwnAttempt(t *testing.T) {
	t.Parallel()
	b := newBackend()
	p := start(t, b)
	below, err := idempotency.Wrap(p.guard, "below", func(context.Context, bill) (int, error) { return 1, nil }, idempotency.ContextScope())
	require.NoError(t, err)
	var (
		w    worker
		once payFunc
	)
	w.do = func(ctx context.Context) error {
		if w.runs == 2 {
			idempotency.Release(ctx)
			_, err := below(idempotency.WithScope(ctx, "m"), bill{})
			assert.ErrorIs(t, err, idempotency.ErrKeyMissing)
			return nil
		}
		_, _, err := idempotency.Do(ctx, p.guard, idempotency.Request{Operation: "between", Scope: "m", Key: "b"},
			func(ctx context.Context) (paid, error) { return once(idempotency.WithKey(ctx, "k"), input("k")) })
		return err
	}
	once = w.wrapped(t, p.guard, idempotency.Policy{Key: idempotency.KeyShadow})
	_, err = once(t.Context(), input("k"))
	require.NoError(t, err)
	b.mu.Lock()
	defer b.mu.Unlock()
	assert.Equal(t, store.Completed, b.records[p.guard.ID("between", "m", "b")].State)
	assert.Equal(t, store.Released, b.records[p.guard.ID("pay", "m", "k")].State)
}

// A key in the context is that of one call. In shadow a call without a scope runs, and
// its key must not go on to the calls that it makes.
func TestKeysOfAContextAreNotThoseOfCallsBelow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		scope string
		rule  idempotency.KeyRule // of the outer function
	}{
		{"protected", "m", idempotency.KeyRequired},
		{"off", "m", idempotency.KeyOff},
		{"in shadow", "m", idempotency.KeyShadow},
		{"in shadow, and would be refused", "", idempotency.KeyShadow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, newBackend())
			inner, err := idempotency.Wrap(p.guard, "inner", func(context.Context, int) (int, error) { return 1, nil },
				idempotency.ContextScope())
			require.NoError(t, err)
			outer, err := idempotency.Wrap(p.guard, "outer", func(ctx context.Context, in int) (int, error) {
				return inner(idempotency.WithScope(ctx, "m"), in)
			}, idempotency.ContextScope(), idempotency.Policy{Key: tt.rule})
			require.NoError(t, err)
			_, err = outer(idempotency.WithKey(idempotency.WithScope(t.Context(), tt.scope), "k"), 7)
			assert.ErrorIs(t, err, idempotency.ErrKeyMissing)
		})
	}
}

// A function that runs unprotected is no attempt, nor is it the one that it is called
// in: what it says of itself must not become of that one's record.
func TestWhatRunsUnprotectedInAnAttemptIsNotThatAttempt(t *testing.T) {
	t.Parallel()
	shadow := idempotency.Policy{Key: idempotency.KeyShadow}
	tests := []struct {
		name   string
		policy idempotency.Policy // of the inner function
		in     pay
		before bool // it ran before with that input
	}{
		{"off", idempotency.Policy{Key: idempotency.KeyOff}, input("k"), false},
		{"optional, without a key", idempotency.Policy{Key: idempotency.KeyOptional}, input(""), false},
		{"in shadow, a duplicate", shadow, input("k"), true},
		{"in shadow, without a key", shadow, input(""), false},
		{"in shadow, without a scope", shadow, pay{ID: "k"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBackend()
			p := start(t, b)
			runs := 0
			inner, err := idempotency.Wrap(p.guard, "inner", func(ctx context.Context, in pay) (paid, error) {
				runs++
				_, protected := idempotency.FromContext(ctx)
				assert.False(t, protected)
				if in.ID != "l" || runs > 1 { // the first answer to l is recorded
					idempotency.Release(ctx)
				}
				return paid{}, nil
			}, tt.policy)
			require.NoError(t, err)
			if tt.before {
				_, err = inner(t.Context(), input("l"))
				require.NoError(t, err)
				tt.in = input("l")
			}
			var w worker
			w.do = func(ctx context.Context) error {
				_, err := inner(ctx, tt.in)
				return err
			}
			outer := w.wrapped(t, p.guard)
			before := runs
			for range 2 {
				_, err := outer(t.Context(), input("k"))
				require.NoError(t, err)
			}
			assert.Equal(t, 1, w.runs, "recorded, whatever the inner function said of itself")
			assert.Equal(t, before+1, runs)
		})
	}
}
