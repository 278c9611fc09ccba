package idemhttp

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// problemBase is where the codes are explained, one anchor each.
const problemBase = "https://github.com/reprise-go/reprise/blob/main/idempotency/docs/errors.md#"

// problem is a refusal as the client sees it, in the form of RFC 9457. Nothing
// in it comes from the key, the stored request or the stored answer.
type problem struct {
	code      idempotency.Code
	status    int
	title     string
	detail    string
	retryable bool         // the same request with the same key may succeed later
	newKey    newKeyAdvice // may the client try again under a new key?
	mark      string       // the value of the Idempotency-Status field
	// retryAfter is the default of the Retry-After field; none if 0.
	retryAfter time.Duration
}

// newKeyAdvice says whether a new key is a safe way on. A new key runs the
// operation again, so it is safe only where this one cannot have had an effect
// that the client wants once.
type newKeyAdvice uint8

const (
	newKeyIrrelevant newKeyAdvice = iota // the key is not what is wrong: omitted
	newKeySafe
	newKeyUnsafe
)

// The values of the Idempotency-Status field that problems carry.
const (
	markConflict    = "conflict"
	markMismatch    = "mismatch"
	markUnknown     = "unknown"
	markUnavailable = "unavailable"
	markRejected    = "rejected"
)

// defaultRetryAfter is for refusals that know no better time.
const defaultRetryAfter = time.Second

// problemOf returns the problem of a code. One that is not known here, which
// would be a mistake in this package, becomes a bare 500.
func problemOf(code idempotency.Code) problem {
	for _, p := range problems() {
		if p.code == code {
			return p
		}
	}
	return problem{
		code: code, status: http.StatusInternalServerError, title: "Internal error",
		detail: "The request was refused.", newKey: newKeyUnsafe, mark: markRejected,
	}
}

func problems() [17]problem {
	return [...]problem{
		{idempotency.ErrKeyMissing, 400, "Idempotency key missing", "This operation requires an idempotency key.", false, newKeyIrrelevant, markRejected, 0},
		{idempotency.ErrKeyInvalid, 400, "Idempotency key invalid", "The idempotency key does not follow the required syntax.", false, newKeyIrrelevant, markRejected, 0},
		{idempotency.ErrBodyUnreadable, 400, "Request body unreadable", "The request body could not be read to its end. Nothing was started.", false, newKeyIrrelevant, markRejected, 0},
		{idempotency.ErrBodyTooLarge, 413, "Request body too large", "The request body exceeds the limit of this operation. Nothing was started.", false, newKeyIrrelevant, markRejected, 0},
		{idempotency.ErrKeyReused, 422, "Idempotency key reused", "This idempotency key belongs to a different request.", false, newKeySafe, markMismatch, 0},
		{idempotency.ErrInProgress, 409, "Request in progress", "A request with this idempotency key is still being processed.", true, newKeyUnsafe, markConflict, defaultRetryAfter},
		{idempotency.ErrOutcomeUnknown, 409, "Outcome unknown", "An earlier attempt with this idempotency key was started and its outcome is not known.", false, newKeyUnsafe, markUnknown, 0},
		{idempotency.ErrResultUnavailable, 409, "Result unavailable", "The operation is done, but its response was not kept.", false, newKeyUnsafe, markUnavailable, 0},
		{idempotency.ErrReplayDenied, 403, "Replay denied", "The operation is done, and this caller may not see its response.", false, newKeyUnsafe, markUnavailable, 0},
		{idempotency.ErrScopeBusy, 429, "Too many requests at once", "The caller has as many requests under way as it may. This request was not started; an earlier one with the same key may have been.", true, newKeyUnsafe, markRejected, defaultRetryAfter},
		{idempotency.ErrOverloaded, 503, "Overloaded", "The server has as many requests under way as it may. This request was not started; an earlier one with the same key may have been.", true, newKeyUnsafe, markRejected, defaultRetryAfter},
		{idempotency.ErrNotStarted, 503, "Not started", "The request ended before it was started. An earlier one with the same key may have been started.", true, newKeyUnsafe, markRejected, defaultRetryAfter},
		{idempotency.ErrScopeMissing, 500, "Scope missing", "The server could not tell on whose behalf the request is made. The request was not started.", false, newKeyUnsafe, markRejected, 0},
		{idempotency.ErrStoreUnavailable, 503, "Idempotency store unavailable", "The server cannot check the idempotency key at the moment. This request was not started; an earlier one with the same key may have been.", true, newKeyUnsafe, markRejected, defaultRetryAfter},
		{idempotency.ErrDraining, 503, "Shutting down", "This server is shutting down. This request was not started; an earlier one with the same key may have been.", true, newKeyUnsafe, markRejected, defaultRetryAfter},
		{idempotency.ErrLeaseLost, 503, "Claim lost", "The server lost its claim on this idempotency key while it was working.", true, newKeyUnsafe, markUnknown, defaultRetryAfter},
		{idempotency.ErrRecordUnreadable, 503, "Record unreadable", "The record of this idempotency key cannot be read by this server.", false, newKeyUnsafe, markRejected, 0},
	}
}

// problemBody is the JSON form.
type problemBody struct {
	Type       string           `json:"type"`
	Title      string           `json:"title"`
	Status     int              `json:"status"`
	Detail     string           `json:"detail"`
	Code       idempotency.Code `json:"code"`
	Retryable  bool             `json:"retryable"`
	SafeNewKey *bool            `json:"safe_new_key,omitempty"`
}

func (p problem) body() problemBody {
	body := problemBody{
		Type:      problemBase + string(p.code),
		Title:     p.title,
		Status:    p.status,
		Detail:    p.detail,
		Code:      p.code,
		Retryable: p.retryable,
	}
	if p.newKey != newKeyIrrelevant {
		body.SafeNewKey = new(p.newKey == newKeySafe)
	}
	return body
}

// writeProblem answers with a problem. Fields that describe another body are
// removed from the header; all else that is set there stays: the mark, a
// Retry-After, and the Location of a result that was not kept.
func writeProblem(w http.ResponseWriter, p problem) {
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.status)
	// A client that has gone misses nothing: it asks again and is told again.
	_ = json.NewEncoder(w).Encode(p.body()) //nolint:errchkjson // strings and booleans always encode
}

// retryAfterSeconds rounds up: who comes back early is refused again.
func retryAfterSeconds(d time.Duration) string {
	seconds := (d + time.Second - 1) / time.Second
	return strconv.FormatInt(int64(seconds), 10)
}
