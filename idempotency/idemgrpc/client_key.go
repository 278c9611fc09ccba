package idemgrpc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/reprise-go/reprise/internal/keysyntax"
)

type clientKey struct{}

// WithKey returns a context whose calls are made with this key by a [Client],
// wherever it puts it; "" draws a fresh UUID, which [KeyFromContext] tells:
//
//	ctx = idemgrpc.WithKey(ctx, "")
//	for { // all passes are one operation
//		payment, err := client.CreatePayment(ctx, request)
//		…
//	}
//
// The key is taken for every call under the context that wants one and has none
// of its own: keep such a context to one logical call. Store it, beside the
// request, before the first try: after a restart, WithKey makes the retry as safe
// as one in the same process.
//
// A key is 1 to 255 characters of 0x20 to 0x7E; any other fails the call with
// INVALID_ARGUMENT before anything is sent. In the metadata, one with spaces,
// quotes, commas, semicolons or backslashes goes as an RFC 9651 String in double
// quotes, which services of this library take for the same key.
func WithKey(ctx context.Context, key string) context.Context {
	if key == "" {
		key = newKey()
	}
	return context.WithValue(ctx, clientKey{}, key)
}

// KeyFromContext returns the key that [WithKey] put into the context. False if
// there is none.
func KeyFromContext(ctx context.Context) (string, bool) {
	key, ok := ctx.Value(clientKey{}).(string)
	return key, ok
}

// metadataValue returns a key as metadata carries it: bare, or as an RFC 9651
// String if it has characters that a bare one must not have. The key is one that
// [keysyntax.Check] accepts.
func metadataValue(key string) (string, error) {
	if bare, err := keysyntax.Parse([]string{key}, false); err == nil && bare == key {
		return key, nil
	}
	return httpsfv.Marshal(httpsfv.NewItem(key))
}

// checkSent examines what the caller put into the metadata, whose syntax is
// the service's: gRPC itself would fail the call, and not say why. The key is
// never part of an error.
func checkSent(value string) error {
	for _, c := range []byte(value) {
		if c < ' ' || c > '~' {
			return errors.New("holds a byte that is not printable ASCII")
		}
	}
	return nil
}

// newKey draws a UUID of version 4 (RFC 9562).
func newKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return uuidText(b, 4)
}

// newKeyV7 draws a UUID of version 7: milliseconds since 1970, then chance.
func newKeyV7() string {
	var b [16]byte
	_, _ = rand.Read(b[6:])
	now := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint16(b[:2], uint16(now>>32))
	binary.BigEndian.PutUint32(b[2:6], uint32(now))
	return uuidText(b, 7)
}

func uuidText(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b[:])
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}
