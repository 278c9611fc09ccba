package idemhttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// fingerprintHeaders returns the names of request fields that are to count, in
// canonical spelling, sorted, each once. The error joins one per name that
// cannot count, and says why.
func fingerprintHeaders(names, keyHeaders []string) ([]string, error) {
	headers := make([]string, 0, len(names))
	var errs []error
	for _, name := range names {
		if why := notForFingerprints(name, keyHeaders); why != "" {
			errs = append(errs, fmt.Errorf("FingerprintHeaders: header %q cannot count: %s", name, why))
		}
		headers = append(headers, http.CanonicalHeaderKey(name))
	}
	slices.Sort(headers)
	return slices.Compact(headers), errors.Join(errs...)
}

// notForFingerprints says why a request field cannot be part of a fingerprint;
// "" if nothing speaks against it. Nearly always it is that an honest retry has
// another value.
func notForFingerprints(name string, keyHeaders []string) string {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !isToken(name):
		return "it is not a field name"
	case slices.Contains(keyHeaders, canonical):
		return "it carries the idempotency key"
	case isHopByHop(canonical):
		return "it belongs to one connection, or to the way that a request took"
	case isTrace(canonical):
		return "it names one try of a request, and a retry has its own"
	}
	switch canonical {
	case "Content-Length", "Content-Type", "Content-Encoding":
		return "it counts already, or follows from the body"
	case "Date":
		return "a retry has a later one"
	case "Authorization", "Cookie":
		return "credentials are renewed between retries; the scope tells callers apart"
	}
	return ""
}

func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect",
		"Http2-Settings", "Via", "Forwarded", "X-Forwarded-For", "X-Real-Ip":
		return true
	}
	return strings.HasPrefix(name, "Proxy-")
}

func isTrace(name string) bool {
	switch name {
	case "Traceparent", "Tracestate", "Baggage", "B3", "Uber-Trace-Id", "Sentry-Trace",
		"X-Request-Id", "X-Correlation-Id", "X-Amzn-Trace-Id", "X-Cloud-Trace-Context":
		return true
	}
	return strings.HasPrefix(name, "X-B3-") || strings.HasPrefix(name, "X-Datadog-")
}
