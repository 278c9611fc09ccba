package idempotency_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestNewNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		store store.Store
		opts  []idempotency.Option
		want  string
	}{
		{"no store", nil, nil, "store is nil"},
		{"a typed nil", (*node)(nil), nil, "store is nil"},
		{"a nil option", newNode(newBackend()), []idempotency.Option{nil}, "nil option"},
		{"no logger", newNode(newBackend()), []idempotency.Option{idempotency.WithLogger(nil)}, "WithLogger"},
		{"store timeout too short", newNode(newBackend()), []idempotency.Option{idempotency.WithStoreTimeout(9 * time.Millisecond)}, "WithStoreTimeout is 9ms"},
		{"store timeout too long", newNode(newBackend()), []idempotency.Option{idempotency.WithStoreTimeout(11 * time.Second)}, "WithStoreTimeout is 11s"},
		{"policy", newNode(newBackend()), []idempotency.Option{idempotency.WithPolicy(idempotency.Policy{Orphan: "x"})}, `Orphan is "x"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			guard, err := idempotency.New(tt.store, tt.opts...)
			assert.ErrorContains(t, err, tt.want)
			assert.Nil(t, guard)
		})
	}
}

func TestNewSendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(newBackend())
		guardOn(t, n, idempotency.WithLogger(slog.New(slog.DiscardHandler)))
		time.Sleep(time.Hour)
		assert.Zero(t, n.count(""))
	})
}

func TestOperationInheritsFromGuardAndDefaults(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend(),
		idempotency.WithPolicy(idempotency.Policy{Lease: time.Second, Retention: time.Hour, Headers: []string{"X-A"}}),
		idempotency.WithPolicy(idempotency.Policy{Retention: 2 * time.Hour}))
	op, err := p.guard.Operation("pay", idempotency.Policy{Lease: 2 * time.Second, Headers: []string{"X-B"}})
	require.NoError(t, err)
	want := idempotency.DefaultPolicy()
	want.Lease, want.Retention, want.Headers = 2*time.Second, 2*time.Hour, []string{"X-A", "X-B"}
	assert.Equal(t, want, op.Policy())
	assert.Equal(t, "pay", op.Name())
}

func TestOperationIsRegisteredOnce(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	first, err := p.guard.Operation("pay", idempotency.Policy{})
	require.NoError(t, err)
	same, err := p.guard.Operation("pay", idempotency.Policy{Lease: 30 * time.Second}) // the default, said aloud
	require.NoError(t, err)
	assert.Same(t, first, same)
	_, err = p.guard.Operation("pay", idempotency.Policy{Lease: time.Second})
	assert.ErrorContains(t, err, `"pay"`)
	assert.ErrorContains(t, err, "another policy")
}

func TestOperationNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := start(t, newBackend())
	for name, want := range map[string]string{"": "0 bytes", strings.Repeat("x", 256): "256 bytes"} {
		_, err := p.guard.Operation(name, idempotency.Policy{})
		assert.ErrorContains(t, err, want)
	}
	_, err := p.guard.Operation("pay", idempotency.Policy{Caller: "x"})
	assert.ErrorContains(t, err, `"pay"`)
	assert.ErrorContains(t, err, `Caller is "x"`)
	_, err = p.guard.Operation(strings.Repeat("x", 255), idempotency.Policy{})
	assert.NoError(t, err)
}

func TestErrorNamesCodeOperationAndCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	tests := []struct {
		name string
		err  idempotency.Error
		want string
	}{
		{"code", idempotency.Error{Code: idempotency.ErrDraining}, "idempotency: draining"},
		{"id without an operation", idempotency.Error{Code: idempotency.ErrDraining, ID: "0a"}, "idempotency: draining"},
		{"operation", idempotency.Error{Code: idempotency.ErrDraining, Operation: "pay"}, "idempotency: draining (pay)"},
		{
			"all",
			idempotency.Error{Code: idempotency.ErrLeaseLost, Operation: "pay", ID: "0a", Err: cause},
			"idempotency: lease_lost (pay 0a): cause",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wrapped := fmt.Errorf("outer: %w", &tt.err)
			assert.EqualError(t, &tt.err, tt.want)
			assert.ErrorIs(t, wrapped, tt.err.Code)
			assert.NotErrorIs(t, wrapped, idempotency.ErrKeyReused)
			assert.Equal(t, tt.err.Err != nil, errors.Is(wrapped, cause))
		})
	}
	assert.EqualError(t, idempotency.ErrInProgress, "in_progress")
}

func TestOutcomesHaveNames(t *testing.T) {
	t.Parallel()
	for outcome, want := range map[idempotency.Outcome]string{
		0: "none", idempotency.Executed: "executed", idempotency.Replayed: "replayed", idempotency.Unprotected: "unprotected",
	} {
		assert.Equal(t, want, outcome.String())
	}
}

func TestCheckOperationSaysWhatOperationWouldAndRegistersNothing(t *testing.T) {
	t.Parallel()
	guard := start(t, newBackend()).guard
	require.NoError(t, guard.CheckOperation("pay", idempotency.Policy{Lease: time.Second}))
	assert.NotContains(t, guard.Operations(), "pay")
	_, err := guard.Operation("pay", idempotency.Policy{Lease: 2 * time.Second})
	require.NoError(t, err)
	for name, opts := range map[string][]idempotency.OperationOption{
		"":    nil,
		"new": {idempotency.Policy{Caller: "x"}},
		"pay": {idempotency.Policy{Lease: time.Second}},
	} {
		checked := guard.CheckOperation(name, opts...)
		_, err := guard.Operation(name, opts...)
		require.Error(t, err)
		assert.EqualError(t, checked, err.Error())
	}
}
