package idemgrpc

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

func stillUnknown(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
	return idempotency.StillUnknown(), nil
}

// Whatever the guard refuses, of whichever method, the others are not registered
// either: else what is put right could not be tried again.
func TestAServiceIsRegisteredAsAWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	reconciled := idempotency.Reconcile(stillUnknown)
	tests := []struct {
		name  string
		wrong []idempotency.OperationOption
		want  []string
	}{
		{"nil", []idempotency.OperationOption{idempotency.Reconcile(nil)}, []string{`Orders/CreateMany": Reconcile: the function is nil`}},
		{"twice", []idempotency.OperationOption{reconciled, reconciled}, []string{`Orders/CreateMany": Reconcile is given twice`}},
		{
			"two mistakes", []idempotency.OperationOption{idempotency.Reconcile(nil), idempotency.WithCodec(idempotency.JSONCodec())},
			[]string{"Reconcile: the function is nil", "\nidemgrpc: ", "WithCodec is for"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			guard := newGuard(t)
			in, err := New(guard, GlobalScope())
			require.NoError(t, err)
			right := Method("Create", reconciled)
			err = in.Protect(ordersService(), right, Method("CreateMany", test.wrong...))
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
			assert.Empty(t, guard.Operations())
			require.NoError(t, in.Protect(ordersService(), right, Method("CreateMany", reconciled)))
			assert.Len(t, guard.Operations(), 4)
			assert.NotNil(t, in.method(createManyMethod))
		})
	}
}

func TestAnOperationThatSomebodyElseHasLeavesTheRestUnregistered(t *testing.T) {
	t.Parallel()
	guard := newGuard(t)
	_, err := guard.Operation(createManyMethod[1:], idempotency.Reconcile(stillUnknown))
	require.NoError(t, err)
	in, err := New(guard, GlobalScope())
	require.NoError(t, err)
	err = in.Protect(ordersService())
	require.ErrorContains(t, err, `operation "reprise.test.v1.Orders/CreateMany" is registered already`)
	assert.Equal(t, []string{createManyMethod[1:]}, guard.Operations())
}

// Two interceptors, such as of two servers in one process, share what they say alike.
func TestTwoInterceptorsMayProtectOneService(t *testing.T) {
	t.Parallel()
	guard := newGuard(t)
	for range 2 {
		in, err := New(guard, GlobalScope())
		require.NoError(t, err)
		require.NoError(t, in.Protect(ordersService()))
	}
	in, err := New(guard, GlobalScope())
	require.NoError(t, err)
	require.ErrorContains(t, in.Protect(ordersService(), Method("Create", idempotency.Policy{Wait: idempotency.NoWait})), "with another policy")
}

func TestFieldsThatNoCallCouldFillAreMistakes(t *testing.T) {
	t.Parallel()
	uuids := idempotency.Policy{KeyFormat: idempotency.KeyUUID}
	tests := []struct {
		name   string
		guard  idempotency.Policy
		method ServiceMethod
		want   string // "" if it is right
	}{
		{"numbers that are UUIDs", idempotency.Policy{}, Method("Create", KeyField("tenant_number"), uuids),
			`Orders/Create: KeyFormat is "uuid", and the KeyField tenant_number is never a UUID: its type is uint32`},
		{"by the guard", uuids, Method("Create", KeyField("tenant_number")), "give it the KeyFieldFormat KeyAny"},
		{"numbers that are any key", uuids, Method("Create", KeyField("tenant_number"), KeyFieldFormat(idempotency.KeyAny)), ""},
		{"a text that is a UUID", uuids, Method("Create", KeyField("request_id")), ""},
		{"one field for both", idempotency.Policy{}, Method("Create", KeyField("request_id"), ScopeField("request_id")),
			`Orders/Create: KeyField and ScopeField are both "request_id"`},
		{"two fields", idempotency.Policy{}, Method("Create", KeyField("request_id"), ScopeField("currency")), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in, err := New(newGuard(t, idempotency.WithPolicy(test.guard)), GlobalScope())
			require.NoError(t, err)
			err = in.Protect(ordersService(), test.method)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}
