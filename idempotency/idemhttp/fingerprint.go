package idemhttp

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// The algorithms by which requests are compared, as records name them. Records
// outlive deployments: whoever changes what is hashed gives it a new name and
// keeps the old one computable.
const (
	rawFingerprint  = "http/1" // the whole request, its body as it was sent
	jsonFingerprint = "json/1" // the same, a JSON body in canonical form
	// With a configuration, the first six hex digits of its digest follow: the
	// names are all that a store keeps of it, and have 8 bytes at most.
	rawConfigured  = "h1"
	jsonConfigured = "j1"
)

// fingerprinter is one algorithm.
type fingerprinter struct {
	algorithm string
	canonical bool      // JSON bodies count in canonical form
	parts     selection // of a JSON body: what only and exclude say
	only      []string  // JSON Pointers
	exclude   []string
	headers   []string // request fields that count, canonical, sorted
	// configuration is the digest of parts and headers, nil if there are none.
	// The algorithm's name holds 24 bits of it only, the sum all.
	configuration []byte
	// former are algorithms that records may still name.
	former []fingerprinter
	// typed says that any body is JSON, whatever its header fields say; those do not
	// count then.
	typed bool
}

// newFingerprinter returns the algorithm that a policy asks for; with
// [idempotency.FingerprintOff] one of which only the name counts. Errors name
// the policy's field.
func newFingerprinter(policy idempotency.Policy, keyHeaders []string) (fingerprinter, error) {
	if policy.Fingerprint == idempotency.FingerprintOff {
		return fingerprinter{algorithm: store.NoFingerprint}, nil
	}
	headers, err := fingerprintHeaders(policy.FingerprintHeaders, keyHeaders)
	if err != nil {
		return fingerprinter{}, err
	}
	f := fingerprinter{
		algorithm: rawFingerprint, headers: headers,
		only: policy.FingerprintOnly, exclude: policy.FingerprintExclude,
	}
	name := rawConfigured
	if policy.Fingerprint == idempotency.FingerprintJSON {
		f.algorithm, f.canonical, name = jsonFingerprint, true, jsonConfigured
	}
	f.parts, err = newSelection(policy.FingerprintOnly, policy.FingerprintExclude)
	if err != nil {
		return fingerprinter{}, err
	}
	if len(headers) > 0 || f.parts != (selection{}) {
		f.configuration = configurationOf(name, f.only, f.exclude, headers)
		f.algorithm = name + hex.EncodeToString(f.configuration[:3])
	}
	return f, nil
}

// configurationOf digests a configuration: lists in another order are the same.
func configurationOf(name string, lists ...[]string) []byte {
	f := frames(nil).add(name)
	for _, list := range lists {
		f = f.addList(slices.Compact(slices.Sorted(slices.Values(list))))
	}
	sum := sha256.Sum256(f)
	return sum[:]
}

// by returns the algorithm of that name, so that a request can be compared with
// a record which a process with another configuration made: the simple ones, f
// itself and the former ones. What any other configuration counts cannot be
// known from its name.
func (f fingerprinter) by(algorithm string) (fingerprinter, bool) {
	switch algorithm {
	case f.algorithm:
		return f, true
	case rawFingerprint, store.NoFingerprint:
		return fingerprinter{algorithm: algorithm}, true
	case jsonFingerprint:
		return fingerprinter{algorithm: algorithm, canonical: true}, true
	case typedFingerprint:
		return fingerprinter{algorithm: algorithm, canonical: true, typed: true}, true
	}
	for _, former := range f.former {
		if former.algorithm == algorithm {
			return former, true
		}
	}
	return fingerprinter{}, false
}

// of digests what makes a request the same one again, as this handler sees it
// (a proxy or http.StripPrefix in front may have rewritten it):
//
//   - the method, and the path as URL.EscapedPath spells it;
//   - the query: its pairs as sent, stable-sorted by their decoded names. So
//     the order of different names does not matter, the order of equal names
//     does, and so does another spelling of the same value. A query that does
//     not parse counts as it was sent;
//   - the media type in lower case, its parameters sorted by name with their
//     values as sent; a Content-Type that does not parse, or comes more than
//     once, counts as it was sent. A multipart body with a new boundary is
//     therefore another request;
//   - the content codings, in lower case and in order. For a typed handler, which
//     looks at neither, media type and codings do not count;
//   - the exact body bytes; or, if f says so and the body is JSON that is safely
//     comparable, the canonical form of the parts that count ([canonicalJSON]);
//   - the configured header fields, each line as sent.
//
// Every part is preceded by its length, every list by its count.
func (f fingerprinter) of(r *http.Request, body []byte) store.Fingerprint {
	if f.algorithm == store.NoFingerprint {
		return store.Fingerprint{Algorithm: f.algorithm}
	}
	h := make(frames, 0, framesSize).add(r.Method).add(r.URL.EscapedPath()).addQuery(r.URL.RawQuery)
	if !f.typed {
		h = h.addMediaType(r.Header.Values("Content-Type"))
		h = h.addList(contentCodings(r.Header.Values("Content-Encoding")))
	}
	if f.canonical {
		form, sum := f.canonicalSum(r, body)
		h = h.add(form).addSum(sum)
	} else {
		h = h.addSum(sha256.Sum256(body))
	}
	h = f.addConfigured(h, r)
	return store.Fingerprint{Algorithm: f.algorithm, Sum: sha256.Sum256(h)}
}

// addConfigured adds what the configuration asks for, and the configuration
// itself: two that have the same name by accident never make equal sums.
func (f fingerprinter) addConfigured(h frames, r *http.Request) frames {
	if f.configuration == nil {
		return h
	}
	h = h.add(string(f.configuration))
	for _, name := range f.headers {
		h = h.add(name).addList(headerLines(r, name))
	}
	return h
}

// headerLines returns the lines of a request field; net/http keeps the host
// elsewhere.
func headerLines(r *http.Request, name string) []string {
	if name == "Host" {
		return []string{r.Host}
	}
	return r.Header.Values(name)
}

// canonicalSum returns the digest of a body's canonical form, or of its bytes where
// it has none, and which of the two it is: an uncommon body may be, byte for
// byte, the canonical form of another.
func (f fingerprinter) canonicalSum(r *http.Request, body []byte) (form string, sum [sha256.Size]byte) {
	if f.typed && len(body) == 0 {
		body = []byte("{}") // the handler takes it for that, or refuses it
	}
	if f.typed || isJSON(r.Header) {
		if canonical, ok := canonicalJSON(body, f.parts); ok {
			return asCanonical, sha256.Sum256(canonical)
		}
	}
	return asSent, sha256.Sum256(body)
}

// isJSON reports whether a request says that its body is JSON, in UTF-8 and
// without a content coding.
func isJSON(h http.Header) bool {
	mediaType, params, ok := parseMediaType(h.Values("Content-Type"))
	if !ok || len(h.Values("Content-Encoding")) > 0 {
		return false
	}
	if charset, given := params["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// fingerprints computes those of one request, each once and when it is asked for.
type fingerprints struct {
	own     *fingerprinter
	request *http.Request
	body    []byte // only read

	known []store.Fingerprint // nearly always one
	first [1]store.Fingerprint
}

// by is what [idempotency.Call].FingerprintBy is for.
func (f *fingerprints) by(algorithm string) (store.Fingerprint, bool) {
	for _, known := range f.known {
		if known.Algorithm == algorithm {
			return known, true
		}
	}
	compute, ok := f.own.by(algorithm)
	if !ok {
		return store.Fingerprint{}, false
	}
	computed := compute.of(f.request, f.body)
	if f.known == nil {
		f.known = f.first[:0]
	}
	f.known = append(f.known, computed)
	return computed, true
}
