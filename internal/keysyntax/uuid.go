package keysyntax

import "strings"

// The versions that UUID accepts.
const (
	AnyVersion = "12345678"
	Version4   = "4"
	Version7   = "7"
)

// Positions in the text form of a UUID, 8-4-4-4-12 (RFC 9562, section 4).
const (
	uuidLength  = 36
	uuidVersion = 14
	uuidVariant = 19
)

// Format checks a key against a format, by the word that a policy has for it, and
// returns the form that counts. Any other word, such as "any", takes every key.
//
// Errors: [ErrInvalid] with the reason, which says nothing of the key.
func Format(key, word string) (string, error) {
	switch word {
	case "uuid":
		return UUID(key, AnyVersion, "a UUID of versions 1 to 8")
	case "uuid4":
		return UUID(key, Version4, "a UUID of version 4, a random one")
	case "uuid7":
		return UUID(key, Version7, "a UUID of version 7, which begins with the time")
	default:
		return key, nil
	}
}

// isUUIDFormat knows the words for which [Format] asks for a UUID.
func isUUIDFormat(word string) bool { return word == "uuid" || word == "uuid4" || word == "uuid7" }

// UUID accepts the UUIDs of RFC 9562 of some versions and returns them in lower
// case, so that spellings of one UUID are one key. The nil and the max UUID have
// another variant, and are none: they are what clients send that have forgotten
// to draw one. wanted says in words what versions means.
//
// Errors: [ErrInvalid] with the reason, which says nothing of the key.
func UUID(key, versions, wanted string) (string, error) {
	key = strings.ToLower(key)
	switch {
	case !isUUID(key):
		return "", invalid("it is not a UUID in the form of 8-4-4-4-12 hexadecimal digits (RFC 9562)")
	case !strings.ContainsRune(versions, rune(key[uuidVersion])):
		return "", invalid("it is not %s", wanted)
	case !strings.ContainsRune("89ab", rune(key[uuidVariant])):
		return "", invalid("it is not a UUID of the variant that RFC 9562 defines")
	}
	return key, nil
}

// isUUID expects lower case.
func isUUID(key string) bool {
	if len(key) != uuidLength {
		return false
	}
	for i, c := range []byte(key) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		hexadecimal := '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
		if hyphen && c != '-' || !hyphen && !hexadecimal {
			return false
		}
	}
	return true
}
