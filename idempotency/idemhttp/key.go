package idemhttp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dunglas/httpsfv"
)

// Limits of the key's header field.
const (
	maxKeyLength = 255
	// maxKeyField bounds what is handed to the structured-field parser: a
	// quoted key of 255 escaped characters with room for parameters.
	maxKeyField = 4096
)

var (
	// errNoKey: there is no key field at all. Everything else that is wrong
	// with a key is errBadKey.
	errNoKey  = errors.New("no key")
	errBadKey = errors.New("invalid key")
)

// parseKey returns the key that the header's field lines carry: 1 to 255
// characters of 0x20 to 0x7E. A bare key is visible ASCII without `"`, `,`, `;`
// and `\`; a quoted one is an RFC 9651 String, of which the unescaped
// characters count and parameters do not. Both spellings of the same
// characters are the same key. Strict accepts the quoted form only.
//
// Errors: errNoKey without a field line, else errBadKey with the reason. The
// key is never part of an error.
func parseKey(values []string, strict bool) (string, error) {
	switch len(values) {
	case 0:
		return "", errNoKey
	case 1:
	default:
		return "", badKey("the field occurs more than once")
	}
	field := strings.Trim(values[0], " \t")
	switch {
	case field == "":
		return "", badKey("it is empty")
	case len(field) > maxKeyField:
		return "", badKey("the field is longer than %d bytes", maxKeyField)
	case field[0] == '"':
		return parseQuotedKey(field)
	case strict:
		return "", badKey("it is not in double quotes")
	}
	return parseBareKey(field)
}

func parseBareKey(field string) (string, error) {
	for _, c := range []byte(field) {
		switch {
		case c == ',':
			return "", badKey("it is a list")
		case c == '"' || c == ';' || c == '\\' || c == ' ':
			return "", badKey("it holds the character %q, which needs the quoted form", c)
		case c < ' ' || c > '~':
			return "", badKey("it holds a byte that is not visible ASCII")
		}
	}
	return checkKeyLength(field)
}

func parseQuotedKey(field string) (string, error) {
	item, err := httpsfv.UnmarshalItem([]string{field})
	if err != nil {
		// The parser's own error names a position only, yet it is not wrapped:
		// nothing promises that it will never quote its input.
		return "", badKey("it is not a well-formed quoted string (RFC 9651), or something follows it")
	}
	key, ok := item.Value.(string)
	if !ok {
		return "", badKey("it is not a quoted string")
	}
	return checkKeyLength(key)
}

func checkKeyLength(key string) (string, error) {
	if key == "" {
		return "", badKey("it is empty")
	}
	if len(key) > maxKeyLength {
		return "", badKey("it has more than %d characters", maxKeyLength)
	}
	return key, nil
}

func badKey(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errBadKey, fmt.Sprintf(format, args...))
}
