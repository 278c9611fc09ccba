package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// failure is why a request was not served: an error in the service's own words,
// which each transport turns into its form.
type failure struct {
	status     int
	code       string
	detail     string
	retryAfter time.Duration
}

// Error returns the code.
func (f failure) Error() string { return f.code + ": " + f.detail }

// The failures that need no particulars.
var (
	errUnauthenticated = failure{status: 401, code: "unauthenticated", detail: "Send a test key: Authorization: Bearer sk_test_<tenant>."}
	errNotFound        = failure{status: 404, code: "not_found", detail: "There is no such payment."}
	errInternal        = failure{status: 500, code: "internal", detail: "The service failed."}
	errUnhealthy       = failure{status: 503, code: "unhealthy", detail: "The store of idempotency records cannot serve."}
	errNotMarked       = failure{status: 503, code: "effect_not_marked", detail: "Nothing was charged."}

	errDeclined      = failure{status: 402, code: "card_declined", detail: "The card was declined."}
	errLimited       = failure{status: 429, code: "rate_limited", detail: "Too many requests.", retryAfter: time.Second}
	errOutage        = failure{status: 503, code: "processor_down", detail: "The card processor is down. Nothing was charged."}
	errInterrupted   = failure{status: 503, code: "interrupted", detail: "The request ended before the charge. Nothing was charged."}
	errGaveUp        = failure{status: 500, code: "cancelled", detail: "The request ended first."}
	errAmbiguous     = failure{status: 504, code: "processor_timeout", detail: "The card processor did not answer in time."}
	errUnknownSource = failure{status: 400, code: "unknown_source", detail: "The source is not one of the test sources."}
)

func invalid(detail string) failure {
	return failure{status: http.StatusBadRequest, code: "invalid_request", detail: detail}
}

// writeProblem answers with a failure as problem+json (RFC 9457).
func writeProblem(w http.ResponseWriter, f failure) {
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.retryAfter.Seconds())))
	}
	write(w, f.status, "application/problem+json", problem{
		Type:      "urn:example:payments:" + f.code,
		Title:     http.StatusText(f.status),
		Status:    f.status,
		Detail:    f.detail,
		Code:      f.code,
		Retryable: f.status == http.StatusServiceUnavailable || f.status == http.StatusTooManyRequests,
	})
}

// problem has the members that the library's own problems have, so that clients
// need one decoder.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	Retryable bool   `json:"retryable"`
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	write(w, status, "application/json", body)
}

func write(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(encode(body)) // whoever hung up reads it on the retry
}

// encode returns one line of JSON. It is for the service's own plain structs,
// which always encode.
func encode(body any) []byte {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return append(raw, '\n')
}
