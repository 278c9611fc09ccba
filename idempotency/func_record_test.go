package idempotency_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

func TestDeploymentsWhoseStructsDiffer_F23(t *testing.T) {
	t.Parallel()
	type newer struct {
		ID       string `json:"id"       idempotency:"key"`
		Merchant string `json:"merchant" idempotency:"scope"`
		Amount   int    `json:"amount"`
		Currency string `json:"currency"`
	}
	type shorter struct {
		ID       string `json:"id"       idempotency:"key"`
		Merchant string `json:"merchant" idempotency:"scope"`
	}
	type retagged struct {
		ID       string `json:"id"       idempotency:"key"`
		Merchant string `json:"merchant" idempotency:"scope,-"`
		Amount   int    `json:"amount"`
	}
	type renamed struct {
		ID       string `json:"id"       idempotency:"key"`
		Merchant string `json:"merchant" idempotency:"scope"`
		Cents    int    `json:"cents"`
	}
	var w worker
	b := newBackend()
	_, err := w.wrapped(t, start(t, b).guard)(t.Context(), input("k"))
	require.NoError(t, err)

	other := start(t, b).guard
	replay := func(in any) error {
		_, result, err := idempotency.Do(t.Context(), other, idempotency.Request{Operation: "pay", Input: in},
			func(context.Context) (paid, error) { return paid{}, errors.New("it ran") })
		assert.NotEqual(t, idempotency.Executed, result.Outcome)
		return err
	}
	assert.NoError(t, replay(newer{ID: "k", Merchant: "m", Amount: 7}))
	assert.ErrorIs(t, replay(newer{ID: "k", Merchant: "m", Amount: 7, Currency: "EUR"}), idempotency.ErrRecordUnreadable,
		"whether that is the same request, nobody can say")
	assert.ErrorIs(t, replay(newer{ID: "k", Merchant: "m", Amount: 8}), idempotency.ErrKeyReused)
	for _, in := range []any{
		renamed{ID: "k", Merchant: "m", Cents: 7}, shorter{ID: "k", Merchant: "m"}, retagged{ID: "k", Merchant: "m", Amount: 7},
	} {
		assert.ErrorIs(t, replay(in), idempotency.ErrRecordUnreadable, "%T", in)
	}
}

func TestRecordsThatAFunctionCannotGiveAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer idempotency.Answer
		want   idempotency.Code
	}{
		{"another codec", functionAnswer("http/1", []byte{1, 1}, `{}`), idempotency.ErrResultUnavailable},
		{"another type", functionAnswer("json/1", []byte{1, 1}, `[]`), idempotency.ErrResultUnavailable},
		{"another layout", functionAnswer("json/1", []byte{2, 1}, `{}`), idempotency.ErrResultUnavailable},
		{"no meta", functionAnswer("json/1", nil, `{}`), idempotency.ErrRecordUnreadable},
		{"another kind", functionAnswer("json/1", []byte{1, 3}, `{}`), idempotency.ErrRecordUnreadable},
		{"more than a result has", functionAnswer("json/1", []byte{1, 1, 0}, `{}`), idempotency.ErrRecordUnreadable},
		{"half a name", functionAnswer("json/1", []byte{1, 2, 9, 'a'}, `{}`), idempotency.ErrRecordUnreadable},
		{"no length", functionAnswer("json/1", []byte{1, 2, 0x80}, `{}`), idempotency.ErrRecordUnreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var w worker
			p := start(t, newBackend())
			wrapped := w.wrapped(t, p.guard)
			op, _ := p.guard.Registered("pay")
			_, err := op.Execute(t.Context(), idempotency.Call{Scope: "m", Key: "k"}, gives(tt.answer))
			require.NoError(t, err)
			got, err := wrapped(t.Context(), input("k"))
			refusal(t, err, tt.want)
			assert.Zero(t, got)
			assert.Zero(t, w.runs)
		})
	}
}

func functionAnswer(codec string, meta []byte, body string) idempotency.Answer {
	a := recorded(body)
	a.Codec, a.Meta = codec, meta
	return a
}

func TestResultsThatAreNotKept_Z1(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		do     func(context.Context) error
		policy idempotency.Policy
		want   error
	}{
		{"at the limit", nil, idempotency.Policy{MaxResponseBody: int64(len(`{"run":1,"amount":7}`))}, nil},
		{"over the limit", nil, idempotency.Policy{MaxResponseBody: int64(len(`{"run":1,"amount":7}`)) - 1}, idempotency.ErrResultUnavailable},
		{"secret", func(ctx context.Context) error {
			idempotency.OmitBody(ctx)
			return nil
		}, idempotency.Policy{}, idempotency.ErrResultUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := worker{do: tt.do}
			wrapped := w.wrapped(t, start(t, newBackend()).guard, tt.policy)
			first, err := wrapped(t.Context(), input("k"))
			require.NoError(t, err)
			assert.Equal(t, 1, first.Run, "the first caller gets it all the same")
			_, err = wrapped(t.Context(), input("k"))
			require.ErrorIs(t, err, tt.want)
			assert.Equal(t, 1, w.runs)
		})
	}
}

func TestPanicsAndGoexitGoThroughAndAreUnknown_O7(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		end  func()
		what any // that is recovered
	}{
		{"panic", func() { panic("at the disco") }, "at the disco"},
		{"Goexit", runtime.Goexit, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, newBackend())
			var w worker
			w.do = func(context.Context) error {
				tt.end()
				return nil
			}
			svc := struct {
				Pay func(context.Context, pay) (paid, error) `idempotency:"woven"`
			}{w.pay}
			require.NoError(t, idempotency.Weave(p.guard, &svc))
			for name, call := range map[string]func(context.Context, pay) (paid, error){
				"Wrap": w.wrapped(t, p.guard), "Weave": svc.Pay,
			} {
				w.runs = 0
				returned, recovered := ended(func() { _, _ = call(t.Context(), input("k")) })
				assert.False(t, returned, name)
				assert.Equal(t, tt.what, recovered, name)
				_, err := call(t.Context(), input("k"))
				assert.ErrorIs(t, err, idempotency.ErrOutcomeUnknown, name)
				assert.Equal(t, 1, w.runs, name)
			}
		})
	}
}

func ended(fn func()) (returned bool, recovered any) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { recovered = recover() }()
		fn()
		returned = true
	}()
	<-done
	return returned, recovered
}

func TestADeposedFunctionsResultIsNobodysAnswer_L10(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p := start(t, b)
		w := worker{do: func(ctx context.Context) error {
			p.node.always(lostRequest, "renew")
			<-ctx.Done()
			assert.ErrorIs(t, context.Cause(ctx), idempotency.ErrLeaseLost)
			time.Sleep(lease)
			second := worker{runs: 41}
			got, err := second.wrapped(t, start(t, b).guard, idempotency.Policy{Lease: lease, Orphan: idempotency.OrphanRerun})(t.Context(), input("k"))
			assert.NoError(t, err)
			assert.Equal(t, 42, got.Run)
			p.node.repair()
			return nil
		}}
		got, err := w.wrapped(t, p.guard, idempotency.Policy{Lease: lease, Orphan: idempotency.OrphanRerun})(t.Context(), input("k"))
		require.NoError(t, err)
		assert.Equal(t, 42, got.Run, "what is recorded is given instead")
	})
}

// An attempt that was deposed while its successor is at work has no answer, and what it
// returned must not look like one.
func TestWhatADeposedFunctionReturnedIsNotHandedOutBesideTheError_L10(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, protect func(*idempotency.Guard, payFunc, ...idempotency.OperationOption) payFunc) {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend()
			p, other := start(t, b), start(t, b)
			rerun := idempotency.Policy{Lease: lease, Orphan: idempotency.OrphanRerun}
			end := make(chan struct{})
			var successor sync.WaitGroup
			second := protect(other.guard, func(context.Context, pay) (paid, error) {
				<-end
				return paid{Run: 2}, nil
			}, rerun)
			first := protect(p.guard, func(context.Context, pay) (paid, error) {
				p.node.always(lostRequest, "renew")
				time.Sleep(2 * lease)
				successor.Go(func() { _, _ = second(t.Context(), input("k")) })
				synctest.Wait()
				p.node.repair()
				return paid{Run: 1, Amount: 7}, nil
			}, rerun)
			got, err := first(t.Context(), input("k"))
			refusal(t, err, idempotency.ErrLeaseLost)
			assert.Zero(t, got)
			close(end)
			successor.Wait()
		})
	})
}

// A record that can be read in part only gives nothing, rather than that part.
func TestHalfAResultIsNone(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, protect func(*idempotency.Guard, payFunc, ...idempotency.OperationOption) payFunc) {
		p := start(t, newBackend())
		op, err := p.guard.Operation("pay")
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), idempotency.Call{Scope: "m", Key: "k"},
			gives(functionAnswer("json/1", []byte{1, 1}, `{"run":5,"amount":"seven"}`)))
		require.NoError(t, err)
		var w worker
		got, err := protect(p.guard, w.pay)(t.Context(), input("k"))
		refusal(t, err, idempotency.ErrResultUnavailable)
		assert.Zero(t, got)
		assert.Zero(t, w.runs)
	})
}
