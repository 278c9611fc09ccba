package idemhttp

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// NewAnswer makes an answer that no handler gave: for [idempotency.Settlement]
// and for [idempotency.Happened], when an operation's outcome was found out by
// other means. Duplicates get it as they would get a handler's.
//
// The status is a final one, 200 to 999. The header fields are recorded
// whatever the route's list is, so all of them must be fit for another request:
// credentials, hop-by-hop fields, Date and the like are refused. A body without
// Content-Type gets the one that net/http would guess. The body is copied.
//
// Errors name the status, the field or the limit that is wrong. No round trip.
func NewAnswer(status int, header http.Header, body []byte) (store.Answer, error) {
	if err := checkSupplied(status, header, body); err != nil {
		return store.Answer{}, fmt.Errorf("idemhttp: NewAnswer: %w", err)
	}
	names := slices.Sorted(maps.Keys(header))
	a := answer{status: status, header: pickHeaders(header, recordedHeaders(names)), body: bytes.Clone(body)}
	if guessed := guessType(header, body); guessed != "" {
		a.header = append([]field{{"Content-Type", guessed}}, a.header...)
	}
	encoded := a.encode()
	if encoded.Omitted != store.BodyKept { // encode gives up fields rather than an answer
		return store.Answer{}, fmt.Errorf("idemhttp: NewAnswer: the header has more than %d fields or %d bytes", maxFields, maxMeta)
	}
	return encoded, nil
}

func checkSupplied(status int, header http.Header, body []byte) error {
	switch {
	case status < http.StatusOK || !isFinal(status):
		return fmt.Errorf("status %d is not a final one", status)
	case len(body) > 0 && !bodyAllowed(status):
		return fmt.Errorf("status %d has no body", status)
	}
	names := slices.Sorted(maps.Keys(header))
	if err := checkHeaderNames(names); err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if !slices.ContainsFunc(header[name], notAFieldValue) {
			continue
		}
		errs = append(errs, fmt.Errorf("header %s: the value holds a control character", name))
	}
	return errors.Join(errs...)
}

// notAFieldValue knows what would end a header line early, or the server would
// send as something else.
func notAFieldValue(value string) bool {
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7F {
			return true
		}
	}
	return false
}

// guessType does as the server would: for a body that is of no declared type
// and is not encoded.
func guessType(header http.Header, body []byte) string {
	declared := len(spellings(header, "Content-Type"))+len(spellings(header, "Content-Encoding")) > 0
	if len(body) == 0 || declared {
		return ""
	}
	return http.DetectContentType(body)
}

// DescribeAnswer reads the status and the header fields of a recorded answer,
// for people to look at. No round trip.
//
// Errors: [idempotency.ErrResultUnavailable] for an answer of another transport,
// [idempotency.ErrRecordUnreadable] for a damaged one.
func DescribeAnswer(recorded store.Answer) (status int, header http.Header, err error) {
	a, err := decodeAnswer(recorded)
	if err != nil {
		return 0, nil, &idempotency.Error{Code: undecodable(err), Err: err}
	}
	header = make(http.Header)
	for _, f := range a.header {
		header.Add(f.name, f.value)
	}
	return a.status, header, nil
}
