package idemhttp

import (
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/keysyntax"
)

// formatKey checks a key against the format that a policy demands, and returns
// the form that counts: a UUID in lower case, so that its spellings are one key.
// The error is [keysyntax.ErrInvalid] with the reason, which says nothing of the key.
func formatKey(key string, format idempotency.KeyFormat) (string, error) {
	switch format {
	case idempotency.KeyUUID:
		return keysyntax.UUID(key, keysyntax.AnyVersion, "a UUID of versions 1 to 8")
	case idempotency.KeyUUIDv4:
		return keysyntax.UUID(key, keysyntax.Version4, "a UUID of version 4, a random one")
	case idempotency.KeyUUIDv7:
		return keysyntax.UUID(key, keysyntax.Version7, "a UUID of version 7, which begins with the time")
	default:
		return key, nil
	}
}
