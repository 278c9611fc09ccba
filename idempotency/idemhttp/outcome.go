package idemhttp

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// Outcome says what a response means for the operation that a client asked for.
type Outcome uint8

// The outcomes.
const (
	// OutcomeDone: the response is the service's answer, executed now or
	// replayed: a success, or a refusal of its own such as 402 or 404.
	OutcomeDone Outcome = iota + 1
	// OutcomeRunning: another request with this key is being processed. Send it
	// again, under the same key.
	OutcomeRunning
	// OutcomeUnknown: an attempt started, and nobody can say what became of it.
	// Under a new key, the operation might happen twice.
	OutcomeUnknown
	// OutcomeReused: the key belongs to another request. Nothing was started.
	OutcomeReused
	// OutcomeUnavailable: the operation is done, and its answer cannot be had: it
	// was not kept, or this caller may not see it.
	OutcomeUnavailable
	// OutcomeRefused: this request was not started. An earlier one with the same
	// key may have been.
	OutcomeRefused
	// OutcomeFailed: an answer that services do not record, such as 401, 429 or
	// any 5xx, from the handler or from something before it. The same request
	// under the same key may get another.
	OutcomeFailed
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	names := [...]string{"none", "done", "running", "unknown", "reused", "unavailable", "refused", "failed"}
	if int(o) >= len(names) {
		return names[0]
	}
	return names[o]
}

// OutcomeOf tells what a response means, by its status and Idempotency-Status.
// The body is not read.
func OutcomeOf(resp *http.Response) Outcome {
	switch resp.Header.Get(headerStatus) {
	case markExecuted, markReplayed:
		return OutcomeDone
	case markConflict:
		return OutcomeRunning
	case markUnknown:
		return OutcomeUnknown
	case markMismatch:
		return OutcomeReused
	case markUnavailable:
		return OutcomeUnavailable
	case markRejected:
		return OutcomeRefused
	}
	if classify(resp.StatusCode, idempotency.RecordDeterministic) == idempotency.ClassRelease {
		return OutcomeFailed
	}
	return OutcomeDone
}

// ResponseError is a response that is not the service's answer to the operation.
// errors.Is finds its [idempotency.Code].
type ResponseError struct {
	// Outcome is never [OutcomeDone].
	Outcome Outcome
	// Code is why a service of this library refused; "" if it did not say.
	Code idempotency.Code
	// Status is the response's.
	Status int
	// RetryAfter is how long to wait before the next try; 0 if the response does
	// not say.
	RetryAfter time.Duration
	// Retryable: the same request with the same key may succeed later. Without
	// it, a retry under the same key is still safe, and of no use.
	Retryable bool
	// SafeNewKey: the request may be sent under a new key without the operation
	// happening twice: only with [OutcomeReused]. False also where the service
	// does not say, or where the request must be corrected first.
	SafeNewKey bool
	// Location is where the result is of an operation that is done and whose
	// answer was not kept; "" if unknown.
	Location string
}

// Error names outcome, code and status.
func (e *ResponseError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("idemhttp: %v: status %d", e.Outcome, e.Status)
	}
	return fmt.Sprintf("idemhttp: %v: %s (status %d)", e.Outcome, e.Code, e.Status)
}

// Unwrap returns the code, or nil.
func (e *ResponseError) Unwrap() error {
	if e.Code == "" {
		return nil
	}
	return e.Code
}

// CheckResponse returns nil for the service's answer to the operation
// ([OutcomeDone]), which may well be one of its own refusals, and else a
// [*ResponseError]:
//
//	err := idemhttp.CheckResponse(resp)
//	switch {
//	case err == nil: // resp is the answer
//	case errors.Is(err, idempotency.ErrOutcomeUnknown): // find out by other means
//	}
//
// The problem document of such a response is read, up to 64 KiB, and put back:
// resp.Body gives all of its bytes again, and is the caller's to close as
// before. A document that cannot be read counts as missing; then
// Idempotency-Status and the status tell alone.
func CheckResponse(resp *http.Response) error {
	outcome := OutcomeOf(resp)
	if outcome == OutcomeDone {
		return nil
	}
	e := &ResponseError{
		Outcome:    outcome,
		Status:     resp.StatusCode,
		RetryAfter: retryAfter(resp.Header, time.Now()),
		Retryable:  retryable(resp, nil),
	}
	if outcome == OutcomeUnavailable {
		e.Location = resp.Header.Get("Location")
	}
	if outcome != OutcomeFailed {
		e.explain(resp)
	}
	return e
}

// explain fills in what the problem says or, without one, what the mark implies.
func (e *ResponseError) explain(resp *http.Response) {
	if p, ok := readProblem(resp); ok {
		e.Code, e.Retryable = p.Code, p.Retryable
		// With any other mark the operation may have happened under this key, and
		// no document outweighs that.
		e.SafeNewKey = e.Outcome == OutcomeReused && p.SafeNewKey != nil && *p.SafeNewKey
		return
	}
	e.Code = impliedCode(e.Outcome, resp.StatusCode)
	e.SafeNewKey = e.Outcome == OutcomeReused
}

// impliedCode is for services that write problems of their own. A rejected
// request has many possible reasons. That the caller may not see an answer is
// told by a document only: a status of 403 may be a house rule for all refusals.
func impliedCode(outcome Outcome, status int) idempotency.Code {
	switch outcome {
	case OutcomeRunning:
		return idempotency.ErrInProgress
	case OutcomeReused:
		return idempotency.ErrKeyReused
	case OutcomeUnknown:
		if status == http.StatusServiceUnavailable {
			return idempotency.ErrLeaseLost
		}
		return idempotency.ErrOutcomeUnknown
	case OutcomeUnavailable:
		return idempotency.ErrResultUnavailable
	default:
		return ""
	}
}

// maxProblem bounds what is read of a problem document.
const maxProblem = 64 << 10

// readProblem reads this library's problem from a response and puts the bytes
// back. False if there is another body, or none.
func readProblem(resp *http.Response) (problemBody, bool) {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media != "application/problem+json" || resp.Body == nil {
		return problemBody{}, false
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	resp.Body = splice(data, resp.Body) // which repeats the error, if there was one
	if err != nil {
		return problemBody{}, false
	}
	return decodeProblem(data, resp.StatusCode)
}

// decodeProblem accepts a problem of this library, of any version: its type
// names the code, its status is the response's.
func decodeProblem(data []byte, status int) (problemBody, bool) {
	var p problemBody
	if err := json.Unmarshal(data, &p); err != nil {
		return problemBody{}, false
	}
	named, ours := strings.CutPrefix(p.Type, problemBase)
	if !ours || !isCode(named) || named != string(p.Code) || p.Status != status {
		return problemBody{}, false
	}
	return p, true
}

// isCode reports whether s is a code as this library spells them. It goes into
// error texts, and so into logs: nothing else from a network may.
func isCode(s string) bool {
	for _, c := range []byte(s) {
		if c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 64
}
