package idemhttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
)

// Option configures a [Middleware].
type Option func(*options) error

type options struct {
	scope      func(*http.Request) (string, error)
	keyFunc    func(*http.Request) (string, error) // nil: the header
	keyHeaders []string
	// namedHeaders says that keyHeaders are not the default.
	namedHeaders bool
	strictKeys   bool
	headers      []string
	exposeMarks  bool
	writeError   ErrorWriter
	replayGuard  ReplayGuardFunc
	former       []idempotency.Policy
	pathValue    func(r *http.Request, name string) string // nil: [http.Request.PathValue] alone
}

// globalScope is one scope for all callers. It is no possible tenant's name by
// accident: it holds a NUL.
const globalScope = "\x00global"

// Scope sets how the scope of a request is found: the tenant or caller that
// its key belongs to, as authentication has established it. An empty scope or
// an error is answered with 500 scope_missing; the handler does not run. The
// function may read the request's body or form: it gets a copy of its own.
func Scope(scope func(*http.Request) (string, error)) Option {
	return func(o *options) error {
		if scope == nil {
			return errors.New("Scope: the function is nil")
		}
		return o.setScope(scope)
	}
}

// GlobalScope says openly that all callers share one scope: whoever sends
// another's key and request gets the other's answer. The host is not part of a
// request's fingerprint, so a service with a tenant per host needs [Scope].
func GlobalScope() Option {
	return func(o *options) error {
		return o.setScope(func(*http.Request) (string, error) { return globalScope, nil })
	}
}

func (o *options) setScope(scope func(*http.Request) (string, error)) error {
	if o.scope != nil {
		return errors.New("the scope is set twice")
	}
	o.scope = scope
	return nil
}

// KeyHeader names the request header field that carries the key, and further
// ones that are accepted for it. Default Idempotency-Key. A request that sends
// two of them with different keys is rejected with 400.
func KeyHeader(name string, aliases ...string) Option {
	return func(o *options) error {
		o.keyHeaders, o.namedHeaders = nil, true
		for _, n := range append([]string{name}, aliases...) {
			if !isToken(n) || notForKeys(n) {
				return fmt.Errorf("KeyHeader: %q is not a header field name, or has another meaning", n)
			}
			n = http.CanonicalHeaderKey(n)
			if slices.Contains(o.keyHeaders, n) {
				return fmt.Errorf("KeyHeader: %s is named twice", n)
			}
			o.keyHeaders = append(o.keyHeaders, n)
		}
		return o.checkKeySource()
	}
}

// notForKeys knows request fields that mean something else.
func notForKeys(name string) bool {
	name = http.CanonicalHeaderKey(name)
	switch name {
	case "Authorization", "Cookie", "Host", "Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "Proxy-")
}

// QuotedKeysOnly accepts keys only as a quoted RFC 9651 string, as the IETF draft
// on the Idempotency-Key header demands. By default a bare key is accepted too,
// and means the same.
func QuotedKeysOnly() Option {
	return func(o *options) error { o.strictKeys = true; return o.checkKeySource() }
}

// RecordHeaders adds response header fields to those that are recorded and
// replayed on every route: Content-Type, Content-Encoding, Content-Language,
// Content-Location, Content-Disposition, Location, ETag, Last-Modified, Link,
// Vary. A route's own go into [idempotency.Policy].Headers. Unsafe names
// (Set-Cookie and other credentials, hop-by-hop fields, Date, …) are an error.
func RecordHeaders(names ...string) Option {
	return func(o *options) error {
		o.headers = append(o.headers, names...)
		return checkHeaderNames(names)
	}
}

// FormerFingerprints names configurations that requests were compared by before
// a change of [idempotency.Policy].FingerprintOnly, FingerprintExclude or
// FingerprintHeaders, on any route. Records name their configuration by a digest
// only, so that without this the keys in use at the change are answered with
// record_unreadable until their records expire. Only the fingerprint's fields of
// the policies count. Each says a configuration in full, the guard's lists
// included; only a Fingerprint that is left out is the guard's. A configuration
// that no route could have had is an error of [New]. Deploy the change in two steps: first every process learns
// the new configuration as if it were a former one, then they use it.
func FormerFingerprints(policies ...idempotency.Policy) Option {
	return func(o *options) error { o.former = append(o.former, policies...); return nil }
}

// ExposeMarks lists the mark headers in Access-Control-Expose-Headers of
// answers to cross-origin requests, so that scripts can read them.
func ExposeMarks() Option {
	return func(o *options) error { o.exposeMarks = true; return nil }
}

// ErrorWriter writes the answer to a request that was refused. The mark headers
// and Retry-After are set already. status is the standard one of err.Code.
type ErrorWriter func(w http.ResponseWriter, r *http.Request, status int, err *idempotency.Error)

// WriteErrors replaces the problem+json answers. What it writes is never
// recorded.
func WriteErrors(write ErrorWriter) Option {
	return func(o *options) error {
		if write == nil {
			return errors.New("WriteErrors: the function is nil")
		}
		o.writeError = write
		return nil
	}
}

// PathValue says how a part of the path is found on a router that does not fill
// [http.Request.PathValue], for the fields of requests to [JSON] that are tagged
// path:"id". Asked is where PathValue of the request itself has nothing. Many routers
// have just such a function:
//
//	idemhttp.New(guard, idemhttp.Scope(tenant), idemhttp.PathValue(chi.URLParam))
//
// Without a value for such a field no request is claimed and no function runs: it is
// answered with 500, and the reason is logged once, by the guard's logger. An empty value is none,
// but for a {name...} of [http.ServeMux], which may stand for nothing. The function may
// be called at once for different requests.
func PathValue(find func(r *http.Request, name string) string) Option {
	return func(o *options) error {
		switch {
		case find == nil:
			return errors.New("PathValue: the function is nil")
		case o.pathValue != nil:
			return errors.New("PathValue is given twice")
		}
		o.pathValue = find
		return nil
	}
}
