package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/reprise-go/reprise/examples/payments/paymentspb"
)

func TestGRPC_Streams_G18(t *testing.T) {
	t.Parallel()
	service := launch(t)
	for _, test := range []struct {
		name     string
		sources  []string
		messages int
		code     codes.Code
		reason   string
		again    codes.Code // where it is no replay
		unknown  bool
		charges  int
	}{
		{name: "all", sources: []string{"tok_visa", "tok_slow_10ms", "tok_cookie"}, messages: 3, charges: 3},
		{name: "none", sources: nil},
		{name: "declined-end", sources: []string{"tok_visa", "tok_visa", "tok_declined", "tok_visa"}, messages: 2, code: codes.FailedPrecondition, reason: "CARD_DECLINED", charges: 2},
		{name: "declined-at-once", sources: []string{"tok_declined", "tok_visa"}, code: codes.FailedPrecondition, reason: "CARD_DECLINED"},
		{name: "bad-end", sources: []string{"tok_visa", "tok_nonsense"}, messages: 1, code: codes.InvalidArgument, reason: "UNKNOWN_SOURCE", charges: 1},
		{name: "outage-after-a-charge", sources: []string{"tok_visa", "tok_outage"}, messages: 1, code: codes.Unavailable, reason: "PROCESSOR_DOWN", unknown: true, charges: 1},
		{name: "panic-after-a-charge", sources: []string{"tok_visa", "tok_panic"}, messages: 1, code: codes.Internal, reason: "INTERNAL", unknown: true, charges: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			acme := service.caller(t, test.name)
			first := acme.stream(t.Context(), several(test.sources...), "k")
			assert.Equal(t, test.code, first.code(), first.err)
			assert.Equal(t, test.reason, first.reason())
			assert.Len(t, first.messages, test.messages)
			assert.False(t, first.replayed())
			second := acme.stream(t.Context(), several(test.sources...), "k")
			if test.unknown {
				assert.Equal(t, "OUTCOME_UNKNOWN", second.reason())
				assert.Empty(t, second.messages)
			} else {
				second.assertReplayOf(t, first)
			}
			assert.Equal(t, test.charges, service.charges(t, test.name))
		})
	}
}

// A source that gives up before its own charge must not say that nothing
// happened in a call that has charged before.
func TestGRPC_StreamThatIsInterruptedAfterAChargeIsUnknown(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	service := launch(t, "-redis", "redis://"+server.Addr(), "-lease", "1s")
	acme := service.caller(t, "acme")
	running, err := acme.client.CreatePayments(acme.with(t.Context(), "k"), several("tok_visa", "tok_slow_20s"))
	require.NoError(t, err)
	_, err = running.Recv()
	require.NoError(t, err)
	server.SetError("ERR out of order") // the lease cannot be renewed: the handler's context ends
	_, err = running.Recv()
	assert.Equal(t, "INTERRUPTED", answer{err: err}.reason(), err)
	server.SetError("")
	require.Eventually(t, func() bool {
		return acme.stream(t.Context(), several("tok_visa", "tok_slow_20s"), "k").reason() == "OUTCOME_UNKNOWN"
	}, 20*time.Second, 20*time.Millisecond)
	assert.Equal(t, 1, service.charges(t, "acme"))
}

// G15: a caller who goes away does not stop what it asked for.
func TestGRPC_StreamOfACallerWhoHasGoneIsRecorded(t *testing.T) {
	t.Parallel()
	service := launch(t)
	acme := service.caller(t, "acme")
	in := several("tok_visa", "tok_slow_300ms", "tok_visa")
	ctx, cancel := context.WithCancel(t.Context())
	running, err := acme.client.CreatePayments(acme.with(ctx, "k"), in)
	require.NoError(t, err)
	first, err := running.Recv()
	require.NoError(t, err)
	cancel()
	again := acme.stream(t.Context(), in, "k")
	require.NoError(t, again.err)
	assert.True(t, again.replayed())
	require.Len(t, again.messages, 3)
	p, ok := again.messages[0].(*paymentspb.Payment)
	require.True(t, ok)
	assert.Equal(t, first.GetId(), p.GetId())
	assert.Equal(t, 3, service.charges(t, "acme"))
}
