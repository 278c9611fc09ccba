package idemgrpc

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// deployed is one version of a service: its method as it is configured there.
type deployed struct{ unary grpc.UnaryServerInterceptor }

func deploy(t *testing.T, st store.Store, config ...idempotency.OperationOption) deployed {
	t.Helper()
	guard, err := idempotency.New(st, idempotency.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	in, err := New(guard, GlobalScope())
	require.NoError(t, err)
	require.NoError(t, in.Protect(ordersService(), Method("Create", config...)))
	return deployed{in.Unary()}
}

// call reports whether the handler ran, and the refusal.
func (d deployed) call(t *testing.T, key string, order *testpb.Order, pairs ...string) (ran bool, err error) {
	t.Helper()
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(append(pairs, "idempotency-key", key)...))
	info := &grpc.UnaryServerInfo{FullMethod: "/reprise.test.v1.Orders/Create"}
	_, err = d.unary(ctx, order, info, func(context.Context, any) (any, error) {
		ran = true
		return &testpb.Receipt{Id: "r"}, nil
	})
	return ran, CheckError(err)
}

// F23: while a change of what counts is rolled out, processes of both versions meet
// each other's records. They replay them or say that they cannot, and never take a
// retry for another request.
func TestF23_AChangedConfigurationIsNeverAFalseMismatch(t *testing.T) {
	t.Parallel()
	keyField, trace, tags := KeyField("request_id"), Exclude("items.trace"), Exclude("tags")
	counted := idempotency.Policy{FingerprintHeaders: []string{"x-branch"}}
	type config = []idempotency.OperationOption
	tests := []struct {
		name     string
		old, new config
		// What the new version says to a retry of a call that the old one recorded,
		// and the other way round; "" for a replay.
		forth, back idempotency.Code
	}{
		{"the whole message before", nil, config{keyField, trace}, "", idempotency.ErrRecordUnreadable},
		{"more is excluded", config{keyField}, config{keyField, trace}, idempotency.ErrRecordUnreadable, idempotency.ErrRecordUnreadable},
		{"more is excluded, the former is known", config{keyField}, config{keyField, trace, FormerFingerprint(keyField)}, "", idempotency.ErrRecordUnreadable},
		{"in two steps", config{keyField, FormerFingerprint(keyField, trace)}, config{keyField, trace, FormerFingerprint(keyField)}, "", ""},
		{"another list in another order", config{trace, tags}, config{tags, trace}, "", ""},
		{"metadata counts no longer", config{counted}, config{FormerFingerprint(counted)}, "", ""},
		{"metadata counts no longer, unknown", config{counted}, nil, idempotency.ErrRecordUnreadable, ""},
		{"nothing counts any longer", config{trace}, config{idempotency.Policy{Fingerprint: idempotency.FingerprintOff}}, idempotency.ErrRecordUnreadable, ""},
		{"nothing counts any longer, the former is known", config{trace}, config{idempotency.Policy{Fingerprint: idempotency.FingerprintOff}, FormerFingerprint(trace)}, "", ""},
		{"two formers", config{trace}, config{tags, FormerFingerprint(keyField), FormerFingerprint(trace)}, "", idempotency.ErrRecordUnreadable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			st, err := memstore.New()
			require.NoError(t, err)
			before, after := deploy(t, st, test.old...), deploy(t, st, test.new...)
			order := &testpb.Order{Amount: 1, Tags: []string{"a"}, Items: []*testpb.Item{{Name: "n", Trace: "t"}}}
			for key, way := range map[string]struct {
				first, second deployed
				want          idempotency.Code
			}{"forth": {before, after, test.forth}, "back": {after, before, test.back}} {
				ran, err := way.first.call(t, key, order, "x-branch", "b")
				require.NoError(t, err)
				require.True(t, ran)
				ran, err = way.second.call(t, key, order, "x-branch", "b")
				assert.False(t, ran, key)
				if way.want == "" {
					require.NoError(t, err, key)
					continue
				}
				require.ErrorIs(t, err, way.want, key)
			}
		})
	}
}

// A record that is compared as it was made is compared in earnest.
func TestF23_AFormerConfigurationTellsRequestsApart(t *testing.T) {
	t.Parallel()
	st, err := memstore.New()
	require.NoError(t, err)
	before := deploy(t, st, Exclude("tags"))
	after := deploy(t, st, Exclude("tags", "items.trace"), FormerFingerprint(Exclude("tags")))
	order := func(amount int64, tag, trace string) *testpb.Order {
		return &testpb.Order{Amount: amount, Tags: []string{tag}, Items: []*testpb.Item{{Trace: trace}}}
	}
	ran, err := before.call(t, "k", order(1, "a", "t"))
	require.True(t, ran)
	require.NoError(t, err)
	_, err = after.call(t, "k", order(1, "b", "t"))
	require.NoError(t, err)
	for _, other := range []*testpb.Order{order(2, "a", "t"), order(1, "a", "another")} {
		ran, err = after.call(t, "k", other)
		assert.False(t, ran)
		require.ErrorIs(t, err, idempotency.ErrKeyReused)
	}
	assert.Equal(t, codes.FailedPrecondition, status.Code(err))
}
