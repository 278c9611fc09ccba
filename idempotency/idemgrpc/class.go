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

// classBehind is the class of a status that may be the refusal of another service
// behind this one, which the handler has passed on or answered with. The code says
// what it means here, unless that service does not know its outcome, or has it and
// does not tell: then nobody knows ours. Where it says that the same call may
// succeed later, its refusal is nothing to keep.
func classBehind(class idempotency.Class, st *status.Status, domain string) idempotency.Class {
	for _, detail := range st.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != domain && info.GetDomain() != DefaultDomain {
			continue
		}
		refused, known := refusalByReason(info.GetReason())
		switch {
		case known:
			class = refused.passedOn(class)
		case info.GetDomain() == DefaultDomain: // a newer version's; in a domain of the service's own it is its own error
			class = idempotency.ClassUnknown
		}
	}
	return class
}

// passedOn is the class of an error with this refusal in it, whose code means class.
func (r refusal) passedOn(class idempotency.Class) idempotency.Class {
	switch {
	case r.mark == markUnknown, r.mark == markUnavailable:
		return idempotency.ClassUnknown
	case class != idempotency.ClassRecord: // which is as careful as it gets, or what the handler itself says of its work
		return class
	case r.code == idempotency.ErrRecordUnreadable:
		return idempotency.ClassUnknown
	case r.retryable:
		return idempotency.ClassRelease
	}
	return class
}
