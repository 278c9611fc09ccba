package idemhttp

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
)

// statusError is an error of a status.
type statusError struct {
	status int
	cause  error
}

func (e statusError) Error() string   { return e.cause.Error() }
func (e statusError) Unwrap() error   { return e.cause }
func (e statusError) HTTPStatus() int { return e.status }

// writeAnswer answers with a result.
func writeAnswer(w http.ResponseWriter, status int, answer any) {
	if own, ok := answer.(interface{ HTTPStatus() int }); ok && isFinal(own.HTTPStatus()) {
		status = own.HTTPStatus()
	}
	body, err := json.Marshal(answer)
	if err != nil {
		// The function has done its work, so this 500 must not say that nothing
		// happened: the outcome is unknown.
		w.Header().Set(headerStatus, markUnknown)
		writeProblemOf(w, http.StatusInternalServerError, "")
		return
	}
	if own, ok := answer.(interface{ HTTPHeader() http.Header }); ok {
		addHeader(w.Header(), own.HTTPHeader())
	}
	if !bodyAllowed(status) {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // whoever hung up reads it on the retry
}

func addHeader(h, more http.Header) {
	for name, values := range more {
		h[http.CanonicalHeaderKey(name)] = values
	}
}

// writeFailure answers with an error.
func writeFailure(w http.ResponseWriter, _ *http.Request, err error) {
	if refused, ok := errors.AsType[*idempotency.Error](err); ok {
		WriteError(w, refused)
		return
	}
	failed, ok := errors.AsType[interface {
		error
		HTTPStatus() int
	}](err)
	if !ok || failed.HTTPStatus() < 400 || failed.HTTPStatus() > 599 {
		writeProblemOf(w, http.StatusInternalServerError, "")
		return
	}
	detail := ""
	if failed.HTTPStatus() < http.StatusInternalServerError {
		detail = err.Error()
	}
	writeProblemOf(w, failed.HTTPStatus(), detail)
}

// writeProblemOf writes a problem that is not the library's (RFC 9457, with
// about:blank as its type: the status says all that a program can know).
func writeProblemOf(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct { //nolint:errchkjson // strings and numbers always encode
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{"about:blank", http.StatusText(status), status, detail})
}
