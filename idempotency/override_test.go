package idempotency_test

import (
	"context"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestOverrideHoldsForExecutionsThatBeginLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, idempotency.Policy{Retention: time.Hour})
		w := newWork(t)
		first := begin(t.Context(), op, call("a"), w.run)
		synctest.Wait()
		require.NoError(t, p.guard.Override("pay", idempotency.Policy{Failure: idempotency.FailureUnknown, Lease: 4 * lease}))

		w.end <- answer(idempotency.ClassRelease, "busy")
		_, err := first.wait()
		require.NoError(t, err)
		assert.Equal(t, "release", p.trace.allFinished()[0].Ending, "it finishes as it began")

		_, err = op.Execute(t.Context(), call("a"), gives(answer(idempotency.ClassRelease, "busy")))
		require.NoError(t, err)
		assert.Equal(t, "fail", p.trace.allFinished()[1].Ending)
	})
}

func TestOverrideIsListedCountedAndTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t, idempotency.Policy{Retention: time.Hour})
		before := op.Policy()
		assert.Empty(t, p.guard.Overrides())
		over := idempotency.Policy{Wait: time.Second, Orphan: idempotency.OrphanRerun}
		require.NoError(t, p.guard.Override("pay", over))

		assert.Equal(t, before.Override(over), op.Policy())
		assert.Equal(t, []idempotency.Overridden{
			{Operation: "pay", Policy: over, Effective: before.Override(over), Since: time.Now()},
		}, p.guard.Overrides())
		assert.Equal(t, "wait=1s,orphan=rerun", p.guard.Stats()[0].Override)
		assert.Contains(t, p.log.String(), `operation=pay override="wait=1s,orphan=rerun" before=""`)

		require.NoError(t, p.guard.Override("pay", idempotency.Policy{Wait: 2 * time.Second}))
		assert.Equal(t, before.Override(idempotency.Policy{Wait: 2 * time.Second}), op.Policy(), "the next one takes the place of the first")

		require.NoError(t, p.guard.Override("pay", idempotency.Policy{}))
		assert.Equal(t, before, op.Policy())
		assert.Empty(t, p.guard.Overrides())
		assert.Empty(t, p.guard.Stats()[0].Override)
		again, err := p.guard.Operation("pay", before)
		require.NoError(t, err, "what is declared counts when a name is registered again")
		assert.Same(t, op, again)
	})
}

func TestOverrideRefusesWhatCannotChangeAtRunTime(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		declared, over idempotency.Policy
		want           []string
	}{
		{"key format", idempotency.Policy{}, idempotency.Policy{KeyFormat: idempotency.KeyUUID}, []string{
			"KeyFormat cannot be changed at run time: keys that are in use would become others",
		}},
		{"fingerprint", idempotency.Policy{}, idempotency.Policy{
			Fingerprint: idempotency.FingerprintJSON, FingerprintOnly: []string{"/a"},
			FingerprintExclude: []string{"/b"}, FingerprintHeaders: []string{"X-A"},
		}, []string{
			"Fingerprint cannot be changed at run time: requests would no longer match", "FingerprintOnly cannot be changed",
			"FingerprintExclude cannot be changed", "FingerprintHeaders cannot be changed",
		}},
		{"headers", idempotency.Policy{}, idempotency.Policy{Headers: []string{"X-A"}}, []string{
			"Headers cannot be changed at run time: what is recorded",
		}},
		{"declared off", idempotency.Policy{Key: idempotency.KeyOff}, idempotency.Policy{Key: idempotency.KeyRequired}, []string{
			`Key cannot be changed at run time: the operation is declared "off"`, `declare it "shadow"`,
		}},
		{"shorter retention", idempotency.Policy{Retention: time.Hour}, idempotency.Policy{Retention: 59 * time.Minute}, []string{
			"Retention 59m0s is shorter than the declared 1h0m0s",
		}},
		{"shorter least", idempotency.Policy{Retention: time.Hour, MinRetention: time.Minute}, idempotency.Policy{MinRetention: time.Second}, []string{
			"MinRetention 1s is shorter than the declared 1m0s",
		}},
		{"what Validate finds", idempotency.Policy{}, idempotency.Policy{Orphan: "adopt", Lease: 1}, []string{
			`Orphan is "adopt"`, "Lease is 1ns",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, newBackend())
			op := p.operation(t, tt.declared)
			before := op.Policy()
			err := p.guard.Override("pay", tt.over)
			for _, want := range append(tt.want, `operation "pay"`) {
				assert.ErrorContains(t, err, want)
			}
			assert.Equal(t, before, op.Policy())
			assert.Empty(t, p.guard.Overrides())
		})
	}
}

// What is in force is shared with nobody: an override has no list that its caller could
// still write to.
func TestOverrideTakesNoLists(t *testing.T) {
	t.Parallel()
	lists := 0
	for field := range reflect.TypeFor[idempotency.Policy]().Fields() {
		if field.Type.Kind() != reflect.Slice {
			assert.NotContains(t, []reflect.Kind{reflect.Map, reflect.Pointer, reflect.Interface}, field.Type.Kind(), field.Name)
			continue
		}
		lists++
		p := start(t, newBackend())
		p.operation(t)
		var over idempotency.Policy
		reflect.ValueOf(&over).Elem().FieldByName(field.Name).Set(reflect.ValueOf([]string{"/a"}))
		assert.ErrorContains(t, p.guard.Override("pay", over), field.Name+" cannot be changed at run time")
	}
	assert.NotZero(t, lists)
}

func TestOverrideNamesAnUnknownOperation(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	assert.EqualError(t, p.guard.Override("pay", idempotency.Policy{Wait: time.Second}),
		`idempotency: Override: operation "pay" is not registered`)
	p.operation(t)
	assert.EqualError(t, p.guard.Override("pya", idempotency.Policy{}),
		`idempotency: Override: operation "pya" is not registered; the nearest is "pay"`)
}

func TestOverrideTakesWhatDeclaredMinRetentionAllows(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	op := p.operation(t, idempotency.Policy{Retention: time.Hour, MinRetention: time.Minute})
	require.NoError(t, p.guard.Override("pay", idempotency.Policy{Retention: time.Minute}))
	assert.Equal(t, time.Minute, op.Policy().Retention)
}

// A handler that asked for the declared retention goes on as before under a longer
// one.
func TestOverrideToALongerRetentionKeepsRetainFor(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	op := p.operation(t, idempotency.Policy{Retention: time.Hour})
	require.NoError(t, p.guard.Override("pay", idempotency.Policy{Retention: 2 * time.Hour}))
	_, err := op.Execute(t.Context(), call("a"), func(ctx context.Context) idempotency.Answer {
		assert.NoError(t, idempotency.RetainFor(ctx, time.Hour))
		assert.Error(t, idempotency.RetainFor(ctx, time.Hour-1))
		return recorded("done")
	})
	require.NoError(t, err)
}

// An attempt whose record has vanished (flushed, evicted) is adopted only within
// the time that any other run since would have left a record. Under an override
// that lengthens the retention, that is still the declared one: another process
// may not have the override.
func TestOverrideDoesNotLengthenAdoption(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		after time.Duration
		want  bool
	}{
		{"within the declared retention", 5 * time.Second, true},
		{"after it, within the override's", 15 * time.Second, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend()
				p := start(t, b)
				op := p.operation(t, idempotency.Policy{Retention: 10 * time.Second})
				require.NoError(t, p.guard.Override("pay", idempotency.Policy{Retention: time.Hour}))
				_, err := op.Execute(t.Context(), call("a"), func(context.Context) idempotency.Answer {
					p.node.always(lostRequest, "renew")
					time.Sleep(tt.after)
					b.flush()
					p.node.repair()
					return recorded("done")
				})
				if tt.want {
					assert.NoError(t, err)
					return
				}
				refusal(t, err, idempotency.ErrLeaseLost)
			})
		})
	}
}

// A waiter with another lease than the crowd's claim would take the claim as held
// for longer than it is.
func TestOverrideOfTheLeaseSplitsThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p := start(t, b)
		op := p.operation(t, idempotency.Policy{Wait: time.Minute, Orphan: idempotency.OrphanRerun})
		other := start(t, b)
		w := newWork(t)
		owner := begin(t.Context(), other.operation(t), call("a"), w.run)
		synctest.Wait()
		var mu sync.Mutex
		var leases []time.Duration
		note := func(context.Context) idempotency.Answer {
			_, rec := b.only(t)
			mu.Lock()
			defer mu.Unlock()
			leases = append(leases, rec.Lease)
			return answer(idempotency.ClassRelease, "again")
		}
		first := begin(t.Context(), op, call("a"), note)
		synctest.Wait()
		require.NoError(t, p.guard.Override("pay", idempotency.Policy{Lease: 10 * lease}))
		second := begin(t.Context(), op, call("a"), note)
		synctest.Wait()
		w.end <- answer(idempotency.ClassRelease, "again")
		for _, r := range []*running{owner, first, second} {
			_, err := r.wait()
			require.NoError(t, err)
		}
		assert.ElementsMatch(t, []time.Duration{lease, 10 * lease}, leases, "each runs under the lease of its own policy")
	})
}

func TestKillSwitchRunsNewRequestsAndLetsOldOnesFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		p := start(t, b)
		op := p.operation(t)
		w := newWork(t)
		first := begin(t.Context(), op, call("a"), w.run)
		synctest.Wait()
		require.NoError(t, p.guard.Override("pay", idempotency.Policy{Key: idempotency.KeyOff}))
		calls := p.node.count("")

		result, err := op.Execute(t.Context(), call("a"), func(ctx context.Context) idempotency.Answer {
			_, protected := idempotency.FromContext(ctx)
			assert.False(t, protected)
			assert.NoError(t, idempotency.MarkEffect(ctx))
			return recorded("second")
		})
		require.NoError(t, err)
		assert.Equal(t, idempotency.Unprotected, result.Outcome)
		assert.Equal(t, "second", string(result.Answer.Body))
		assert.Equal(t, calls, p.node.count(""), "the store is not asked")

		w.end <- recorded("first")
		result, err = first.wait()
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		require.NoError(t, p.guard.Override("pay", idempotency.Policy{}))
		result, err = op.Execute(t.Context(), call("a"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, "first", string(result.Answer.Body))
		_, rec := b.only(t)
		assert.Equal(t, store.Completed, rec.State)
	})
}

// A transport decides by one policy for a whole request.
func TestCurrentDoesNotChange(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	op := p.operation(t)
	current := op.Current()
	assert.Same(t, current, op.Current())
	assert.Same(t, current, current.Current())
	require.NoError(t, p.guard.Override("pay", idempotency.Policy{Conflict: idempotency.Conflict503}))
	assert.Equal(t, idempotency.Conflict409, current.Policy().Conflict)
	assert.Equal(t, idempotency.Conflict503, op.Policy().Conflict)
	assert.NotSame(t, current, op.Current())
}

// Overrides and executions at once: each execution is under one policy, whole.
func TestOverridesAreAtomic(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	op := p.operation(t)
	short := idempotency.Policy{Lease: 4 * time.Second, MaxHold: 4 * time.Minute}
	long := idempotency.Policy{Lease: 8 * time.Second, MaxHold: 8 * time.Minute}
	var wg sync.WaitGroup
	for _, over := range []idempotency.Policy{short, long} {
		wg.Go(func() {
			for range 200 {
				assert.NoError(t, p.guard.Override("pay", over))
			}
		})
	}
	wg.Go(func() {
		for range 1000 {
			now := op.Policy()
			assert.True(t, now.Lease == lease || now.MaxHold == now.Lease*60, now.String())
		}
	})
	wg.Wait()
}

func TestOverridesAreListedByName(t *testing.T) {
	t.Parallel()
	guard := start(t, newBackend()).guard
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, name := range names {
		_, err := guard.Operation(name)
		require.NoError(t, err)
		require.NoError(t, guard.Override(name, idempotency.Policy{Wait: time.Second}))
	}
	var listed []string
	for _, over := range guard.Overrides() {
		listed = append(listed, over.Operation)
	}
	assert.Equal(t, names, listed)
}
