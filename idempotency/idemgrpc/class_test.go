package idemgrpc

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/testpb"
)

const (
	recorded = idempotency.ClassRecord
	released = idempotency.ClassRelease
	unknown  = idempotency.ClassUnknown
)

// refusedBehind is a status with the details of another service's refusal.
func refusedBehind(t *testing.T, code codes.Code, reason, domain string) *status.Status {
	t.Helper()
	st, err := status.New(code, "the ledger refused").WithDetails(
		&errdetails.LocalizedMessage{Locale: "de", Message: "Nein"}, &errdetails.ErrorInfo{Reason: reason, Domain: domain})
	require.NoError(t, err)
	return st
}

// What a refusal means that a handler passes on, by the class of the code that it
// comes with.
func TestAPassedOnRefusalIsNoLessCarefulThanItsCode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code                      idempotency.Code
		record, release, unknowns idempotency.Class
	}{
		{idempotency.ErrKeyMissing, recorded, released, unknown},
		{idempotency.ErrKeyInvalid, recorded, released, unknown},
		{idempotency.ErrBodyUnreadable, recorded, released, unknown},
		{idempotency.ErrBodyTooLarge, recorded, released, unknown},
		{idempotency.ErrKeyReused, recorded, released, unknown},
		{idempotency.ErrInProgress, released, released, unknown},
		{idempotency.ErrOutcomeUnknown, unknown, unknown, unknown},
		{idempotency.ErrResultUnavailable, unknown, unknown, unknown},
		{idempotency.ErrReplayDenied, unknown, unknown, unknown},
		{idempotency.ErrScopeBusy, released, released, unknown},
		{idempotency.ErrOverloaded, released, released, unknown},
		{idempotency.ErrNotStarted, released, released, unknown},
		{idempotency.ErrScopeMissing, recorded, released, unknown},
		{idempotency.ErrStoreUnavailable, released, released, unknown},
		{idempotency.ErrDraining, released, released, unknown},
		{idempotency.ErrLeaseLost, unknown, unknown, unknown},
		{idempotency.ErrRecordUnreadable, unknown, released, unknown},
		{"of_a_newer_version", unknown, unknown, unknown},
	}
	for i, r := range refusals() {
		assert.Equal(t, r.code, tests[i].code, "all are there")
	}
	const own = "ledger.example.com"
	for _, test := range tests {
		t.Run(string(test.code), func(t *testing.T) {
			t.Parallel()
			byCode := map[codes.Code]idempotency.Class{
				codes.FailedPrecondition: test.record, codes.NotFound: test.record,
				codes.Unavailable: test.release, codes.PermissionDenied: test.release,
				codes.Internal: test.unknowns, codes.Canceled: test.unknowns,
			}
			for code, want := range byCode {
				class := classify(code, idempotency.RecordDeterministic)
				of := func(domain string) idempotency.Class {
					return classBehind(class, refusedBehind(t, code, reasonOf(test.code), domain), own)
				}
				assert.Equal(t, want, of(DefaultDomain), "%v", code)
				assert.Equal(t, class, of("other.example.com"), "%v of somebody else", code)
				if test.code != "of_a_newer_version" {
					assert.Equal(t, want, of(own), "%v in the service's own domain", code)
				}
			}
		})
	}
	declined := refusedBehind(t, codes.FailedPrecondition, "CARD_DECLINED", own)
	assert.Equal(t, recorded, classBehind(recorded, declined, own), "an error of the service's own, in its own domain")
}

// A handler that has had its effect, and then meets a refusal behind it, is not
// run again for having passed it on.
func TestAPassedOnRefusalDoesNotRunTheHandlerAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		code   codes.Code
		reason idempotency.Code
		runs   int
		mark   string // of the second answer
	}{
		{"reused", codes.FailedPrecondition, idempotency.ErrKeyReused, 1, markReplayed},
		{"reused, and something broke", codes.Internal, idempotency.ErrKeyReused, 1, markUnknown},
		{"running", codes.Aborted, idempotency.ErrInProgress, 2, markUnrecorded},
		{"running, told as final", codes.FailedPrecondition, idempotency.ErrInProgress, 2, markUnrecorded},
		{"not started", codes.Canceled, idempotency.ErrNotStarted, 1, markUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			unary, runs := protectedOrders(t).Unary(), 0
			last := &wire{}
			for range 2 {
				last = &wire{method: createMethod}
				ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("idempotency-key", "k"))
				ctx = grpc.NewContextWithServerTransportStream(ctx, last)
				_, err := unary(ctx, &testpb.Order{}, &grpc.UnaryServerInfo{FullMethod: createMethod}, func(context.Context, any) (any, error) {
					runs++
					return nil, refusedBehind(t, test.code, reasonOf(test.reason), DefaultDomain).Err()
				})
				require.Error(t, err)
			}
			assert.Equal(t, test.runs, runs)
			assert.Equal(t, []string{test.mark}, last.trailer.Get(markStatus))
		})
	}
}
