package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// level is one way in which something can be declared as protected: a function, a
// struct of functions, a table of routes. Whatever it is, the same must hold of it.
type level struct {
	name string
	// open protects an order desk, on one node.
	open func(t *testing.T, desk orderDesk) callFunc
	// mistake declares something on a field that does not exist, or by a word that
	// does not, and names says what the error must name. Nil: it cannot be done.
	mistake func(g *idempotency.Guard) error
	names   []string
}

// orderDesk is what each level protects: it answers with how often it ran.
type orderDesk struct {
	guard  *idempotency.Guard
	policy string // in words, beside "required"
	runs   *atomic.Int64
	// work is done in each run; its error is the handler's answer. May be nil.
	work func(ctx context.Context) error
}

// run is the handler itself.
func (d orderDesk) run(ctx context.Context, in orderInput) (orderOutput, error) {
	n := d.runs.Add(1)
	if d.work != nil {
		if err := d.work(ctx); err != nil {
			return orderOutput{}, err
		}
	}
	return orderOutput{Run: n, Amount: in.Amount}, nil
}

// words is the whole policy.
func (d orderDesk) words() string {
	if d.policy == "" {
		return "required"
	}
	return "required," + d.policy
}

type orderInput struct {
	ID      string `json:"id"      idempotency:"key"`
	Tenant  string `json:"tenant"  idempotency:"scope"`
	Amount  int    `json:"amount"`
	TraceID string `json:"trace_id" idempotency:"-"`
}

type orderOutput struct {
	Run    int64 `json:"run"`
	Amount int   `json:"amount"`
}

// callFunc calls the order desk. Refusals of the library come back as *Error, or as
// errors that errors.Is finds the code in.
type callFunc func(ctx context.Context, in orderInput) (orderOutput, error)

// levels are all of them: whoever adds a way of declaring adds it here.
func levels() []level {
	return append(functionLevels(), httpLevels()...)
}

// onEveryLevel runs a rule on each level, on the memory store and on a real Redis.
// nodes are as many guards on one store.
func onEveryLevel(t *testing.T, nodes int, rule func(t *testing.T, l level, guards []*idempotency.Guard)) {
	t.Helper()
	for _, l := range levels() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			t.Run("memory", func(t *testing.T) {
				t.Parallel()
				records := newMemory(t)
				rule(t, l, guardsOn(t, nodes, func() store.Store { return records }))
			})
			t.Run("redis", func(t *testing.T) {
				t.Parallel()
				server, namespace := shared.Server(t), namespaceOf(t)
				rule(t, l, guardsOn(t, nodes, func() store.Store { return openRedis(t, server.Client(t), namespace) }))
			})
		})
	}
}

func guardsOn(t *testing.T, nodes int, open func() store.Store) []*idempotency.Guard {
	t.Helper()
	guards := make([]*idempotency.Guard, nodes)
	for i := range guards {
		guard, err := idempotency.New(open(), idempotency.WithLogger(slog.New(slog.DiscardHandler)), idempotency.WithStoreTimeout(5*time.Second))
		require.NoError(t, err)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			assert.NoError(t, guard.Shutdown(ctx))
		})
		guards[i] = guard
	}
	return guards
}

func orderOf(key string) orderInput { return orderInput{ID: key, Tenant: "P1", Amount: 7} }

func TestR1_OnEveryLevelTheFirstAnswerIsGivenAgain(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs := new(atomic.Int64)
		call := l.open(t, orderDesk{guard: guards[0], runs: runs})
		key := newKey()
		for range 3 {
			out, err := call(t.Context(), orderOf(key))
			require.NoError(t, err)
			assert.Equal(t, orderOutput{Run: 1, Amount: 7}, out)
		}
		assert.EqualValues(t, 1, runs.Load())
	})
}

func TestF1_OnEveryLevelAKeyIsBoundToItsRequest(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs := new(atomic.Int64)
		call := l.open(t, orderDesk{guard: guards[0], runs: runs})
		key := newKey()
		_, err := call(t.Context(), orderOf(key))
		require.NoError(t, err)
		other := orderOf(key)
		other.Amount++
		_, err = call(t.Context(), other)
		require.ErrorIs(t, err, idempotency.ErrKeyReused)
		out, err := call(t.Context(), orderOf(key))
		require.NoError(t, err)
		assert.EqualValues(t, 1, out.Run, "the stored answer is untouched")
		assert.EqualValues(t, 1, runs.Load())
	})
}

func TestF14_OnEveryLevelAnExcludedFieldMayChange(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs := new(atomic.Int64)
		call := l.open(t, orderDesk{guard: guards[0], runs: runs})
		key := newKey()
		for i := range 3 {
			in := orderOf(key)
			in.TraceID = fmt.Sprint("trace-", i)
			out, err := call(t.Context(), in)
			require.NoError(t, err)
			assert.EqualValues(t, 1, out.Run)
		}
	})
}

func TestF15_OnEveryLevelAWrongDeclarationFailsAtConstruction(t *testing.T) {
	t.Parallel()
	for _, l := range levels() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			if l.mistake == nil {
				t.Skip("nothing is declared by tags here")
			}
			err := l.mistake(guardsOn(t, 1, func() store.Store { return newMemory(t) })[0])
			require.Error(t, err)
			for _, name := range l.names {
				assert.Contains(t, err.Error(), name)
			}
		})
	}
}

// crowd sends equal calls at once, spread over the nodes.
func crowd(t *testing.T, calls []callFunc, size int, in orderInput) (outs []orderOutput, errs []error) {
	t.Helper()
	outs, errs = make([]orderOutput, size), make([]error, size)
	var wg sync.WaitGroup
	for i := range size {
		wg.Go(func() { outs[i], errs[i] = calls[i%len(calls)](t.Context(), in) })
	}
	wg.Wait()
	return outs, errs
}

func openAll(t *testing.T, l level, guards []*idempotency.Guard, desk orderDesk) []callFunc {
	t.Helper()
	var calls []callFunc
	for _, guard := range guards {
		desk.guard = guard
		calls = append(calls, l.open(t, desk))
	}
	return calls
}

func TestC1_OnEveryLevelAHundredAtOnceOverThreeNodesRunOnce(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 3, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs := new(atomic.Int64)
		calls := openAll(t, l, guards, orderDesk{runs: runs})
		outs, errs := crowd(t, calls, 100, orderOf(newKey()))
		answered := 0
		for i, err := range errs {
			if err != nil {
				assert.ErrorIs(t, err, idempotency.ErrInProgress)
				continue
			}
			answered++
			assert.Equal(t, orderOutput{Run: 1, Amount: 7}, outs[i])
		}
		assert.Positive(t, answered)
		assert.EqualValues(t, 1, runs.Load())
	})
}

func TestC3_OnEveryLevelAHundredThatWaitGetOneAnswer(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 3, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs := new(atomic.Int64)
		calls := openAll(t, l, guards, orderDesk{runs: runs, policy: "wait=15s", work: func(ctx context.Context) error {
			return pause(ctx, time.Second)
		}})
		outs, errs := crowd(t, calls, 100, orderOf(newKey()))
		for i, err := range errs {
			require.NoError(t, err)
			assert.Equal(t, orderOutput{Run: 1, Amount: 7}, outs[i])
		}
		assert.EqualValues(t, 1, runs.Load())
	})
}

func TestL1_OnEveryLevelALeaseIsRenewedWhileTheHandlerRuns(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 2, func(t *testing.T, l level, guards []*idempotency.Guard) {
		const lease = 500 * time.Millisecond
		runs, late := new(atomic.Int64), make(chan struct{})
		calls := openAll(t, l, guards, orderDesk{runs: runs, policy: "lease=500ms,max-hold=1m", work: func(ctx context.Context) error {
			defer close(late)
			return pause(ctx, 5*lease)
		}})
		key, done := newKey(), make(chan error, 1)
		go func() {
			_, err := calls[0](t.Context(), orderOf(key))
			done <- err
		}()
		for over := false; !over; {
			select {
			case <-late:
				over = true
			case <-time.After(lease / 2):
				_, err := calls[1](t.Context(), orderOf(key))
				if err != nil {
					assert.ErrorIs(t, err, idempotency.ErrInProgress)
				}
			}
		}
		require.NoError(t, <-done)
		out, err := calls[1](t.Context(), orderOf(key))
		require.NoError(t, err)
		assert.EqualValues(t, 1, out.Run)
		assert.EqualValues(t, 1, runs.Load())
	})
}

// pause takes its time, and ends early with its context.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errTrouble = errors.New("the bank does not answer")

func TestO1_OnEveryLevelAPlainErrorIsNotRecorded(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		var healed, marks atomic.Bool
		runs := new(atomic.Int64)
		call := l.open(t, orderDesk{guard: guards[0], runs: runs, work: func(ctx context.Context) error {
			switch {
			case healed.Load():
				return nil
			case marks.Load():
				return errors.Join(idempotency.MarkEffect(ctx), errTrouble)
			}
			return errTrouble
		}})
		key := newKey()
		_, err := call(t.Context(), orderOf(key))
		require.Error(t, err)
		healed.Store(true)
		out, err := call(t.Context(), orderOf(key))
		require.NoError(t, err)
		assert.EqualValues(t, 2, out.Run)

		healed.Store(false)
		marks.Store(true)
		key = newKey()
		_, err = call(t.Context(), orderOf(key))
		require.Error(t, err)
		_, err = call(t.Context(), orderOf(key))
		assert.ErrorIs(t, err, idempotency.ErrOutcomeUnknown, "or unknown, when an effect was marked")
		assert.EqualValues(t, 3, runs.Load())
	})
}

func TestA1_OnEveryLevelScopesAreApart(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs := new(atomic.Int64)
		call := l.open(t, orderDesk{guard: guards[0], runs: runs})
		p1 := orderOf(newKey())
		p2 := p1
		p2.Tenant = "P2"
		for range 2 {
			for i, in := range []orderInput{p1, p2} {
				out, err := call(t.Context(), in)
				require.NoError(t, err)
				assert.EqualValues(t, i+1, out.Run)
			}
		}
	})
}

func TestA3_OnEveryLevelNothingRunsWithoutAScope(t *testing.T) {
	t.Parallel()
	onEveryLevel(t, 1, func(t *testing.T, l level, guards []*idempotency.Guard) {
		runs := new(atomic.Int64)
		call := l.open(t, orderDesk{guard: guards[0], runs: runs})
		in := orderOf(newKey())
		in.Tenant = ""
		_, err := call(t.Context(), in)
		require.ErrorIs(t, err, idempotency.ErrScopeMissing)
		assert.Zero(t, runs.Load())
	})
}
