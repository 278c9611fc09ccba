package idemgrpc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
)

// CallError is a call's error that is not the service's answer to the operation:
// the library refused. errors.Is finds its [idempotency.Code], and
// [status.FromError] the status.
type CallError struct {
	// Code is why. One that this version of the library does not know is a code
	// all the same.
	Code idempotency.Code
	// Status is the call's.
	Status codes.Code
	// RetryAfter is how long to wait before the next try; 0 if the server does not
	// say.
	RetryAfter time.Duration
	// Retryable: the same request with the same key may succeed later. Without
	// it, a retry under the same key is still safe, and of no use.
	Retryable bool
	// SafeNewKey: the request may be sent under a new key without the operation
	// happening twice: only with [idempotency.ErrKeyReused]. False also where the
	// server does not say, or where the request must be corrected first.
	SafeNewKey bool
	// Err is the call's error.
	Err error
}

// Error names code and status, and has the server's message.
func (e *CallError) Error() string {
	text := fmt.Sprintf("idemgrpc: %s (status %v)", e.Code, e.Status)
	sent, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](e.Err)
	if !ok || sent.GRPCStatus().Message() == "" {
		return text
	}
	return fmt.Sprintf("%s: %q", text, sent.GRPCStatus().Message()) // quoted: it comes from a network
}

// Unwrap returns the code and the call's error.
func (e *CallError) Unwrap() []error { return []error{e.Code, e.Err} }

// CheckError returns a [*CallError] for a call's error that comes from the library,
// and any other as it is, nil included:
//
//	payment, err := client.CreatePayment(ctx, request)
//	err = idemgrpc.CheckError(err)
//	switch {
//	case err == nil: // payment is the answer
//	case errors.Is(err, idempotency.ErrOutcomeUnknown): // find out by other means
//	}
//
// An error that is none stays what it is, so that io.EOF, the end of a stream, is
// still io.EOF: a loop over Recv can check every error, and must ask for io.EOF
// before it takes an error for one.
//
// It is told by an ErrorInfo of [DefaultDomain]; domains are further ones, of
// servers with [ErrorDomain]. A service that passes on the status of another
// service behind it passes on what that one's library said.
func CheckError(err error, domains ...string) error {
	st, ok := status.FromError(err)
	if err == nil || !ok || st.Code() == codes.OK {
		return err
	}
	e := &CallError{Status: st.Code(), Err: err}
	var info *errdetails.ErrorInfo
	for _, detail := range st.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if info == nil && (detail.GetDomain() == DefaultDomain || slices.Contains(domains, detail.GetDomain())) {
				info = detail
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = max(detail.GetRetryDelay().AsDuration(), 0)
		}
	}
	if info == nil || !isReason(info.GetReason()) {
		return err
	}
	e.explain(info)
	return e
}

// explain fills in what the server says.
func (e *CallError) explain(info *errdetails.ErrorInfo) {
	e.Code = idempotency.Code(strings.ToLower(info.GetReason()))
	e.Retryable = info.GetMetadata()["retryable"] == "true"
	// With any other code the operation may have happened under this key, and no
	// detail outweighs that.
	e.SafeNewKey = e.Code == idempotency.ErrKeyReused && info.GetMetadata()["safe_new_key"] == "true"
}

// isReason reports whether s is a reason as this library spells them. It goes
// into error texts, and so into logs, as it is: nothing else from a network may.
func isReason(s string) bool {
	for _, c := range []byte(s) {
		if c != '_' && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 64
}
