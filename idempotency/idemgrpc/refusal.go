package idemgrpc

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/reprise-go/reprise/idempotency"
)

// refusal is a code of the library as gRPC tells it. Nothing in it comes from
// the key, the stored request or the stored answer.
type refusal struct {
	code      idempotency.Code
	status    codes.Code
	message   string
	retryable bool   // the same call with the same key may succeed later
	newKey    string // safe_new_key: may the client try again under a new key? "" if the key is not what is wrong
	mark      string
}

const defaultRetryAfter = time.Second

func refusals() [17]refusal {
	return [...]refusal{
		{idempotency.ErrKeyMissing, codes.InvalidArgument, "this method requires an idempotency key", false, "", markRejected},
		{idempotency.ErrKeyInvalid, codes.InvalidArgument, "the idempotency key does not follow the required syntax", false, "", markRejected},
		{idempotency.ErrBodyUnreadable, codes.InvalidArgument, "the request could not be read; nothing was started", false, "", markRejected},
		{idempotency.ErrBodyTooLarge, codes.ResourceExhausted, "the request exceeds the limit of this method; nothing was started", false, "", markRejected},
		{idempotency.ErrKeyReused, codes.FailedPrecondition, "this idempotency key belongs to a different request", false, "true", markMismatch},
		{idempotency.ErrInProgress, codes.Aborted, "a call with this idempotency key is still being processed", true, "false", markConflict},
		{idempotency.ErrOutcomeUnknown, codes.FailedPrecondition, "an earlier attempt with this idempotency key was started and its outcome is not known", false, "false", markUnknown},
		{idempotency.ErrResultUnavailable, codes.FailedPrecondition, "the operation is done, but its response was not kept", false, "false", markUnavailable},
		{idempotency.ErrReplayDenied, codes.PermissionDenied, "the operation is done, and this caller may not see its response", false, "false", markUnavailable},
		{idempotency.ErrScopeBusy, codes.ResourceExhausted, "the caller has as many calls under way as it may; this one was not started, an earlier one with the same key may have been", true, "false", markRejected},
		{idempotency.ErrOverloaded, codes.Unavailable, "the server has as many calls under way as it may; this one was not started, an earlier one with the same key may have been", true, "false", markRejected},
		{idempotency.ErrNotStarted, codes.Canceled, "the call ended before it was started; an earlier one with the same key may have been started", true, "false", markRejected},
		{idempotency.ErrScopeMissing, codes.Internal, "the server could not tell on whose behalf the call is made; it was not started", false, "false", markRejected},
		{idempotency.ErrStoreUnavailable, codes.Unavailable, "the server cannot check the idempotency key at the moment; this call was not started, an earlier one with the same key may have been", true, "false", markRejected},
		{idempotency.ErrDraining, codes.Unavailable, "this server is shutting down; this call was not started, an earlier one with the same key may have been", true, "false", markRejected},
		{idempotency.ErrLeaseLost, codes.Aborted, "the server lost its claim on this idempotency key while it was working", true, "false", markUnknown},
		{idempotency.ErrRecordUnreadable, codes.FailedPrecondition, "the record of this idempotency key cannot be read by this server", false, "false", markRejected},
	}
}

// refusalOf returns the refusal of a code. One that is not known here, which
// would be a mistake in this package, becomes a bare INTERNAL.
func refusalOf(code idempotency.Code) refusal {
	for _, r := range refusals() {
		if r.code == code {
			return r
		}
	}
	return refusal{code: code, status: codes.Internal, message: "the call was refused", newKey: "false", mark: markRejected}
}

func refusalByReason(reason string) (refusal, bool) {
	for _, r := range refusals() {
		if reasonOf(r.code) == reason {
			return r, true
		}
	}
	return refusal{}, false
}

// reasonOf is a code in the spelling of ErrorInfo.
func reasonOf(code idempotency.Code) string { return strings.ToUpper(string(code)) }

// StatusOf returns the status of a refusal, as the interceptors send it, for
// code around them that wants to answer alike: the code's status; an ErrorInfo
// whose reason is the code in upper case, with retryable and, where the key
// matters, safe_new_key in its metadata; RetryInfo where a retry makes sense;
// and BadRequest with the field for a key that is missing or invalid. domain is
// the ErrorInfo's; field names where the key is expected, and may be empty.
func StatusOf(refused *idempotency.Error, domain, field string) *status.Status {
	r := refusalOf(refused.Code)
	if r.code == idempotency.ErrNotStarted && errors.Is(refused.Err, context.DeadlineExceeded) {
		r.status = codes.DeadlineExceeded
	}
	info := map[string]string{"retryable": strconv.FormatBool(r.retryable)}
	if r.newKey != "" {
		info["safe_new_key"] = r.newKey
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reasonOf(r.code), Domain: domain, Metadata: info}}
	if r.retryable {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter(refused))})
	}
	if r.code == idempotency.ErrKeyMissing || r.code == idempotency.ErrKeyInvalid {
		details = append(details, badRequest(refused, field))
	}
	st := status.New(r.status, r.message)
	detailed, err := st.WithDetails(details...)
	if err != nil { // a domain that is no valid UTF-8: the code tells the most of it
		return st
	}
	return detailed
}

// Refuse tells a caller of a refusal as the interceptors do, for code around
// them that wants to answer alike: it sets the trailer (idempotency-status, and
// grpc-retry-pushback-ms where a retry makes sense) and returns the error of
// [StatusOf] with [DefaultDomain], which the handler or interceptor returns. ctx is the
// call's.
func Refuse(ctx context.Context, refused *idempotency.Error) error {
	_ = grpc.SetTrailer(ctx, refusalTrailer(refused)) // fails outside of a call only
	return StatusOf(refused, DefaultDomain, "").Err()
}

// badRequest names the field and the reason, never the key.
func badRequest(refused *idempotency.Error, field string) *errdetails.BadRequest {
	why := refusalOf(refused.Code).message
	if refused.Err != nil {
		why = refused.Err.Error()
	}
	return &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: field, Description: why, Reason: reasonOf(refused.Code)},
	}}
}

func retryAfter(refused *idempotency.Error) time.Duration {
	if refused.RetryAfter > 0 {
		return refused.RetryAfter
	}
	return defaultRetryAfter
}

// refusalTrailer is what goes with a refusal: gRPC clients that retry by
// themselves read the pushback. Without one they decide by the code; it never
// says -1, since a client that must not retry at all learns that from the code,
// and other hedges of its call may well succeed.
func refusalTrailer(refused *idempotency.Error) metadata.MD {
	r := refusalOf(refused.Code)
	md := metadata.Pairs(markStatus, r.mark)
	if r.retryable {
		wait := min((retryAfter(refused)+time.Millisecond-1)/time.Millisecond, math.MaxInt32)
		md.Set("grpc-retry-pushback-ms", strconv.FormatInt(int64(wait), 10))
	}
	return md
}
