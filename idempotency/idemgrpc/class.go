package idemgrpc

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
)

// classify puts a status into its class.
func classify(code codes.Code, rule idempotency.RecordRule) idempotency.Class {
	class := classOf(code)
	switch {
	case code > maxCode: // which no client can read, and no record keeps
		return idempotency.ClassUnknown
	case code == codes.OK, rule == idempotency.RecordAll:
		return idempotency.ClassRecord
	case rule == idempotency.RecordSuccess && class == idempotency.ClassRecord:
		return idempotency.ClassRelease
	}
	return class
}

// classOf is what a code means by itself: an error that a retry would meet
// again, one after which another try may well fare better, or one which says
// that the service does not know what it did.
func classOf(code codes.Code) idempotency.Class {
	switch code {
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists,
		codes.FailedPrecondition, codes.OutOfRange:
		return idempotency.ClassRecord
	case codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.Unauthenticated,
		codes.PermissionDenied, codes.Unimplemented:
		return idempotency.ClassRelease
	default: // Canceled, DeadlineExceeded, Unknown, Internal, DataLoss, and what is no code
		return idempotency.ClassUnknown
	}
}

// statusOf is the status that grpc-go sends for a handler's error.
func statusOf(err error) *status.Status {
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	return st
}

// classOfRefusal recognises the refusal of another service behind this one,
// which a handler has passed on: what that one says about a request is not an
// answer to it.
func classOfRefusal(st *status.Status, domain string) (idempotency.Class, bool) {
	for _, detail := range st.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != domain && info.GetDomain() != DefaultDomain {
			continue
		}
		refused, known := refusalByReason(info.GetReason())
		switch {
		case !known, refused.mark == markUnknown, refused.mark == markUnavailable:
			return idempotency.ClassUnknown, true
		default:
			return idempotency.ClassRelease, true
		}
	}
	return 0, false
}
