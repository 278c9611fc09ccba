package idemgrpc

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

func TestAnAnswerThatTheMethodCannotGiveIsRefused(t *testing.T) {
	t.Parallel()
	receipt, order := proto.Message(&testpb.Receipt{Id: "r"}), proto.Message(&testpb.Order{})
	tests := []struct {
		name, method string
		answer       Settled
		want         string // "" if it is one
	}{
		{"a success", "Create", Settled{Messages: []proto.Message{receipt}}, ""},
		{"an error", "Create", Settled{Status: status.New(codes.NotFound, "none")}, ""},
		{"another type", "Create", Settled{Messages: []proto.Message{order}}, "messages of another type: reprise.test.v1.Order, not reprise.test.v1.Receipt"},
		{"nothing", "Create", Settled{}, "a success of a unary method has one message, not 0"},
		{"two messages", "Create", Settled{Messages: []proto.Message{receipt, receipt}}, "a success of a unary method has one message, not 2"},
		{"a stream of two", "CreateMany", Settled{Messages: []proto.Message{receipt, receipt}}, ""},
		{"an empty stream", "CreateMany", Settled{}, ""},
		{"a stream that fails", "CreateMany", Settled{Messages: []proto.Message{receipt}, Status: status.New(codes.NotFound, "none")}, ""},
		{"a stream of another type", "CreateMany", Settled{Messages: []proto.Message{order}}, "messages of another type"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			guard := newGuard(t)
			in, err := New(guard, GlobalScope())
			require.NoError(t, err)
			require.NoError(t, in.Protect(ordersService()))
			id, token := unknownOutcome(t, guard, "reprise.test.v1.Orders/"+test.method)
			answer, err := NewAnswer(test.answer)
			require.NoError(t, err)
			err = guard.Settle(t.Context(), id, idempotency.Settlement{Token: token, Answer: &answer})
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, store.ErrInvalid)
			require.ErrorContains(t, err, `operation "reprise.test.v1.Orders/`+test.method+`"`)
			require.ErrorContains(t, err, test.want)
		})
	}
}

// unknownOutcome leaves an operation behind of which nobody knows the outcome.
func unknownOutcome(t *testing.T, guard *idempotency.Guard, operation string) (store.ID, store.Token) {
	t.Helper()
	op, ok := guard.Registered(operation)
	require.True(t, ok)
	call := idempotency.Call{Scope: GlobalScopeName, Key: "k"}
	_, err := op.Execute(t.Context(), call, func(context.Context) idempotency.Answer {
		return idempotency.Answer{Class: idempotency.ClassUnknown}
	})
	require.NoError(t, err)
	id := ID(guard, "/"+operation, GlobalScopeName, "k")
	assert.Equal(t, id, ID(guard, operation, GlobalScopeName, "k"), "with a slash or without")
	seen, err := guard.Lookup(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, store.Unknown, seen.State)
	return id, seen.Token
}

// A success without its message that was recorded all the same is not replayed as one.
func TestARecordedAnswerOfTooFewMessagesIsUnreadable(t *testing.T) {
	t.Parallel()
	guard := newGuard(t)
	in, err := New(guard, GlobalScope())
	require.NoError(t, err)
	require.NoError(t, in.Protect(ordersService()))
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("idempotency-key", "k"))
	empty, err := NewAnswer(Settled{})
	require.NoError(t, err)
	m := in.method("/reprise.test.v1.Orders/Create")
	_, err = m.replayUnary(ctx, idempotency.Result{Outcome: idempotency.Replayed, Answer: idempotency.Answer{Answer: empty}})
	require.ErrorIs(t, CheckError(err), idempotency.ErrRecordUnreadable)
}
