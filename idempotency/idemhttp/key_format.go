package idemhttp

import (
	"strings"

	"github.com/reprise-go/reprise/idempotency"
)

// formatKey checks a key against the format that a policy demands, and returns
// the form that counts: a UUID in lower case, so that its spellings are one key.
// The error is errBadKey with the reason, which says nothing of the key.
func formatKey(key string, format idempotency.KeyFormat) (string, error) {
	switch format {
	case idempotency.KeyUUID:
		return uuidKey(key, "12345678", "a UUID of versions 1 to 8")
	case idempotency.KeyUUIDv4:
		return uuidKey(key, "4", "a UUID of version 4, a random one")
	case idempotency.KeyUUIDv7:
		return uuidKey(key, "7", "a UUID of version 7, which begins with the time")
	default:
		return key, nil
	}
}

// Positions in the text form of a UUID, 8-4-4-4-12 (RFC 9562, section 4).
const (
	uuidLength  = 36
	uuidVersion = 14
	uuidVariant = 19
)

// uuidKey accepts the UUIDs of RFC 9562 of some versions. The nil and the max
// UUID have another variant, and are none: they are what clients send that have
// forgotten to draw one.
func uuidKey(key, versions, wanted string) (string, error) {
	key = strings.ToLower(key)
	switch {
	case !isUUID(key):
		return "", badKey("it is not a UUID in the form of 8-4-4-4-12 hexadecimal digits (RFC 9562)")
	case !strings.ContainsRune(versions, rune(key[uuidVersion])):
		return "", badKey("it is not %s", wanted)
	case !strings.ContainsRune("89ab", rune(key[uuidVariant])):
		return "", badKey("it is not a UUID of the variant that RFC 9562 defines")
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
