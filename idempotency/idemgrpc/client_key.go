package idemgrpc

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
// of its own: keep such a context to one logical call. A request whose key field has
// another key fails with INVALID_ARGUMENT. Store it, beside the
// request, before the first try: after a restart, WithKey makes the retry as safe
// as one in the same process.
//
// A key is 1 to 255 characters of 0x20 to 0x7E; any other fails the call with
// INVALID_ARGUMENT before anything is sent. In the metadata, one with spaces,
// quotes, commas, semicolons or backslashes goes as an RFC 9651 String in double
// quotes, which services of this library take for the same key.
func WithKey(ctx context.Context, key string) context.Context {
	if key == "" {
		key = keysyntax.Draw()
	}
	return context.WithValue(ctx, clientKey{}, key)
}

// KeyFromContext returns the key that [WithKey] put into the context. False if
// there is none.
func KeyFromContext(ctx context.Context) (string, bool) {
	key, ok := ctx.Value(clientKey{}).(string)
	return key, ok
}

// checkHeld compares a key that the caller put into the request with the context's,
// if that has one: the caller means one operation, and says two. UUIDs in upper and
// lower case are taken for one, as a server may.
func checkHeld(ctx context.Context, held string) error {
	key, given := KeyFromContext(ctx)
	if !given || held == key {
		return nil
	}
	if uuid, err := keysyntax.Format(held, "uuid"); err == nil && strings.EqualFold(uuid, key) {
		return nil
	}
	return status.Error(codes.InvalidArgument, "idemgrpc: the request has another key in its field than WithKey gave the context")
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
