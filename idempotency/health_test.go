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
	"github.com/reprise-go/reprise/store"
)

// examine starts a guard on a store that can be examined, and lets the first
// check begin.
func examine(t *testing.T, st *examined, opts ...idempotency.Option) (*idempotency.Guard, *logs) {
	t.Helper()
	log := &logs{}
	guard := guardOn(t, st, append(opts, idempotency.WithLogger(log.logger()))...)
	synctest.Wait()
	return guard, log
}

var errNoRights = fmt.Errorf("CONFIG GET: %w", store.ErrUnchecked)

func TestHealthTriesAWrite_X7(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		assert.NoError(t, p.guard.Health(t.Context()))
		assert.Equal(t, 2, p.node.count(""), "claim and release")
		time.Sleep(time.Minute)
		_, rec := p.node.backend.only(t)
		assert.Equal(t, store.Absent, rec.State, "it leaves nothing behind")

		for _, event := range []string{"claim", "release"} {
			p.node.next(event, readOnly)
			err := p.guard.Health(t.Context())
			assert.ErrorIs(t, err, idempotency.ErrStoreUnavailable)
			assert.ErrorIs(t, err, store.ErrUnavailable)
		}
		p.node.next("claim", hang)
		began := time.Now()
		assert.ErrorIs(t, p.guard.Health(t.Context()), idempotency.ErrStoreUnavailable)
		assert.Equal(t, 500*time.Millisecond, time.Since(began))
		assert.NoError(t, p.guard.Health(t.Context()))
	})
}

func TestPreflightOfAStoreThatCannotBeExamined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend(), idempotency.StrictCheck())
		assert.NoError(t, p.guard.Preflight(t.Context()))
		_, err := p.operation(t).Execute(t.Context(), call("k"), gives(recorded("a")))
		assert.NoError(t, err)
	})
}

func TestPreflightReportsAllFaults_S8_F34(t *testing.T) {
	t.Parallel()
	errOld := errors.New("version 5")
	tests := []struct {
		name     string
		findings []error
		err      error
		want     []error
		log      string
	}{
		{"sound", nil, nil, nil, ""},
		{"faults", []error{errEvicts, errOld}, nil, []error{errEvicts, errOld}, "not fit"},
		{"something could not be examined", []error{errNoRights}, nil, nil, "could not be examined"},
		{"both", []error{errNoRights, errEvicts}, nil, []error{errEvicts}, "not fit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := &examined{node: newNode(newBackend()), findings: tt.findings, err: tt.err}
				guard, log := examine(t, st)
				assert.Equal(t, 1, st.checked(), "examined in the background at the start")
				preflight, health := guard.Preflight(t.Context()), guard.Health(t.Context())
				if tt.want == nil {
					assert.NoError(t, preflight)
					assert.NoError(t, health)
				}
				for _, want := range tt.want {
					assert.ErrorIs(t, preflight, want)
					assert.ErrorIs(t, health, want)
				}
				assert.NotErrorIs(t, preflight, store.ErrUnchecked)
				assert.Contains(t, log.String(), tt.log)
			})
		})
	}
}

func TestFindingsAreLoggedWhenTheyChange_S8(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &examined{node: newNode(newBackend()), findings: []error{errEvicts, errNoRights}}
		guard, log := examine(t, st)
		time.Sleep(10*time.Minute + time.Second)
		assert.Equal(t, 11, st.checked(), "once a minute")
		assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
		assert.Equal(t, 1, strings.Count(log.String(), "level=INFO"))
		require.ErrorIs(t, guard.Health(t.Context()), errEvicts)

		st.set(nil, nil)
		time.Sleep(time.Minute)
		assert.NoError(t, guard.Health(t.Context()))
		st.set([]error{errEvicts}, nil)
		time.Sleep(time.Minute)
		assert.Equal(t, 2, strings.Count(log.String(), "level=WARN"))
	})
}

func TestCheckWithoutAnAnswerIsRepeatedSoonAndIsNoFinding_S8(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &examined{node: newNode(newBackend()), err: store.ErrUnavailable}
		guard, log := examine(t, st, idempotency.StrictCheck())
		require.ErrorIs(t, guard.Preflight(t.Context()), store.ErrUnavailable)
		require.Error(t, guard.Health(t.Context()), "nothing is known of the store yet")
		time.Sleep(10 * time.Second)
		assert.Equal(t, 1, strings.Count(log.String(), "does not answer"))
		st.set(nil, nil) // it comes up
		time.Sleep(10 * time.Second)
		assert.NoError(t, guard.Health(t.Context()), "found long before the minute is over")
	})
}

func TestStrictCheckRefusesUntilTheStoreIsFoundFit_S8(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &examined{node: newNode(newBackend()), err: store.ErrUnavailable}
		guard, _ := examine(t, st, idempotency.StrictCheck())
		op, err := guard.Operation("pay", idempotency.Policy{StoreDown: idempotency.StoreDownOpen})
		require.NoError(t, err)
		refuses := func(cause string) {
			t.Helper()
			_, err := op.Execute(t.Context(), call("k"), forbidden(t))
			assert.Equal(t, time.Second, refusal(t, err, idempotency.ErrStoreUnavailable).RetryAfter)
			assert.ErrorContains(t, err, cause)
			assert.Zero(t, st.count(""))
		}
		recheck := func(findings []error, err error) {
			st.set(findings, err)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		refuses("not been checked")
		recheck([]error{errEvicts}, nil)
		refuses(errEvicts.Error())
		recheck([]error{errNoRights}, nil)
		_, err = op.Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)
		recheck(nil, store.ErrUnavailable)
		result, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err, "a check without an answer takes nothing back")
		assert.Equal(t, idempotency.Replayed, result.Outcome)
	})
}

func TestWithoutStrictCheckFindingsStopNothing_S8(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		guard, _ := examine(t, &examined{node: newNode(newBackend()), findings: []error{errEvicts}})
		op, err := guard.Operation("pay", idempotency.Policy{})
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("k"), gives(recorded("a")))
		assert.NoError(t, err)
	})
}

func TestStrictGuardThatRefusesIsNotHealthy_S8_X7(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		guard, _ := examine(t, &examined{node: newNode(newBackend()), hangs: true}, idempotency.StrictCheck())
		op, err := guard.Operation("pay", idempotency.Policy{})
		require.NoError(t, err)
		_, err = op.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrStoreUnavailable)
		assert.Error(t, guard.Health(t.Context()), "nil would mean that it can serve")
	})
}

func TestCheckThatHangsEndsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		guard, _ := examine(t, &examined{node: newNode(newBackend()), hangs: true})
		assert.ErrorIs(t, guard.Preflight(t.Context()), store.ErrUnavailable)
		assert.NoError(t, guard.Health(t.Context()), "the store itself takes writes")
		time.Sleep(time.Minute)
		began := time.Now()
		assert.NoError(t, guard.Shutdown(t.Context()), "in the middle of a check")
		assert.Zero(t, time.Since(began))
	})
}

// Whoever asks with little time, or goes away, learns nothing; that is no
// finding about the store.
func TestPreflightThatItsCallerCutsShortIsNoFinding(t *testing.T) {
	t.Parallel()
	ways := map[string]func(context.Context) (context.Context, context.CancelFunc){
		"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Millisecond)
		},
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := &examined{node: newNode(newBackend())}
				guard, _ := examine(t, st, idempotency.StrictCheck())
				st.mu.Lock()
				st.hangs = true
				st.mu.Unlock()
				ctx, cancel := way(t.Context())
				defer cancel()
				assert.ErrorIs(t, guard.Preflight(ctx), ctx.Err())
				assert.NoError(t, guard.Health(t.Context()))
				op, err := guard.Operation("pay", idempotency.Policy{})
				require.NoError(t, err)
				_, err = op.Execute(t.Context(), call("k"), gives(recorded("a")))
				assert.NoError(t, err)
			})
		})
	}
}
