package idemgrpc_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/store/memstore"
)

func TestCodec_KeepsMessagesAndTheirAbsence(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		result *wrapperspb.StringValue
	}{
		{"a message", wrapperspb.String("paid")},
		{"an empty one", &wrapperspb.StringValue{}},
		{"none", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			codec := idemgrpc.Codec()
			data, err := codec.Encode(&tt.result)
			require.NoError(t, err)
			again := wrapperspb.String("something else")
			require.NoError(t, codec.Decode(data, &again))
			assert.Equal(t, tt.result == nil, again == nil)
			assert.True(t, proto.Equal(tt.result, again))
		})
	}
}

func TestCodec_RefusesWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	codec, text, none := idemgrpc.Codec(), "text", (*string)(nil)
	const want = "is no pointer to a result that is a generated protobuf message"
	for _, v := range []any{nil, text, &text, &none, none, wrapperspb.String("no pointer to it")} {
		_, err := codec.Encode(v)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, codec.Decode([]byte{1}, v), want)
	}
	message := wrapperspb.String("")
	for _, data := range [][]byte{nil, {2}, {0, 0}, {1, 0xFF}} {
		assert.Error(t, codec.Decode(data, &message))
	}
}

func TestCodec_OfAProtectedFunction(t *testing.T) {
	t.Parallel()
	records, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(records)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	runs := 0
	pay, err := idempotency.Wrap(guard, "pay", func(_ context.Context, in *wrapperspb.Int64Value) (*wrapperspb.StringValue, error) {
		runs++
		return wrapperspb.String("paid"), nil
	}, idempotency.WithCodec(idemgrpc.Codec()), idempotency.ContextScope())
	require.NoError(t, err)
	ctx := idempotency.WithKey(idempotency.WithScope(t.Context(), "tenant"), "k")
	for range 2 {
		result, err := pay(ctx, wrapperspb.Int64(7))
		require.NoError(t, err)
		assert.Equal(t, "paid", result.GetValue())
	}
	assert.Equal(t, 1, runs)
	_, err = pay(ctx, wrapperspb.Int64(8))
	assert.ErrorIs(t, err, idempotency.ErrKeyReused)
}

func TestCodec_RefusesFunctionsWhoseResultIsNoMessageBeforeTheyRun(t *testing.T) {
	t.Parallel()
	records, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(records)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	options := []idempotency.OperationOption{idempotency.WithCodec(idemgrpc.Codec()), idempotency.GlobalScope()}
	const want = "the result cannot be recorded: idemgrpc: string is no pointer to a generated protobuf message"
	pay := func(context.Context) (string, error) {
		assert.Fail(t, "it ran")
		return "", nil
	}
	_, err = idempotency.Wrap(guard, "pay", func(ctx context.Context, _ int) (string, error) { return pay(ctx) }, options...)
	require.ErrorContains(t, err, want)
	_, _, err = idempotency.Do(t.Context(), guard, idempotency.Request{Operation: "pay", Key: "k"}, pay, options...)
	require.ErrorContains(t, err, want)
	_, err = idempotency.NewAnswer(idemgrpc.Codec(), "text")
	assert.ErrorContains(t, err, "string is no pointer to a generated protobuf message")
	assert.Empty(t, guard.Operations())
}

func TestGlobalScopeIsThatOfFunctions(t *testing.T) {
	t.Parallel()
	assert.Equal(t, idempotency.GlobalScopeName, idemgrpc.GlobalScopeName)
}
