package idemadmin

import (
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// read decodes what was posted, a form or JSON, and says which it was.
func read(r *http.Request, form func(), into any) (isJSON bool, err error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // "" is none of both
	switch kind {
	case "application/json":
		return true, readJSON(r, into)
	case "application/x-www-form-urlencoded":
		if err := r.ParseForm(); err != nil {
			return false, badBody(err, "The form cannot be read: ")
		}
		form()
		return false, nil
	}
	return false, refusal{http.StatusUnsupportedMediaType, "unsupported_media_type", "Post a form or application/json."}
}

// readJSON takes what all readers read alike, as a decision must not depend on
// who reads it: one value and nothing behind it, every name in its one spelling
// and only once.
func readJSON(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, into, json.RejectUnknownMembers(true),
			json.WithUnmarshalers(json.UnmarshalFromFunc(oneOrMore)))
	}
	if err != nil {
		return badBody(err, "The body is not the JSON object that is expected here: ")
	}
	return nil
}

// oneOrMore takes "x" for ["x"].
func oneOrMore(from *jsontext.Decoder, into *[]string) error {
	if from.PeekKind() != '"' {
		return errors.ErrUnsupported // the default way, then
	}
	var one string
	if err := json.UnmarshalDecode(from, &one); err != nil {
		return err
	}
	*into = []string{one}
	return nil
}

// inWords says what is wrong with a body without the names of Go's types.
func inWords(err error) string {
	wrong, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return err.Error()
	}
	at := string(wrong.JSONPointer)
	if errors.Is(wrong, json.ErrUnknownName) {
		return "the name at " + at + " is not known."
	}
	if at == "" {
		at = "the beginning"
	}
	return expected(wrong.GoType) + " is expected at " + at + "."
}

func expected(kind reflect.Type) string {
	if kind == nil {
		return "something else"
	}
	words := map[reflect.Kind]string{
		reflect.String: "a string", reflect.Bool: "true or false",
		reflect.Int: "a whole number", reflect.Int64: "a whole number",
		reflect.Slice: "a string, or a list of strings,",
	}
	return cmp.Or(words[kind.Kind()], "an object")
}

func badBody(err error, detail string) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refusal{http.StatusRequestEntityTooLarge, "too_large", "The request is larger than 2 MiB."}
	}
	return invalid(detail + inWords(err))
}
