package idemhttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// field is one header field line.
type field struct{ name, value string }

// standardHeaders are the response fields that every record keeps: those which
// describe the body or point to the resource. Vary is among them because a
// recorded Content-Encoding without it would poison a cache.
func standardHeaders() []string {
	return []string{
		"Content-Type", "Content-Encoding", "Content-Language", "Content-Location",
		"Content-Disposition", "Location", "Etag", "Last-Modified", "Link", "Vary",
	}
}

// recordedHeaders returns the standard names and then the route's, in canonical
// spelling, each once. The names must have passed [checkHeaderNames].
func recordedHeaders(route []string) []string {
	names := standardHeaders()
	for _, name := range route {
		name = http.CanonicalHeaderKey(name)
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// pickHeaders returns the field lines of h that names lists, whatever the
// spelling of the map's keys: in the order of names, the lines of one name in
// the handler's order. So equal headers give equal lists.
func pickHeaders(h http.Header, names []string) []field {
	if len(h) == 0 {
		return nil
	}
	picked := make([]field, 0, len(h))
	canonical := allCanonical(h)
	for _, name := range names {
		if canonical {
			picked = appendFields(picked, name, h[name])
			continue
		}
		for _, key := range spellings(h, name) {
			picked = appendFields(picked, name, h[key])
		}
	}
	return picked
}

func allCanonical(h http.Header) bool {
	for key := range h {
		if http.CanonicalHeaderKey(key) != key {
			return false
		}
	}
	return true
}

// spellings returns the keys of h that are name, sorted: a handler that writes
// to the map directly may well have used "ETag".
func spellings(h http.Header, name string) []string {
	var keys []string
	for key := range h {
		if http.CanonicalHeaderKey(key) == name {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func appendFields(fields []field, name string, values []string) []field {
	for _, value := range values {
		fields = append(fields, field{name, value})
	}
	return fields
}

// checkHeaderNames examines the names of response fields that a route wants
// recorded beside the standard ones. The error joins one per bad name, which
// says why it cannot be replayed.
func checkHeaderNames(names []string) error {
	var errs []error
	for _, name := range names {
		if err := checkHeaderName(name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func checkHeaderName(name string) error {
	switch {
	case !isToken(name):
		return fmt.Errorf("header %q is not a field name", name)
	case strings.Contains(name, "*"):
		return fmt.Errorf("header %q: patterns are not supported, name each field", name)
	}
	if why := unsafeHeader(http.CanonicalHeaderKey(name)); why != "" {
		return fmt.Errorf("header %q cannot be recorded: %s", name, why)
	}
	return nil
}

// unsafeHeader says why a field, in canonical spelling, must not be kept and
// given to another request; "" if nothing speaks against it.
func unsafeHeader(name string) string {
	switch name {
	case "Set-Cookie", "Set-Cookie2", "Authorization", "Www-Authenticate",
		"Authentication-Info", "Authentication-Control", "Clear-Site-Data":
		return "it belongs to one client's session"
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Http2-Settings", "Alt-Svc":
		return "it belongs to one connection"
	case "Content-Length", "Date", "Server", "Age":
		return "the server sets it on every answer"
	case "Traceparent", "Tracestate", "Server-Timing":
		return "it describes one request's trace"
	}
	switch {
	case strings.HasPrefix(name, "Proxy-"):
		return "it belongs to one connection"
	case strings.HasPrefix(name, "Access-Control-"):
		return "it depends on the request's origin; CORS goes around this middleware"
	case strings.HasPrefix(name, "Idempotency-"), strings.HasPrefix(name, "Idempotent-"):
		return "the middleware itself sets it"
	}
	return ""
}

// unsafeTrailer reports whether a field, in canonical spelling, must not be
// sent as a trailer: RFC 9110 section 6.5.1 forbids what frames, routes,
// authenticates or controls the message. The list is net/http's.
func unsafeTrailer(name string) bool {
	switch name {
	case "Cache-Control", "Content-Encoding", "Content-Range", "Content-Type", "Expect",
		"Host", "Max-Forwards", "Pragma", "Range", "Realm":
		return true
	}
	return strings.HasPrefix(name, "If-") || unsafeHeader(name) != ""
}

// isToken reports whether s is a field name as RFC 9110 spells one.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
