package idemhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// requestError says what is wrong with a request, in words for its client.
type requestError struct {
	detail string
	cause  error  // may be nil; quotes the request
	others string // instead of the detail, for others than the client; "" if it quotes nothing
}

// Error returns the words for the client.
func (e *requestError) Error() string { return e.detail }

// Unwrap returns what the decoder said.
func (e *requestError) Unwrap() error { return e.cause }

// unquoted returns the error as hooks and logs get it: without words of the request.
func unquoted(err error) error {
	wrong, ok := errors.AsType[*requestError](err)
	if !ok || wrong.others == "" {
		return err
	}
	return &requestError{detail: wrong.others, cause: wrong.cause}
}

// HTTPStatus returns 400.
func (e *requestError) HTTPStatus() int { return http.StatusBadRequest }

func badRequest(cause error, format string, args ...any) *requestError {
	return &requestError{detail: fmt.Sprintf(format, args...), cause: cause}
}

// decodeStrictly reads one JSON object. Whatever two parsers might understand
// differently is refused: unknown members, members given twice, text that is not
// UTF-8, something after the object.
func decodeStrictly(body []byte, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return badRequest(nil, "The body is empty; it should be a JSON object.")
	}
	object := jsontext.Value(body)
	if object.Kind() != jsontext.KindBeginObject || !object.IsValid() {
		return badRequest(nil, "The body is not one JSON object in UTF-8 with unique member names.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return describeDecoding(err)
	}
	return nil
}

// describeDecoding says what a decoder's error means without its words for Go
// types.
func describeDecoding(err error) *requestError {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return badRequest(err, "The member %q cannot be %s.", wrong.Field, withArticle(wrong.Value))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return &requestError{
			detail: "There is no member " + name + " in this request.", cause: err,
			others: "The body has a member that this request has not.",
		}
	}
	return badRequest(err, "A member of the body has a value that is not allowed.")
}

// withArticle leaves out the number itself: the words may get into a log.
func withArticle(kind string) string {
	word, number, _ := strings.Cut(kind, " ")
	switch {
	case word == "array" || word == "object":
		return "an " + word
	case number != "":
		return "this " + word
	}
	return "a " + word
}
