package idemhttp

import (
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
)

// classBehind is the class of a response that carries the Idempotency-Status of
// another service behind this one, which the handler has passed on. Its status says
// what it means here, unless that service does not know its outcome, or has it and
// does not tell: then nobody knows ours. Where it says that the same request may
// succeed later, its refusal is nothing to keep.
func classBehind(class idempotency.Class, status int, mark string, retryAfter bool) idempotency.Class {
	switch {
	case mark == markUnknown, mark == markUnavailable, mark == markUnrecorded:
		return idempotency.ClassUnknown
	case class != idempotency.ClassRecord:
		return class
	case mark == markConflict, mark == markRejected && retryAfter: // the refusals that are retryable say when: see [problems]
		return idempotency.ClassRelease
	case mark == markRejected && status == http.StatusServiceUnavailable: // there is something in its record, which it cannot read
		return idempotency.ClassUnknown
	}
	return class
}

// classify puts a status into its class.
func classify(status int, rule idempotency.RecordRule) idempotency.Class {
	success := status >= 200 && status < 400
	switch {
	case success, rule == idempotency.RecordAll:
		return idempotency.ClassRecord
	case rule == idempotency.RecordSuccess, status >= 500:
		return idempotency.ClassRelease
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout,
		http.StatusTooEarly, http.StatusTooManyRequests:
		return idempotency.ClassRelease // another try may well fare better
	}
	return idempotency.ClassRecord
}
