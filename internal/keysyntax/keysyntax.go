// Package keysyntax holds the rules of what an idempotency key looks like, which
// are the same on every transport.
package keysyntax

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dunglas/httpsfv"
)

// maxLength is the limit of a key, in characters.
const maxLength = 255

// MaxField bounds, in bytes, the field that carries a key and what is handed to
// the structured-field parser: a quoted key of 255 escaped characters with room
// for parameters. [Parse] refuses what is longer.
const MaxField = 4096

var (
	// ErrNone: there is no key at all. Everything else that is wrong with a key
	// is [ErrInvalid].
	ErrNone = errors.New("no key")
	// ErrInvalid: it is not a key.
	ErrInvalid = errors.New("invalid key")
)

// Parse returns the key that a field's lines carry: 1 to 255 characters of 0x20
// to 0x7E. A bare key is visible ASCII without `"`, `,`, `;` and `\`; a quoted
// one is an RFC 9651 String, of which the unescaped characters count and
// parameters do not. Both spellings of the same characters are the same key.
// Strict accepts the quoted form only.
//
// Errors: ErrNone without a line, else ErrInvalid with the reason. The key is
// never part of an error.
func Parse(lines []string, strict bool) (string, error) {
	switch len(lines) {
	case 0:
		return "", ErrNone
	case 1:
	default:
		return "", invalid("the field occurs more than once")
	}
	field := strings.Trim(lines[0], " \t")
	switch {
	case field == "":
		return "", invalid("it is empty")
	case len(field) > MaxField:
		return "", invalid("the field is longer than %d bytes", MaxField)
	case field[0] == '"':
		return parseQuoted(field)
	case strict:
		return "", invalid("it is not in double quotes")
	}
	return parseBare(field)
}

func parseBare(field string) (string, error) {
	for _, c := range []byte(field) {
		switch {
		case c == ',':
			return "", invalid("it is a list")
		case c == '"' || c == ';' || c == '\\' || c == ' ':
			return "", invalid("it holds the character %q, which needs the quoted form", c)
		case c < ' ' || c > '~':
			return "", invalid("it holds a byte that is not visible ASCII")
		}
	}
	return checkLength(field)
}

func parseQuoted(field string) (string, error) {
	item, err := httpsfv.UnmarshalItem([]string{field})
	if err != nil {
		// The parser's own error names a position only, yet it is not wrapped:
		// nothing promises that it will never quote its input.
		return "", invalid("it is not a well-formed quoted string (RFC 9651), or something follows it")
	}
	key, ok := item.Value.(string)
	if !ok {
		return "", invalid("it is not a quoted string")
	}
	return checkLength(key)
}

// Check accepts a key that comes without any syntax around it, from a field of
// a message or from a function: 1 to 255 characters of 0x20 to 0x7E.
func Check(key string) (string, error) {
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' {
			return "", invalid("it holds a byte that is not printable ASCII")
		}
	}
	return checkLength(key)
}

func checkLength(key string) (string, error) {
	if key == "" {
		return "", invalid("it is empty")
	}
	if len(key) > maxLength {
		return "", invalid("it has more than %d characters", maxLength)
	}
	return key, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
