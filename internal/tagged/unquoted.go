package tagged

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Unquoted returns err with a text that quotes no value, or nil. Errors of encoders,
// and of types that encode themselves, quote what they stumbled over; but an error's
// text ends up in logs and metrics, where nothing of a request or an answer may be.
// The text says what is known of the type, errors.Is and errors.As find the rest.
func Unquoted(err error) error {
	if err == nil {
		return nil
	}
	return unquoted{err}
}

type unquoted struct{ err error }

// Error names the error's type, and those of the values if the error is about them.
func (u unquoted) Error() string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](u.err); ok {
		return fmt.Sprintf("%T of the field %q, a %v", wrong, wrong.Field, wrong.Type)
	}
	if wrong, ok := errors.AsType[*json.UnsupportedTypeError](u.err); ok {
		return fmt.Sprintf("%T of a %v", wrong, wrong.Type)
	}
	if wrong, ok := errors.AsType[*jsontext.SyntacticError](u.err); ok && !strings.ContainsAny(wrong.Err.Error(), `'"`) {
		return wrong.Err.Error() // such as "invalid UTF-8"
	}
	return fmt.Sprintf("an error of type %T", u.err)
}

// Unwrap returns the error itself.
func (u unquoted) Unwrap() error { return u.err }
