package idemhttp

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/internal/keysyntax"
)

// headerKey is the standard request field that carries a key.
const headerKey = "Idempotency-Key"

// SetKey gives a request its idempotency key before the loop that sends it, and
// returns the field's value. A key that the request has already is left as it
// is; else the key of its context ([WithKey]) is set; else a fresh one is drawn.
// A key that cannot be sent is refused by the [Transport], before anything is.
//
// Without it, every pass of an outer loop is a request of its own to a
// [Transport], and runs the operation again. Store what it returns, beside the
// body, before the first try: after a restart, set that value on the request
// again, and the retry is as safe as one in the same process.
//
// The field is Idempotency-Key; a Transport with [SendKeyIn] takes the key over
// from there. Lines without a value are no key, and are removed. Of several
// different keys the first is returned, and the Transport refuses them. SetKey
// changes the request, so it must not be called while the request is being sent.
func SetKey(req *http.Request) string {
	if keys := keysIn(req.Header, headerKey); len(keys) > 0 {
		if len(keys) == 1 && lines(req.Header, headerKey) > 1 {
			setKey(req.Header, headerKey, keys[0])
		}
		return keys[0]
	}
	key, ok := KeyFromContext(req.Context())
	if !ok {
		key = keysyntax.Draw()
	}
	value, err := keysyntax.Field(key, false)
	if err != nil {
		// It is refused when the request is sent. A fresh key in its place would
		// run the operation again.
		value = key
	}
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	setKey(req.Header, headerKey, value)
	return value
}

type clientKey struct{}

// WithKey returns a context whose requests are sent with this key by a
// [Transport], whatever field it uses; "" draws a fresh one, which
// [KeyFromContext] tells. The key is taken for every request under the context
// that may change something and has no key of its own: keep such a context to
// one logical request.
//
// Like [SetKey], it makes an outer loop safe. A key that cannot be sent (longer
// than 255 characters, or with others than 0x20 to 0x7E) fails when the request
// is sent.
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

// checkKeyField examines a key that is sent as the caller wrote it. Services have
// syntaxes of their own, so only what none can read is refused.
func checkKeyField(value string) error {
	if value[0] == '"' && len(value) <= keysyntax.MaxField {
		_, err := keysyntax.Parse([]string{value}, true)
		return err
	}
	_, err := keysyntax.Check(value)
	return err
}

// ownKey returns the key that the caller set in a field, or "". The key is never
// part of an error.
func ownKey(h http.Header, name string) (string, error) {
	keys := keysIn(h, name)
	switch len(keys) {
	case 0:
		return "", nil
	case 1:
		if err := checkKeyField(keys[0]); err != nil {
			return "", fmt.Errorf("the key in %s cannot be sent: %w", name, err)
		}
		return keys[0], nil
	default:
		return "", fmt.Errorf("%s has %d different values", name, len(keys))
	}
}

// keysIn returns the different values of a field that are not blank, whatever
// the spelling of the map's keys. Blank ones are no key: net/http takes even an
// entry without values as a promise that the request may be sent again, and
// then sends it without any key.
func keysIn(h http.Header, name string) []string {
	var keys []string
	for _, spelling := range spellings(h, name) {
		for _, value := range h[spelling] {
			value = strings.Trim(value, " \t") // as on the wire
			if value != "" && !slices.Contains(keys, value) {
				keys = append(keys, value)
			}
		}
	}
	return keys
}

// lines counts the lines of a field, blank ones included.
func lines(h http.Header, name string) int {
	n := 0
	for _, spelling := range spellings(h, name) {
		n += len(h[spelling])
	}
	return n
}

// setKey makes value the only line of the field.
func setKey(h http.Header, name, value string) {
	for _, spelling := range spellings(h, name) {
		delete(h, spelling)
	}
	h[name] = []string{value}
}
