package idemgrpc_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

// What StatusOf says, CheckError reads.
func TestARefusalIsToldByItsCode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code      idempotency.Code
		status    codes.Code
		wait      time.Duration
		retryable bool
		newKey    bool
	}{
		{idempotency.ErrKeyMissing, codes.InvalidArgument, 0, false, false},
		{idempotency.ErrKeyReused, codes.FailedPrecondition, 0, false, true},
		{idempotency.ErrInProgress, codes.Aborted, 3 * time.Second, true, false},
		{idempotency.ErrOutcomeUnknown, codes.FailedPrecondition, 0, false, false},
		{idempotency.ErrStoreUnavailable, codes.Unavailable, time.Second, true, false},
		{idempotency.ErrLeaseLost, codes.Aborted, time.Second, true, false},
	}
	for _, tt := range tests {
		t.Run(string(tt.code), func(t *testing.T) {
			t.Parallel()
			refused := &idempotency.Error{Code: tt.code, RetryAfter: tt.wait}
			sent := idemgrpc.StatusOf(refused, idemgrpc.DefaultDomain, "").Err()
			err := idemgrpc.CheckError(fmt.Errorf("calling: %w", sent))

			require.ErrorIs(t, err, tt.code)
			require.ErrorIs(t, err, sent)
			assert.Equal(t, tt.status, status.Code(err))
			told, ok := errors.AsType[*idemgrpc.CallError](err)
			require.True(t, ok)
			told.Err = nil
			assert.Equal(t, &idemgrpc.CallError{Code: tt.code, Status: tt.status, RetryAfter: tt.wait, Retryable: tt.retryable, SafeNewKey: tt.newKey}, told)
		})
	}
}

func TestACallErrorSaysWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	sent := idemgrpc.StatusOf(&idempotency.Error{Code: idempotency.ErrInProgress}, idemgrpc.DefaultDomain, "").Err()
	err := idemgrpc.CheckError(fmt.Errorf("calling: %w", sent))
	require.EqualError(t, err, `idemgrpc: in_progress (status Aborted): "a call with this idempotency key is still being processed"`)
	require.EqualError(t, &idemgrpc.CallError{Code: idempotency.ErrInProgress, Status: codes.Aborted}, "idemgrpc: in_progress (status Aborted)")
	forged, failed := status.New(codes.Aborted, "no\nlevel=ERROR").WithDetails(&errdetails.ErrorInfo{Domain: idemgrpc.DefaultDomain, Reason: "IN_PROGRESS"})
	require.NoError(t, failed)
	assert.NotContains(t, idemgrpc.CheckError(forged.Err()).Error(), "\n", "it comes from a network, and goes into logs")
}

func TestTheEndOfAStreamStaysTheEndOfAStream(t *testing.T) {
	t.Parallel()
	assert.Equal(t, io.EOF, idemgrpc.CheckError(io.EOF))
}

func TestAnErrorThatIsNotTheLibrarysStaysAsItIs(t *testing.T) {
	t.Parallel()
	detailed := func(info *errdetails.ErrorInfo) error {
		st, err := status.New(codes.FailedPrecondition, "no").WithDetails(info)
		require.NoError(t, err)
		return st.Err()
	}
	tests := []struct {
		name string
		err  error
	}{
		{"none", nil},
		{"no status", errors.New("no")},
		{"no details", status.Error(codes.Unavailable, "down")},
		{"another domain", detailed(&errdetails.ErrorInfo{Domain: "bank.example", Reason: "IN_PROGRESS"})},
		{"a reason that is none", detailed(&errdetails.ErrorInfo{Domain: idemgrpc.DefaultDomain, Reason: "in\nprogress"})},
		{"an empty reason", detailed(&errdetails.ErrorInfo{Domain: idemgrpc.DefaultDomain})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.err, idemgrpc.CheckError(tt.err))
		})
	}
}

func TestRefusalsOfANamedDomainAreTold(t *testing.T) {
	t.Parallel()
	sent := idemgrpc.StatusOf(&idempotency.Error{Code: idempotency.ErrInProgress}, "pay.example", "").Err()
	require.NotErrorIs(t, idemgrpc.CheckError(sent), idempotency.ErrInProgress)
	require.ErrorIs(t, idemgrpc.CheckError(sent, "pay.example"), idempotency.ErrInProgress)
}

func TestANewKeyIsSafeOnlyWhereTheKeyWasReused(t *testing.T) {
	t.Parallel()
	st, err := status.New(codes.FailedPrecondition, "").WithDetails(&errdetails.ErrorInfo{
		Domain: idemgrpc.DefaultDomain, Reason: "OUTCOME_UNKNOWN", Metadata: map[string]string{"safe_new_key": "true"},
	})
	require.NoError(t, err)
	told, ok := errors.AsType[*idemgrpc.CallError](idemgrpc.CheckError(st.Err()))
	require.True(t, ok)
	assert.False(t, told.SafeNewKey)
}
