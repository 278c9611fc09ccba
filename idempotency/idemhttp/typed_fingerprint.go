package idemhttp

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"reflect"

	"github.com/reprise-go/reprise/internal/tagged"
	"github.com/reprise-go/reprise/store"
)

// The algorithms by which requests are compared that are decoded into structs.
// Six hex digits follow: of what counts in the struct, and of the header fields
// that count.
const (
	structFingerprint = "s1" // method, path, query, and the struct
	structConfigured  = "t1" // the same, and header fields
)

// forStruct returns the algorithm for requests that are decoded into a struct.
// The body then counts by what the handler sees of it, so its spelling and media
// type do not, nor does a [idempotency.FingerprintJSON] that is inherited.
func (f fingerprinter) forStruct(plan *tagged.Plan) fingerprinter {
	f.plan = plan // a record may still name it where nothing counts any more
	if f.algorithm == store.NoFingerprint {
		return f
	}
	f.canonical, f.parts, f.configuration = false, selection{}, nil
	if len(f.headers) > 0 {
		f.configuration = configurationOf(structConfigured, f.headers)
	}
	f.algorithm = f.structName(plan.Algorithm())
	return f
}

// algorithmFor is the algorithm by which a request is bound to its key: one that
// could not be read into its struct counts as it was sent.
func (f fingerprinter) algorithmFor(request typedRequest) string {
	if request.err != nil && f.algorithm != store.NoFingerprint {
		return rawFingerprint
	}
	return f.algorithm
}

// structName is the name here of an algorithm of the plan, or of an earlier one
// of the same struct. The digits of the header fields are mixed in, so that it
// can be told apart again.
func (f fingerprinter) structName(planned string) string {
	prefix := structFingerprint
	if f.configuration != nil {
		prefix = structConfigured
	}
	return prefix + f.mixed(planned)
}

// planned undoes structName. False for a name of another kind.
func (f fingerprinter) planned(algorithm string) (string, bool) {
	kind := len(structFingerprint)
	if f.plan == nil || len(algorithm) < kind {
		return "", false
	}
	own := f.plan.Algorithm()
	planned := own[:kind] + f.mixed(algorithm)
	return planned, f.structName(planned) == algorithm
}

// mixed returns the digits at the end of a name, with the configuration's on or
// off them.
func (f fingerprinter) mixed(name string) string {
	digits, err := hex.DecodeString(name[len(structFingerprint):])
	if err != nil {
		return ""
	}
	for i := range min(len(digits), len(f.configuration)) {
		digits[i] ^= f.configuration[i]
	}
	return hex.EncodeToString(digits)
}

// ofStruct digests a request by such an algorithm: method, path and query as
// [fingerprinter.of] has them, what counts in the struct, and the header fields.
// False if it is not one, or one of a struct that is too different.
func (f fingerprinter) ofStruct(r *http.Request, value reflect.Value, algorithm string) (store.Fingerprint, bool) {
	planned, ok := f.planned(algorithm)
	if !ok || !value.IsValid() {
		return store.Fingerprint{}, false
	}
	bound, ok := f.plan.BoundBy(value, planned)
	if !ok {
		return store.Fingerprint{}, false
	}
	h := frames{hash: sha256.New()}
	h.add(r.Method)
	h.add(r.URL.EscapedPath())
	h.addQuery(r.URL.RawQuery)
	h.add(string(bound.Sum[:]))
	f.addConfigured(h, r)
	return store.Fingerprint{Algorithm: algorithm, Sum: [sha256.Size]byte(h.hash.Sum(nil))}, true
}
