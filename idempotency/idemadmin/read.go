package idemadmin

import (
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/go-json-experiment/json"
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
		err = json.Unmarshal(body, into, json.RejectUnknownMembers(true))
	}
	if err != nil {
		return badBody(err, "The body is not the JSON object that is expected here: ")
	}
	return nil
}

func badBody(err error, detail string) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refusal{http.StatusRequestEntityTooLarge, "too_large", "The request is larger than 2 MiB."}
	}
	return invalid(detail + err.Error())
}
